"""What can be told from a face and its image's size alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from facekit import boxes
from facekit.datasets.records import Box, FaceRecord, Point

__all__ = [
    "SLACK",
    "duplicates",
    "face_quirks",
    "is_empty",
    "is_finite",
    "is_outside",
    "leaves",
]

SLACK: Final = 1e-3
"""Formats that store fractions of the image lose digits; so many pixels are no quirk."""

_POINTS: Final = {"ibug68": 68}
_ELONGATED: Final = 4.0
_NEARLY: Final = 0.9

Quirk = tuple[str, str]
"""A code and a message."""


def is_finite(face: FaceRecord) -> bool:
    """Tell whether all coordinates of a box are numbers."""
    return all(map(math.isfinite, face.box))


def is_empty(face: FaceRecord) -> bool:
    """Tell whether a box has no area."""
    return not (face.width > 0 and face.height > 0)


def is_outside(box: Box, size: tuple[int, int]) -> bool:
    """Tell whether a box has nothing in common with an image of a height and width."""
    return box[2] <= 0 or box[3] <= 0 or box[0] >= size[1] or box[1] >= size[0]


def leaves(box: Box, size: tuple[int, int]) -> bool:
    """Tell whether a box is partly outside an image of a height and width."""
    return min(box[:2]) < -SLACK or box[2] > size[1] + SLACK or box[3] > size[0] + SLACK


def face_quirks(face: FaceRecord, size: tuple[int, int] | None, tiny: float) -> Iterator[Quirk]:
    """Yield what is wrong with a face.

    Args:
        face: The face.
        size: Its image's height and width, pixels, where known.
        tiny: A face with a shorter side is tiny, pixels.

    Yields:
        Code and message of each quirk; of an ignored face only what no format can mean.
    """
    if not is_finite(face):
        yield "not-finite", f"the box is {_words(face.box)}"
        return
    if is_empty(face):
        yield "empty-box", f"{face.width:g} x {face.height:g} has no area"
        return
    if size is not None and is_outside(face.box, size):
        yield "box-outside", f"{_words(face.box)} is outside {size[1]} x {size[0]}"
    elif size is not None and leaves(face.box, size):
        yield "box-leaves-image", f"{_words(face.box)} leaves {size[1]} x {size[0]}"
    yield from _point_quirks(face, size)
    if not face.ignore:
        yield from _size_quirks(face, tiny)


def _size_quirks(face: FaceRecord, tiny: float) -> Iterator[Quirk]:
    """Yield what is odd about a box's sides."""
    short, long = sorted((face.width, face.height))
    measure = f"{face.width:g} x {face.height:g}"
    if short < tiny:
        yield "tiny-face", f"{measure} is below {tiny:g}"
    if long > _ELONGATED * short:
        yield "elongated-box", f"{measure} is more than {_ELONGATED:g} to 1"


def _point_quirks(face: FaceRecord, size: tuple[int, int] | None) -> Iterator[Quirk]:
    """Yield what is wrong with landmarks."""
    points = face.landmarks
    if points is None:
        return
    if not all(math.isfinite(value) for point in points for value in point):
        yield "not-finite", "a landmark is not a number"
        return
    expected = _POINTS.get(face.scheme, len(points))
    if len(points) != expected:
        yield "point-count", f"{face.scheme} has {expected} points, got {len(points)}"
    if face.visibility is not None and len(face.visibility) != len(points):
        yield "point-count", f"{len(points)} points, but {len(face.visibility)} visibilities"
        return
    shown = _shown(points, face.visibility)
    outside = _outside(shown, face.box)
    if 2 * outside > len(shown):
        yield "landmarks-outside-box", f"{outside} of {len(shown)} points"
    if size is not None and (beyond := _outside(shown, (0.0, 0.0, size[1], size[0]))):
        yield "landmarks-outside-image", f"{beyond} of {len(shown)} points"


def _shown(points: Sequence[Point], visibility: Sequence[int] | None) -> list[Point]:
    """Return the points that are annotated: COCO's visibility 0 means that one is not."""
    if visibility is None:
        return list(points)
    return [point for point, seen in zip(points, visibility, strict=True) if seen]


def _outside(points: Sequence[Point], box: Box) -> int:
    """Count the points outside a box."""
    x1, y1, x2, y2 = box
    slack = SLACK
    return sum(
        not (x1 - slack <= x <= x2 + slack and y1 - slack <= y <= y2 + slack) for x, y in points
    )


def duplicates(faces: Sequence[FaceRecord]) -> Iterator[tuple[int, int, float]]:
    """Find boxes of one label that coincide, or nearly do.

    Args:
        faces: The faces of an image.

    Yields:
        For each face that has an earlier twin: its index, the twin's, and their overlap (IoU),
        at least 0.9; 1 where the boxes are equal.
    """
    counted = [i for i, face in enumerate(faces) if is_finite(face) and not is_empty(face)]
    if len(counted) < 2:  # noqa: PLR2004 - a pair
        return
    array = np.array([faces[i].box for i in counted], dtype=np.float64)
    order = np.argsort(array[:, 0], kind="stable")
    for later, earlier, overlap in sorted(_pairs(array, order)):
        one, two = counted[later], counted[earlier]
        if faces[one].label == faces[two].label:
            yield one, two, 1.0 if faces[one].box == faces[two].box else overlap


def _pairs(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    order: np.ndarray[tuple[int, ...], np.dtype[np.intp]],
) -> Iterator[tuple[int, int, float]]:
    """Yield each box that has an earlier near twin, and the first such; rows by their left side.

    Boxes that nearly coincide begin within a tenth of their width of each other, so that each is
    compared with few: a crowd of thousands costs no matrix of millions.
    """
    best: dict[int, tuple[int, float]] = {}
    lefts = array[order, 0]
    reach = lefts + (1 - _NEARLY) * (array[order, 2] - lefts)
    ends = np.searchsorted(lefts, reach, side="right")
    for place, end in enumerate(ends):
        rivals = order[place + 1 : end]
        if not len(rivals):
            continue
        overlaps = boxes.iou(array[order[place : place + 1]], array[rivals])[0]
        for rival, overlap in zip(rivals.tolist(), overlaps.tolist(), strict=True):
            if overlap >= _NEARLY:
                earlier, later = sorted((int(order[place]), rival))
                if later not in best or earlier < best[later][0]:
                    best[later] = earlier, overlap
    for later, (earlier, overlap) in best.items():
        yield later, earlier, overlap


def _words(box: Box) -> str:
    """Return a box as a message shows it."""
    return f"({', '.join(f'{value:g}' for value in box)})"
