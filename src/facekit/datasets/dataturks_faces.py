"""The annotations of one line of Dataturks' JSON: fractions of the image, and their quirks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from facekit.datasets.records import (
    FACE,
    FaceRecord,
    Point,
    Provenance,
    Repair,
    extent_of,
)
from facekit.datasets.values import checked_size, empty_box, numbers
from facekit.errors import DatasetError

__all__ = ["DECIMALS", "as_annotation", "as_face", "stated_size"]

DECIMALS: Final = 6
"""Of a coordinate in pixels: 0.1723076923076923 * 650 is 112, not 111.99999999999999."""

_LABEL: Final = "Face"
_CORNERS: Final = 2
_NEAR: Final = (-1.0, 2.0)


def stated_size(annotation: object, where: Provenance) -> tuple[int, int]:
    """Return the height and width that an annotation states, pixels.

    Raises:
        DatasetError: If it is no annotation, or states no size.
    """
    if not isinstance(annotation, dict):
        reason = f"an annotation is an object, got {type(annotation).__name__}"
        raise DatasetError(where.file, where.line, reason)
    return checked_size(annotation.get("imageHeight"), annotation.get("imageWidth"), where)


def as_face(
    annotation: Mapping[str, Any], size: tuple[int, int], where: Provenance
) -> tuple[FaceRecord, tuple[Repair, ...]]:
    """Return the face of an annotation, and what was mended.

    Args:
        annotation: As JSON gives it.
        size: The image's height and width, pixels.
        where: For messages.

    Raises:
        DatasetError: If the label or the points are malformed.
    """
    label, label_repairs = _label(annotation.get("label"), where)
    given = _points(annotation.get("points"), where)
    points, range_repairs = _clipped(given, where)
    height, width = size
    pixels = [(round(x * width, DECIMALS), round(y * height, DECIMALS)) for x, y in points]
    box = extent_of(pixels)
    repairs = [*label_repairs, *range_repairs, *_swapped(points, where), *empty_box(box, where)]
    polygon = tuple(itertools.chain.from_iterable(pixels))
    face = FaceRecord(
        box=box,
        label=label,
        polygons=(polygon,) if len(pixels) > _CORNERS else None,
        attributes=_notes(annotation.get("notes"), where),
        ignore=box[2] <= box[0] or box[3] <= box[1],
        line=where.line,
    )
    return face, tuple(repairs)


def _label(value: object, where: Provenance) -> tuple[str, tuple[Repair, ...]]:
    """Return the class that a label names."""
    given = value if isinstance(value, list) else [value]
    texts = [one for one in given if one is not None and str(one).strip()]
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in texts):
        raise DatasetError(where.file, where.line, f"a label is text or a list, got {value!r:.60}")
    names = [FACE if str(one).strip().casefold() == FACE else str(one) for one in texts]
    if not names:
        message = f"the label is {value!r}; taken as {FACE!r}"
        return FACE, (Repair("no-label", where, message),)
    if len(names) > 1:
        message = f"of the labels {', '.join(names)} the first is taken"
        return names[0], (Repair("several-labels", where, message),)
    return names[0], ()


def _points(value: object, where: Provenance) -> list[Point]:
    """Return the points, as fractions of the image."""
    if not isinstance(value, list) or len(value) < _CORNERS:
        reason = f"points is a list of at least {_CORNERS}, got {value!r:.60}"
        raise DatasetError(where.file, where.line, reason)
    points: list[Point] = []
    for one in value:
        pair = [one.get("x"), one.get("y")] if isinstance(one, dict) else one
        x, y = numbers(pair, where, "a point", _CORNERS)
        points.append((x, y))
    return points


def _clipped(points: list[Point], where: Provenance) -> tuple[list[Point], tuple[Repair, ...]]:
    """Bring points that lie a little outside the image to its border."""
    clipped = [(min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)) for x, y in points]
    if clipped == points:
        return points, ()
    outside = next(one for one, inside in zip(points, clipped, strict=True) if one != inside)
    if not all(_NEAR[0] <= value <= _NEAR[1] for point in points for value in point):
        reason = f"points are fractions of the image, 0 to 1, got {outside}"
        raise DatasetError(where.file, where.line, reason)
    message = f"the point {outside} lies outside the image; brought to its border"
    return clipped, (Repair("out-of-range", where, message),)


def _swapped(points: list[Point], where: Provenance) -> tuple[Repair, ...]:
    """Name two corners that are not the upper left and the lower right one."""
    if len(points) > _CORNERS:
        return ()
    (x1, y1), (x2, y2) = points
    if x1 <= x2 and y1 <= y2:
        return ()
    message = f"the corners {points[0]} and {points[1]} are in another order; sorted"
    return (Repair("swapped-corners", where, message),)


def _notes(value: object, where: Provenance) -> Mapping[str, str]:
    """Return the notes as an attribute."""
    if value in (None, ""):
        return {}
    if not isinstance(value, str):
        raise DatasetError(where.file, where.line, f"notes are text, got {value!r:.60}")
    return {"notes": value}


def as_annotation(face: FaceRecord, size: tuple[int, int]) -> dict[str, Any]:
    """Return a face as an annotation.

    Args:
        face: A face whose box lies inside the image.
        size: The image's height and width, pixels.
    """
    height, width = size
    x1, y1, x2, y2 = face.box
    return {
        "label": [_LABEL if face.label == FACE else face.label],
        "notes": str(face.attributes.get("notes", "")),
        "points": [{"x": x1 / width, "y": y1 / height}, {"x": x2 / width, "y": y2 / height}],
        "imageWidth": width,
        "imageHeight": height,
    }
