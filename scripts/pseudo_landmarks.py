r"""Label faces with another model's 68 points: pseudo-labels to train on, beside hand-placed ones.

    python scripts/pseudo_landmarks.py pfld68.onnx coco:pseudo.json \\
        wider_face:wider_train_640_bbx_gt.txt=WIDER_train_640 wider_face:masks.txt=masks/images

The model is a published 112 px network, RGB in 0..1 to 68 points in 0..1 of its crop. It looks at
each annotated face ten times, from crops that are moved, scaled, turned and mirrored, and answers
by the median. Faces on which the ten disagree are left out, and so are small, blurred and heavily
covered ones. Boxes are taken for WIDER FACE's own kind. Images
are named by their full paths: train with `images: /`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from facekit import datasets, images
from facekit.boxes import BoxTransform, iou
from facekit.datasets import FaceRecord, ImageRecord
from facekit.training.landmarks.faces import canonical_square
from facekit.training.landmarks.warp import MIRRORED_68

Array = npt.NDArray[np.floating]

WIDER_BOXES = BoxTransform(dx=0.004, dy=0.13, sw=1.107, sh=0.831)
SIZE, CROP_SCALE = 112, 1.1
VIEWS = (
    (1, 0, 0, 0),
    (0.93, 0.02, 0.02, 8),
    (1.07, -0.02, 0.02, -8),
    (1, 0.03, -0.03, 14),
    (1, -0.03, 0, -14),
)
"""Side, shift in x and y, degrees; each also mirrored."""

ROUNDS = 3
LEAST_SIDE = 36
LARGEST_SPREAD = 0.022
LEAST_OVERLAP = 0.45
"""Of the points' square with the one that the box stands for."""


@dataclasses.dataclass
class Placer:
    """The published network, on squares of photos."""

    session: Any

    def __call__(
        self, photo: images.RgbImage, square: Array, *, degrees: float = 0, mirror: bool = False
    ) -> Array:
        """Return (68, 2) pixels of the photo."""
        matrix = crop_matrix(square, degrees, mirror=mirror)
        centres = matrix.copy()
        centres[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
        crop = cv2.warpAffine(photo, centres, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        picture = crop.astype(np.float32).transpose(2, 0, 1)[None] / 255
        name = self.session.get_inputs()[0].name
        points = self.session.run(None, {name: picture})[0].reshape(68, 2) * SIZE
        points = (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        return points[MIRRORED_68] if mirror else points


def crop_matrix(square: Array, degrees: float, *, mirror: bool) -> Array:
    """Return the (2, 3) map from the photo to the crop around a centre x, centre y, side."""
    factor = SIZE / (CROP_SCALE * square[2])
    cosine, sine = np.cos(np.deg2rad(degrees)) * factor, np.sin(np.deg2rad(degrees)) * factor
    linear = np.array([[cosine, sine], [-sine, cosine]])
    if mirror:
        linear[0] = -linear[0]
    return np.column_stack([linear, SIZE / 2 - linear @ square[:2]])


def labelled(placer: Placer, photo: images.RgbImage, box: npt.ArrayLike) -> Array | None:
    """Return a face's points, (68, 2), or None where the views disagree."""
    x1, y1, x2, y2 = start = WIDER_BOXES.apply(np.array([box]))[0]
    square = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1])
    for _ in range(ROUNDS):
        both = np.mean([placer(photo, square, mirror=mirror) for mirror in (False, True)], axis=0)
        square = 0.3 * square + 0.7 * canonical_square(both)
    views = [
        placer(
            photo,
            square * [1, 1, side] + square[2] * np.array([dx, dy, 0]),
            degrees=turn,
            mirror=mirror,
        )
        for side, dx, dy, turn in VIEWS
        for mirror in (False, True)
    ]
    points = np.median(views, axis=0)
    spread = np.linalg.norm(views - points, axis=-1).mean() / square[2]
    x, y, side = canonical_square(points)
    found = [x - side / 2, y - side / 2, x + side / 2, y + side / 2]
    same = float(iou([found], [start])[0, 0]) > LEAST_OVERLAP
    return points if same and spread < LARGEST_SPREAD else None


def records(placer: Placer, spec: str, folder: Path) -> Iterator[ImageRecord]:
    """Yield the photos of a dataset with the faces that were labelled."""
    for record in datasets.read(spec):
        wanted = [face for face in record.faces if usable(face)]
        if not wanted:
            continue
        path = (folder / record.name).resolve()
        photo = images.read(path)
        placed = [(face, labelled(placer, photo, face.box)) for face in wanted]
        faces = [
            dataclasses.replace(face, landmarks=tuple(map(tuple, points.tolist())), scheme="ibug68")
            for face, points in placed
            if points is not None
        ]
        if faces:
            size = photo.shape[0], photo.shape[1]
            name = path.relative_to("/").as_posix()
            yield ImageRecord(name=name, size=size, faces=tuple(faces))


def usable(face: FaceRecord) -> bool:
    """Tell whether a face is large and clear enough."""
    small = min(face.width, face.height) < LEAST_SIDE
    bad = any(face.attributes.get(name, 0) == 2 for name in ("occlusion", "blur"))  # noqa: PLR2004 - WIDER FACE's "heavy"
    return not (face.ignore or small or bad)


def main() -> None:
    """Parse the command line and label."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the ONNX file")
    parser.add_argument("target", help="FORMAT:PATH to be written")
    parser.add_argument("sources", nargs="+", help="FORMAT:PATH=FOLDER_OF_IMAGES")
    options = parser.parse_args()
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    placer = Placer(session)
    pairs = [source.rpartition("=")[::2] for source in options.sources]
    found = [one for spec, folder in pairs for one in records(placer, spec, Path(folder))]
    datasets.write(found, options.target)
    print(f"{sum(len(one.faces) for one in found):,} faces of {len(found):,} photos")


if __name__ == "__main__":
    main()
