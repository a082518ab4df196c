"""Which of S3FD's layers tells most of faces of which size.

    python benchmarks/classify_layers.py masks.yaml

The file is a configuration of the recipe ``classify``. A head is trained on each of the twelve
layers for each size in which the faces are shown; the table has balanced accuracies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from facekit.config import validate_options
from facekit.training.classify.layers import compare_layers
from facekit.training.classify.options import ClassifyOptions
from facekit.training.sources import read_config

FACES = (32, 64, 128, 256)


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="a configuration of the recipe classify")
    parser.add_argument("--faces", type=int, nargs="+", default=FACES, help="sizes, pixels")
    parser.add_argument("--head", default="fired", help="what stands on each layer")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = read_config(arguments.config)
    values = {**config.options, "head": arguments.head}
    options = validate_options(ClassifyOptions, values, str(arguments.config))
    table = compare_layers(options, faces=arguments.faces)
    sizes = " | ".join(f"{side} px" for side in arguments.faces)
    print(f"| layer | {sizes} |\n|---|{'---|' * len(arguments.faces)}")
    for layer, row in table.items():
        print(f"| `{layer}` | {' | '.join(f'{value:.3f}' for value in row.values())} |")


if __name__ == "__main__":
    main()
