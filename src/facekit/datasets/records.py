"""One typed record an image: what every dataset format is read into and written from.

Boxes and points are continuous pixels, 0-based: pixel ``i`` covers ``[i, i + 1)``. Published
integers are kept as they are; each format's module says where its own origin lies. Records are
plain Python values, so that a million of them stream in constant memory and compare with ``==``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from facekit.errors import DatasetError

__all__ = [
    "EMPTY",
    "FACE",
    "Box",
    "FaceRecord",
    "ImageRecord",
    "Point",
    "Provenance",
    "Repair",
    "extent_of",
    "safe_name",
]

Box = tuple[float, float, float, float]
"""``x1, y1, x2, y2``, continuous pixels."""

Point = tuple[float, float]
"""``x, y``, continuous pixels."""

Value = str | int | float | bool
FACE = "face"
_LONGEST_PART = 255
_LONGEST_NAME = 1000


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


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """Where a record was read.

    Attributes:
        file: The annotation file.
        line: The line number from 1, or ``None`` where the format has no lines.
    """

    file: str
    line: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Repair:
    """One thing that a reader mended, so that nothing is changed in silence.

    Attributes:
        code: A short, stable name (``"zero-line"``, ``"swapped-corners"``, ...).
        where: File and line.
        message: What was found and what was made of it.
    """

    code: str
    where: Provenance
    message: str

    def __str__(self) -> str:
        """Return ``file:line: code: message``."""
        place = (
            self.where.file if self.where.line is None else f"{self.where.file}:{self.where.line}"
        )
        return f"{place}: {self.code}: {self.message}"


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image and its faces.

    Attributes:
        name: The image's file as the annotation names it, relative, with forward slashes.
        root: The folder that ``name`` is relative to, or ``None`` where images are not at hand.
        data: The encoded image, where the format carries it (TFRecord), else ``None``.
        size: True height and width, pixels, or ``None`` where nobody has looked.
        faces: The faces in the annotation's order.
        attributes: Whatever else the format says of the image.
        source: Where the record was read.
        repairs: What the reader mended.
    """

    name: str
    root: Path | None = dataclasses.field(default=None, compare=False)
    data: bytes | None = None
    size: tuple[int, int] | None = None
    faces: tuple[FaceRecord, ...] = ()
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=_empty)
    source: Provenance | None = dataclasses.field(default=None, compare=False)
    repairs: tuple[Repair, ...] = dataclasses.field(default=(), compare=False)

    @property
    def path(self) -> Path | None:
        """The image file, or ``None`` where the root is unknown."""
        return None if self.root is None else self.root / self.name

    def replace(self, **changes: Any) -> ImageRecord:  # noqa: ANN401 - the fields' own types
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def extent_of(points: Iterable[Point]) -> Box:
    """Return the smallest box around points.

    Args:
        points: ``x, y`` pairs, pixels; at least one.
    """
    columns, rows = zip(*points, strict=True)
    return (min(columns), min(rows), max(columns), max(rows))


def safe_name(name: str, file: object, line: int | None = None) -> str:
    """Check a file name that an annotation gives.

    Args:
        name: The name as written; backslashes count as slashes.
        file: The annotation file, for the message.
        line: Its line.

    Returns:
        A relative name with forward slashes.

    Raises:
        DatasetError: If it is empty, absolute, would leave the dataset's folder, or is longer or
            of other characters than a file's name can be.
    """
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not path.parts or "\0" in name:
        raise DatasetError(file, line, f"not a file name: {name!r}")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DatasetError(file, line, f"the file name {name!r} would leave the dataset's folder")
    try:
        longest = max(len(part.encode()) for part in path.parts)
    except UnicodeEncodeError:
        raise DatasetError(file, line, f"not a file name: {name!r}") from None
    if longest > _LONGEST_PART or len(name) > _LONGEST_NAME:
        raise DatasetError(file, line, f"longer than a file name can be: {name[:60]!r}...")
    return str(path)


def repairs_of(records: Iterable[ImageRecord]) -> Iterator[Repair]:
    """Yield every repair of a stream of records."""
    for record in records:
        yield from record.repairs
