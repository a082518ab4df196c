"""One typed record an image: what every dataset format is read into and written from.

Boxes and points are continuous pixels, 0-based: pixel ``i`` covers ``[i, i + 1)``. Published
integers are kept as they are; each format's module says where its own origin lies. A million
records stream in constant memory; they compare with ``==``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit.datasets.columns import FaceColumns, Faces
from facekit.datasets.faces import EMPTY, FACE, Box, FaceRecord, Point, Value, extent_of
from facekit.errors import DatasetError

__all__ = [
    "EMPTY",
    "FACE",
    "Box",
    "FaceColumns",
    "FaceRecord",
    "Faces",
    "ImageRecord",
    "Point",
    "Provenance",
    "Repair",
    "Value",
    "extent_of",
    "repairs_of",
    "safe_name",
]

_LONGEST_PART = 255
_LONGEST_NAME = 1000
# What needs no second look: most names of most datasets.
_PLAIN_NAME: Final = re.compile(r"(?:\w[\w.-]{0,99}/)*\w[\w.-]{0,99}", re.ASCII)


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
class ImageRecord:
    """One image and its faces.

    Attributes:
        name: The image's file as the annotation names it, relative, with forward slashes.
        root: The folder that ``name`` is relative to, or ``None`` where images are not at hand.
        data: The encoded image, where the format carries it (TFRecord), else ``None``.
        size: True height and width, pixels, or ``None`` where nobody has looked.
        faces: The faces in the annotation's order: a tuple, or columns that equal it.
        attributes: Whatever else the format says of the image.
        source: Where the record was read.
        repairs: What the reader mended.
    """

    name: str
    root: Path | None = dataclasses.field(default=None, compare=False)
    data: bytes | None = None
    size: tuple[int, int] | None = None
    faces: Faces = ()
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=lambda: EMPTY)
    source: Provenance | None = dataclasses.field(default=None, compare=False)
    repairs: tuple[Repair, ...] = dataclasses.field(default=(), compare=False)

    @property
    def path(self) -> Path | None:
        """The image file, or ``None`` where the root is unknown."""
        return None if self.root is None else self.root / self.name

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """The boxes of all faces, ``(n, 4)`` float64, of ``x1, y1, x2, y2`` in pixels."""
        if isinstance(self.faces, FaceColumns):
            return self.faces.boxes
        return np.array([face.box for face in self.faces], dtype=np.float64).reshape(-1, 4)

    @property
    def ignored(self) -> npt.NDArray[np.bool_]:
        """Which faces are neither to be found nor background, ``(n,)`` bool."""
        if isinstance(self.faces, FaceColumns):
            return self.faces.ignore
        return np.array([face.ignore for face in self.faces], dtype=bool)

    def column(self, name: str, missing: Value = 0) -> npt.NDArray[Any]:
        """Return an attribute of all faces as an array.

        Args:
            name: The attribute, such as ``"blur"``.
            missing: What stands for it where a face does not have it.

        Returns:
            ``(n,)``, of the type of the values.
        """
        if isinstance(self.faces, FaceColumns) and name in self.faces.names:
            return self.faces.attributes[name]
        return np.array([face.attributes.get(name, missing) for face in self.faces])

    def replace(self, **changes: Any) -> ImageRecord:  # noqa: ANN401 - the fields' own types
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


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
    if len(name) <= _LONGEST_PART and _PLAIN_NAME.fullmatch(name):
        return name
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
