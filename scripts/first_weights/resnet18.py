"""Train the bundled 68-point ResNet18 from random weights, within a given number of minutes.

    python scripts/first_weights/resnet18.py train --run RUN --minutes 80
    python scripts/first_weights/resnet18.py export RUN/best.pth
    python scripts/first_weights/resnet18.py measure FILE...
    python scripts/first_weights/resnet18.py duplicates

The data folder is FACEKIT_DATA or ``--data``. The learning rate and the input size follow the
share of the minutes that has passed, so a run ends on time on any machine. ResNet18 is fully
convolutional up to its average pool, so most of the time goes to small, cheap inputs, and the end
to the final size. A run that was stopped goes on from its last checkpoint when started again.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from landmark_data import Face, read_faces, split_faces
from landmark_duplicates import closest_pairs
from landmark_export import export_onnx, session_predictor
from landmark_loop import Recipe, predict, train
from landmark_measure import face_errors, pfld_predictor, summarise

from facekit.networks.resnet18 import INPUT_SIZE, ResNet18Landmarks

if TYPE_CHECKING:
    from landmark_measure import Predictor

PFLD = "peers/pfld68.onnx"
"""A published landmarker in the weights folder, measured beside ours where it is present."""

JITTER_SHIFT, JITTER_SCALE = 0.06, 0.1
"""About how far a detector's boxes are from the ground truth's, as fractions of the side."""


def main() -> None:
    """Run one of the four commands."""
    parser = _parser()
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data folder by --data or FACEKIT_DATA")
    torch.set_num_threads(options.threads)
    options.command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("FACEKIT_DATA"))
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    commands = parser.add_subparsers(required=True)
    train_parser = commands.add_parser("train")
    train_parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    train_parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    train_parser.add_argument("--rate", type=float, default=Recipe.learning_rate)
    train_parser.add_argument("--batch", type=int, default=Recipe.batch_size, help="crops per step")
    train_parser.add_argument("--start", type=Path, help="weights of an earlier run, to train on")
    train_parser.add_argument("--size", type=int, help="train at this input side only, pixels")
    train_parser.set_defaults(command=_train)
    export_parser = commands.add_parser("export")
    export_parser.add_argument("weights", type=Path, help="best.pth of a run")
    bundled = Path(__file__).parents[2] / "src/facekit/bundled/resnet18.onnx"
    export_parser.add_argument("--output", type=Path, default=bundled)
    export_parser.set_defaults(command=_export)
    measure_parser = commands.add_parser("measure")
    measure_parser.add_argument("files", type=Path, nargs="+", help=".pth or .onnx")
    measure_parser.set_defaults(command=_measure)
    commands.add_parser("duplicates").set_defaults(command=_duplicates)
    return parser


def _train(options: argparse.Namespace) -> None:
    recipe = Recipe(minutes=options.minutes, learning_rate=options.rate, batch_size=options.batch)
    if options.size is not None:
        recipe = replace(recipe, stages=((options.size, 1.0),))
    train(Path(options.data), options.run, recipe, options.start)


def _export(options: argparse.Namespace) -> None:
    export_onnx(load_network(options.weights), options.output)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB")


def _measure(options: argparse.Namespace) -> None:
    """Print each file's errors on the faces held out, with exact and with jittered squares."""
    data = Path(options.data)
    held = {
        "ibug": split_faces(read_faces(data, "ibug"), "test"),
        "p1": split_faces(read_faces(data, "p1"), "test"),
    }
    for path in options.files:
        _print_errors(path.name, _predictor(path), held, INPUT_SIZE)
    peer = Path(os.environ.get("FACEKIT_WEIGHTS", "")) / PFLD
    if peer.is_file():
        predictor, size = pfld_predictor(peer)
        _print_errors(peer.name, predictor, held, size)


def _duplicates(options: argparse.Namespace) -> None:
    """Print the photos across the split that look most alike."""
    for pair in closest_pairs(read_faces(Path(options.data), "ibug")):
        print(
            f"{pair.held} and {pair.other}: {pair.bits} of 256 bits differ, "
            f"faces correlate {pair.correlation:.2f}"
        )


def _print_errors(name: str, predictor: Predictor, held: dict[str, list[Face]], size: int) -> None:
    for source, faces in held.items():
        exact = face_errors(predictor, faces, size)
        jittered = face_errors(predictor, faces, size, shift=JITTER_SHIFT, scale=JITTER_SCALE)
        print(f"{name} on {source}: {summarise(exact)}; jittered squares {summarise(jittered)}")


def _predictor(path: Path) -> Predictor:
    """Return what runs a file: PyTorch in float32, or ONNX Runtime."""
    if path.suffix == ".onnx":
        return session_predictor(path)
    network = load_network(path)
    return lambda crops: predict(network, crops, fast=False)


def load_network(path: Path) -> ResNet18Landmarks:
    """Return the network in evaluation mode with the weights of a file."""
    network = ResNet18Landmarks()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


if __name__ == "__main__":
    main()
