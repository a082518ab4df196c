"""Write ``s3fd_classifier.onnx`` beside this file: ``python make_s3fd_classifier.py``.

A seeded classifier of three labels with a 32nd of the channels: it knows nothing, but its answers
depend on every pixel of the crop. Needs ``facekit[export]``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from facekit.export import export
from facekit.networks.s3fd_classifier import S3FDClassifier

LABELS = ("bare", "masked", "hidden")


def seeded(width: float = 1 / 32, **options: object) -> S3FDClassifier:
    """Return a classifier whose every layer answers with about its input's spread."""
    torch.manual_seed(6)
    network = S3FDClassifier(len(LABELS), width=width, **options)  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.normal_(network.fc_1.weight, std=0.02)
    network.metadata |= {"facekit.labels": json.dumps(LABELS), "facekit.crop_scale": "1.25"}
    network.eval()
    return network


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "seeded.safetensors"
        network = seeded()
        safetensors.torch.save_file(network.state_dict(), weights, network.metadata)
        target = Path(__file__).with_name("s3fd_classifier.onnx")
        export("s3fd", weights, target, role="classifier")
