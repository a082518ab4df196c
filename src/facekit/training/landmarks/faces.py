"""Faces with 68 points, from any dataset, held in memory as the grey pixels around each."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from facekit import datasets, images
from facekit.boxes import squares_around, xyxy_to_cxcywh
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import DatasetError

__all__ = ["POINTS", "SCHEME", "Face", "canonical_square", "read_faces"]

SCHEME = "ibug68"
POINTS = 68

_REACH = 1.9
"""Side of what is kept around a face, in canonical squares: a crop of 1.2 squares, larger by a
fifth and turned by 30 degrees, still lies within."""

_LARGEST_SQUARE = 256.0
"""Side that larger faces are shrunk to, pixels: a crop of 224 px shows a square of about 187."""

FloatArray = npt.NDArray[np.float32]
GreyImage = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One annotated face.

    Attributes:
        name: The image's name in its dataset.
        image: ``(H, W)`` uint8 grey: the face and some of what is around it.
        points: ``(68, 2)`` float32, continuous pixels of ``image``.
    """

    name: str
    image: GreyImage
    points: FloatArray

    @property
    def square(self) -> FloatArray:
        """The canonical square, ``(3,)`` centre x, centre y, side, pixels of ``image``."""
        return canonical_square(self.points)


def canonical_square(points: npt.ArrayLike) -> FloatArray:
    """Return the square around 68 points that landmarkers crop by.

    Args:
        points: ``(68, 2)``, pixels.

    Returns:
        ``(3,)`` float32: the middle of the points' extent, and 1.06 times its larger side.
    """
    ((x, y, side, _),) = xyxy_to_cxcywh(squares_around(np.asarray(points)[None]))
    return np.array([x, y, max(side, 1e-3)], dtype=np.float32)


def read_faces(spec: str, *, root: str | os.PathLike[str] | None = None) -> list[Face]:
    """Read every face with 68 points of a dataset.

    Args:
        spec: ``FORMAT:PATH``.
        root: The folder of images, where the format does not say it.

    Raises:
        DatasetError: If the dataset is malformed, names no folder of images, or has no such face.
        ImageError: If an image cannot be read.
    """
    options = {} if root is None else {"images": root}
    faces = list(_faces(datasets.read(spec, **options), spec))
    if not faces:
        raise DatasetError(spec, None, f"has no face with {POINTS} points of {SCHEME}")
    return faces


def _faces(records: Iterable[ImageRecord], spec: str) -> Iterator[Face]:
    """Yield the annotated faces of records; images without one are not opened."""
    for record in records:
        annotated = [face for face in record.faces if _usable(face)]
        if not annotated:
            continue
        if record.path is None:
            raise DatasetError(spec, None, "does not say where its images are: name their folder")
        grey = cv2.cvtColor(images.read(record.path), cv2.COLOR_RGB2GRAY)
        for face in annotated:
            yield _cut(record.name, np.asarray(grey, dtype=np.uint8), face)


def _usable(face: FaceRecord) -> bool:
    return not face.ignore and face.scheme == SCHEME and len(face.landmarks or ()) == POINTS


def _cut(name: str, grey: GreyImage, record: FaceRecord) -> Face:
    """Keep the part of an image that crops of a face can show."""
    points = np.array(record.landmarks, dtype=np.float32)
    x, y, side = (float(value) for value in canonical_square(points))
    half = _REACH / 2 * side
    height, width = grey.shape
    left, top = (
        int(min(max(low, 0), end - 1)) for low, end in ((x - half, width), (y - half, height))
    )
    right, bottom = max(left + 1, int(x + half) + 1), max(top + 1, int(y + half) + 1)
    part = grey[top:bottom, left:right]
    points -= np.array([left, top], dtype=np.float32)
    if side <= _LARGEST_SQUARE:
        return Face(name, part.copy(), points)
    rows, columns = (max(1, round(n * _LARGEST_SQUARE / side)) for n in part.shape)
    small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    ratio = np.array([columns / part.shape[1], rows / part.shape[0]], dtype=np.float32)
    return Face(name, np.asarray(small, dtype=np.uint8), points * ratio)
