"""One face as one COCO annotation, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from facekit.datasets.records import EMPTY, Box, FaceRecord, Point, Provenance, Repair, Value
from facekit.datasets.values import checked_box, empty_box, numbers
from facekit.errors import DatasetError

__all__ = [
    "DECIMALS",
    "attributes_of",
    "face_of",
    "keypoint_names",
    "keypoints_of",
    "outline",
    "points_of",
    "polygons_of",
    "properties_of",
    "skeleton",
]

DECIMALS: Final = 6
"""Of a pixel; so ``x + width`` is again the right corner that was written."""

_VISIBLE: Final = 2
_PARTS: Final = (
    ("jaw", 17, False),
    ("right_eyebrow", 5, False),
    ("left_eyebrow", 5, False),
    ("nose_bridge", 4, False),
    ("nose_base", 5, False),
    ("right_eye", 6, True),
    ("left_eye", 6, True),
    ("outer_lip", 12, True),
    ("inner_lip", 8, True),
)
"""Parts of ``ibug68`` in order: points, and whether the last is joined to the first."""


def keypoint_names(scheme: str, count: int) -> list[str]:
    """Return the names of a scheme's points; right and left are the person's own.

    Args:
        scheme: ``"ibug68"``, or any other, whose points are numbered from 0.
        count: How many points it has.
    """
    if scheme == "ibug68":
        return [f"{part}_{i}" for part, points, _ in _PARTS for i in range(points)]
    return [f"{scheme or 'point'}_{i}" for i in range(count)]


def skeleton(scheme: str) -> list[list[int]]:
    """Return the lines of a scheme, as pairs of points counted from 1; none where unknown."""
    pairs: list[list[int]] = []
    first = 1
    for _, points, closed in _PARTS if scheme == "ibug68" else ():
        pairs += [[i, i + 1] for i in range(first, first + points - 1)]
        pairs += [[first + points - 1, first]] if closed else []
        first += points
    return pairs


def outline(box: Box) -> list[float]:
    """Return a box's four corners as a polygon, clockwise from the top left."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def keypoints_of(face: FaceRecord) -> list[float]:
    """Return a face's landmarks as flat ``x, y, visibility``."""
    points = face.landmarks or ()
    seen = face.visibility or (_VISIBLE,) * len(points)
    return [
        value
        for (x, y), flag in zip(points, seen, strict=True)
        for value in (round(x, DECIMALS), round(y, DECIMALS), flag)
    ]


def properties_of(face: FaceRecord, *, rectangles: bool = False) -> dict[str, Any]:
    """Return a face as an annotation, without its numbers and its landmarks.

    Args:
        face: The face.
        rectangles: Whether a face without polygons gets the outline of its box.
    """
    x1, y1, x2, y2 = (round(value, DECIMALS) for value in face.box)
    width, height = round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)
    polygons = [list(polygon) for polygon in face.polygons or ()]
    area = sum(map(_area, polygons)) if polygons else max(width, 0.0) * max(height, 0.0)
    return {
        "bbox": [x1, y1, width, height],
        "area": round(area, DECIMALS),
        "iscrowd": int(face.ignore),
        "segmentation": polygons or ([outline((x1, y1, x2, y2))] if rectangles else []),
        **({"attributes": dict(face.attributes)} if face.attributes else {}),
    }


def _area(polygon: Sequence[float]) -> float:
    """Return the area inside a polygon of flat ``x, y``, by the shoelace formula."""
    xs, ys = polygon[::2], polygon[1::2]
    following = zip([*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
    corners = zip(xs, ys, following, strict=True)
    return abs(sum(x * next_y - next_x * y for x, y, (next_x, next_y) in corners)) / 2


def face_of(
    annotation: Mapping[str, Any], label: str, scheme: str, where: Provenance
) -> tuple[FaceRecord, tuple[Repair, ...]]:
    """Return the face of an annotation, and what was mended.

    Args:
        annotation: One element of ``annotations``.
        label: The name of its category.
        scheme: The scheme of its keypoints, or ``""`` where the category does not say.
        where: Its file and line.

    Raises:
        DatasetError: If it is malformed.
    """
    x, y, width, height = numbers(annotation.get("bbox"), where, "bbox", 4)
    corners = (x, y, round(x + width, DECIMALS), round(y + height, DECIMALS))
    box = checked_box(corners, where)
    empty = empty_box(box, where)
    polygons, dropped = polygons_of(annotation.get("segmentation"), where)
    landmarks, visibility = points_of(annotation.get("keypoints"), where)
    attributes, strange = attributes_of(annotation.get("attributes"), where)
    ignored = [_flag(annotation, name, where) for name in ("iscrowd", "ignore")]
    face = FaceRecord(
        box=box,
        label=label,
        landmarks=landmarks,
        scheme=(scheme or f"points{len(landmarks)}") if landmarks else "",
        visibility=visibility,
        polygons=polygons,
        attributes=attributes,
        ignore=any(ignored) or bool(empty),
        line=where.line,
    )
    return face, empty + dropped + strange


def _flag(annotation: Mapping[str, Any], name: str, where: Provenance) -> bool:
    """Return a flag that may be absent."""
    value = annotation.get(name, 0)
    if value not in (0, 1):
        raise DatasetError(where.file, where.line, f"{name} must be 0 or 1, got {value!r}")
    return bool(value)


def polygons_of(
    given: object, where: Provenance
) -> tuple[tuple[tuple[float, ...], ...] | None, tuple[Repair, ...]]:
    """Return the polygons of a ``segmentation``; a mask of run lengths is left out, and named.

    Raises:
        DatasetError: If a polygon has no three points.
    """
    if isinstance(given, dict):
        message = "a mask of run lengths is left out; facekit keeps polygons"
        return None, (Repair("mask-dropped", where, message),)
    if not given:
        return None, ()
    if not isinstance(given, list):
        reason = f"segmentation must be a list of polygons, got {given!r}"
        raise DatasetError(where.file, where.line, reason)
    polygons = tuple(tuple(numbers(polygon, where, "a polygon")) for polygon in given)
    for polygon in polygons:
        if len(polygon) % 2 or len(polygon) < 6:  # noqa: PLR2004 - three corners
            reason = f"a polygon has at least three x, y pairs, got {len(polygon)} numbers"
            raise DatasetError(where.file, where.line, reason)
    return polygons, ()


def points_of(
    given: object, where: Provenance
) -> tuple[tuple[Point, ...] | None, tuple[int, ...] | None]:
    """Return landmarks and visibility of ``keypoints``; all zeros are no landmarks.

    Raises:
        DatasetError: If it is not a list of ``x, y, visibility``.
    """
    values = numbers([] if given is None else given, where, "keypoints")
    if len(values) % 3:
        reason = f"keypoints must be x, y, visibility of each point, got {len(values)} numbers"
        raise DatasetError(where.file, where.line, reason)
    if not any(values):
        return None, None
    seen = values[2::3]
    if not set(seen) <= {0, 1, _VISIBLE}:
        raise DatasetError(where.file, where.line, "a keypoint's visibility must be 0, 1 or 2")
    visibility = None if set(seen) == {_VISIBLE} else tuple(int(flag) for flag in seen)
    return tuple(zip(values[::3], values[1::3], strict=True)), visibility


def attributes_of(
    given: object, where: Provenance
) -> tuple[Mapping[str, Value], tuple[Repair, ...]]:
    """Return attributes of plain values; any other is left out, and named.

    Raises:
        DatasetError: If it is no object.
    """
    if given is None:
        return EMPTY, ()
    if not isinstance(given, dict):
        raise DatasetError(where.file, where.line, f"attributes must be an object, got {given!r}")
    plain = {name: value for name, value in given.items() if isinstance(value, Value)}
    strange = ", ".join(sorted(given.keys() - plain.keys()))
    message = f"attributes that are no plain values are left out: {strange}"
    return plain or EMPTY, (Repair("attribute-dropped", where, message),) if strange else ()
