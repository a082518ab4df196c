"""Fit a detector's ``box_transform``, and measure what it does for the landmarks.

    FACEKIT_DATA=... python scripts/first_weights/fit_box_transforms.py tiny_ssd haar

For each detector: run it on the photos of the 68-point faces, fit the transform from its boxes to
the canonical squares on as many faces of each label file's training part, and print the
interocular NME of the bundled landmarks on the test part: with the squares themselves, with the
detector's boxes as they are, and with its boxes put through the transform. The printed line goes
into the adapter by hand. ``haar`` needs OpenCV 4.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from landmark_data import LABEL_FILES, Face, read_faces
from landmark_measure import fit_box_transform, interocular_errors, summarise
from rich.progress import track

import facekit
from facekit import images
from facekit.boxes import IDENTITY, BoxTransform, cxcywh_to_xyxy, iou
from facekit.types import Detections

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from facekit.protocols import Detector, Landmarker

SAME_FACE = 0.4
"""Least overlap of a detector's box with the canonical square of its face."""

Pairs = list[tuple[Face, "NDArray[np.float32]"]]
"""Faces, and the detector's box around each."""


def square_of(face: Face) -> NDArray[np.float32]:
    """Return a face's canonical square as (4,) xyxy, pixels."""
    x, y, side = face.square
    return np.asarray(cxcywh_to_xyxy([[x, y, side, side]])[0], dtype=np.float32)


def matched(detector: Detector, folder: Path, faces: Iterable[Face]) -> Pairs:
    """Return the faces that a detector finds, each with the box that overlaps its square most."""
    by_photo: dict[str, list[Face]] = defaultdict(list)
    for face in faces:
        by_photo[face.name].append(face)
    pairs: Pairs = []
    for name, inside in track(by_photo.items(), description=detector.name):
        (found,) = detector.detect([folder / name])
        for face in inside:
            overlaps = iou([square_of(face)], found.boxes)[0]
            if len(overlaps) and overlaps.max() > SAME_FACE:
                pairs.append((face, found.boxes[overlaps.argmax()]))
    return pairs


def fit(pairs: Pairs) -> BoxTransform:
    """Return the transform from the boxes to the squares, rounded to what it is good for."""
    boxes = np.stack([box for _, box in pairs])
    squares = np.stack([square_of(face) for face, _ in pairs])
    return BoxTransform(*(round(value, 3) for value in fit_box_transform(boxes, squares)))


def errors(
    landmarker: Landmarker, folder: Path, pairs: Pairs, transform: BoxTransform
) -> NDArray[np.float64]:
    """Return each face's interocular NME, cropped by the transformed box."""
    points = []
    for face, box in pairs:
        image = images.read(folder / face.name)
        detections = Detections(
            boxes=box[None],
            scores=np.ones(1, dtype=np.float32),
            image_size=(image.shape[0], image.shape[1]),
            box_transform=transform,
        )
        points.append(landmarker.locate([image], [detections])[0].points[0])
    return interocular_errors(np.stack(points), np.stack([face.points for face, _ in pairs]))


def training_faces(faces: Sequence[Face], count: int) -> list[Face]:
    """Return at most ``count`` faces of each label file's training part, evenly spread."""
    chosen: list[Face] = []
    for source in LABEL_FILES:
        pool = [face for face in faces if face.source == source and face.split == "train"]
        chosen += pool[:: max(1, -(-len(pool) // count))]
    return chosen


def report(name: str, data: Path, faces: Sequence[Face], count: int) -> None:
    """Fit and measure one detector."""
    detector, landmarker = facekit.create_detector(name), facekit.create_landmarker()
    folder = data / "landmarks68"
    train = training_faces(faces, count)
    test = [face for face in faces if face.split == "test" and face.source == "ibug"]
    fitted = matched(detector, folder, train)
    transform = fit(fitted)
    print(f"{name}: {transform}, from {len(fitted)} of {len(train)} faces")
    pairs = matched(detector, folder, test)
    exact = [(face, square_of(face)) for face, _ in pairs]
    for label, chosen, how in (
        ("the squares themselves", exact, IDENTITY),
        ("boxes as they are", pairs, IDENTITY),
        ("boxes transformed", pairs, transform),
    ):
        print(f"  {label}: {summarise(errors(landmarker, folder, chosen, how))}")
    print(f"  found {len(pairs)} of {len(test)} held-out faces")


def main() -> None:
    """Parse the command line and fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("detectors", nargs="+", help="names of `facekit backends`")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("FACEKIT_DATA"),
        help="the data folder (default: the one named by FACEKIT_DATA)",
    )
    parser.add_argument("--faces", type=int, default=1000, help="faces of a label file to fit on")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data folder by --data or FACEKIT_DATA")
    faces = [face for source in LABEL_FILES for face in read_faces(options.data, source)]
    for name in options.detectors:
        report(name, options.data, faces, options.faces)


if __name__ == "__main__":
    main()
