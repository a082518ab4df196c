"""One annotated face, and the plain values that it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

__all__ = ["EMPTY", "FACE", "Box", "FaceRecord", "Point", "Value", "extent_of"]

Box = tuple[float, float, float, float]
"""``x1, y1, x2, y2``, continuous pixels."""

Point = tuple[float, float]
"""``x, y``, continuous pixels."""

Value = str | int | float | bool
FACE = "face"


class _Empty(Mapping[str, Value]):
    """No attributes: one read-only object for a million records, which also pickles."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, key: str) -> Value:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and not other

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "EMPTY"


EMPTY: Final[Mapping[str, Value]] = _Empty()
"""The attributes of a record that has none."""


def _empty() -> Mapping[str, Value]:
    """Return :data:`EMPTY`, for dataclass defaults."""
    return EMPTY


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FaceRecord:
    """One annotated face.

    Attributes:
        box: ``x1, y1, x2, y2``, pixels; may leave the image where the format allows it.
        label: The class; ``"face"`` where faces are all there is.
        landmarks: ``x, y`` of each point in the scheme's order, or ``None``.
        scheme: The name of the point scheme (``"ibug68"``), or ``""`` without landmarks.
        visibility: COCO's 0, 1 or 2 for each point, or ``None``.
        polygons: Outlines as flat ``x, y, x, y, ...``, pixels, or ``None``.
        attributes: Whatever else the format says of the face (``blur``, ``occlusion``, ...).
        ignore: Neither a face to find nor background.
        line: The line of the annotation file, from 1, or ``None``.
    """

    box: Box
    label: str = FACE
    landmarks: tuple[Point, ...] | None = None
    scheme: str = ""
    visibility: tuple[int, ...] | None = None
    polygons: tuple[tuple[float, ...], ...] | None = None
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=_empty)
    ignore: bool = False
    line: int | None = dataclasses.field(default=None, compare=False)

    @property
    def width(self) -> float:
        """Width of the box, pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box, pixels."""
        return self.box[3] - self.box[1]


def extent_of(points: Iterable[Point]) -> Box:
    """Return the smallest box around points.

    Args:
        points: ``x, y`` pairs, pixels; at least one.
    """
    columns, rows = zip(*points, strict=True)
    return (min(columns), min(rows), max(columns), max(rows))
