"""Train the bundled tiny SSD from random weights, within a given number of minutes.

    python scripts/first_weights/tiny_ssd.py train --run RUN --minutes 90
    python scripts/first_weights/tiny_ssd.py export --run RUN
    python scripts/first_weights/tiny_ssd.py measure RUN/best.pth

The data folder is FACEKIT_DATA or ``--data``. With teacher weights (FACEKIT_WEIGHTS or
``--teacher``, a checkpoint of the same network) the loss also asks for the teacher's outputs, at
every anchor of every view; the teacher's weights are never copied. A run that was stopped goes on
from its last checkpoint when it is started again.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

import torch
from ssd_data import FULL_SIZE, Photo, Source, landmark_photos, stretched, wider_photos
from ssd_export import export_onnx, fold_batch_norms, largest_difference
from ssd_loop import CONSOLE, Config, channels_last, train
from ssd_measure import average_precisions

from facekit.networks.tiny_ssd import TinySSD, strip_training_keys


def main() -> None:
    """Run one of the three commands."""
    parser = _parser()
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data folder with --data or FACEKIT_DATA")
    torch.set_num_threads(options.threads)
    options.command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("FACEKIT_DATA"))
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(required=True)
    train_parser = commands.add_parser("train")
    train_parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    train_parser.add_argument("--minutes", type=float, default=Config.minutes)
    train_parser.add_argument("--teacher", type=Path, default=_default_teacher())
    train_parser.set_defaults(command=_train)
    export_parser = commands.add_parser("export")
    export_parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    export_parser.add_argument("--output", type=Path, default=_bundled() / "tiny_ssd.onnx")
    export_parser.set_defaults(command=_export)
    measure_parser = commands.add_parser("measure")
    measure_parser.add_argument("weights", type=Path, help="a .pth of this network")
    measure_parser.set_defaults(command=_measure)
    return parser


def _default_teacher() -> Path | None:
    folder = os.environ.get("FACEKIT_WEIGHTS")
    return Path(folder) / "tiny_ssd/wider_face_tiny_ssd_075x_from_ir.pth" if folder else None


def _bundled() -> Path:
    return Path(__file__).parents[2] / "src/facekit/bundled"


def load_network(path: Path) -> TinySSD:
    """A network in evaluation mode with the weights of a checkpoint."""
    content = torch.load(path, weights_only=True, map_location="cpu")
    network = TinySSD()
    network.load_state_dict(strip_training_keys(content.get("state_dict", content)))
    return network.eval()


def read_sources(data: Path) -> tuple[list[Source], list[Photo]]:
    """What to train on, and the WIDER training photos kept apart to choose a checkpoint by."""
    wider = wider_photos(
        data / "wider/wider_face_train_640_bbx_gt.txt", data / "wider/WIDER_train_640/images"
    )
    masks = wider_photos(data / "face_mask/face_mask_bbx_gt.txt", data / "face_mask/images")
    apart = wider[::12]
    sources = [
        Source([photo for index, photo in enumerate(wider) if index % 12], 0.78),
        Source(masks, 0.12),
        *(
            Source(landmark_photos(data / "landmarks68", folder), weight)
            for folder, weight in (("helen", 0.06), ("afw", 0.02), ("p1_training", 0.02))
        ),
    ]
    return sources, apart


def _train(options: argparse.Namespace) -> None:
    config = Config(minutes=options.minutes)
    options.run.mkdir(parents=True, exist_ok=True)
    CONSOLE.print(asdict(config))
    teacher = None
    if options.teacher:
        teacher = fold_batch_norms(load_network(options.teacher))
        channels_last(teacher)
    sources, apart = read_sources(Path(options.data))
    train(config, sources, apart, options.run, teacher)


def _export(options: argparse.Namespace) -> None:
    network = load_network(options.run / "best.pth")
    export_onnx(network, options.output)
    photos = _measured_photos(options)[:8]
    images = torch.stack([stretched(photo.pixels, FULL_SIZE) for photo in photos])
    difference = largest_difference(network, options.output, images)
    size = options.output.stat().st_size / 1e6
    CONSOLE.print(f"{options.output}: {size:.2f} MB, within {difference:.1e} of torch")


def _measure(options: argparse.Namespace) -> None:
    photos = _measured_photos(options)
    CONSOLE.print(average_precisions(load_network(options.weights), photos))


def _measured_photos(options: argparse.Namespace) -> list[Photo]:
    """The WIDER validation photos that are present, at their own size."""
    wider = Path(options.data) / "wider"
    annotations = wider / "wider_face_split/wider_face_val_bbx_gt.txt"
    return wider_photos(annotations, wider / "WIDER_val/images", max_side=None)


if __name__ == "__main__":
    main()
