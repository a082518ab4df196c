"""WIDER FACE's annotation text, one block an image; and the official ``.mat``, by another module.

::

    0--Parade/0_Parade_marchingband_1_849.jpg
    1
    449 330 122 149 0 0 0 0 0 0

A face is ``x y width height blur expression illumination invalid occlusion pose``; the box covers
``[x, x + width)``. An image with a count of 0 still has one line of zeros. Readers in circulation
take the last three columns in another order, or make a face of the line of zeros; the columns
here are those of the readme that comes with the annotations.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from facekit import atomic
from facekit.datasets.files import open_text
from facekit.datasets.formats import Holds
from facekit.datasets.records import (
    EMPTY,
    FaceRecord,
    ImageRecord,
    Provenance,
    Repair,
    Value,
    safe_name,
)
from facekit.errors import DatasetError

__all__ = ["ATTRIBUTES", "HOLDS", "LARGEST", "read", "write"]

ATTRIBUTES: Final = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
"""The columns after the box, in order."""

LARGEST: Final = {"blur": 2, "occlusion": 2}
"""The largest value of an attribute; 1 where it is not named."""

_COLUMNS: Final = 4 + len(ATTRIBUTES)
_MAX_DIGITS: Final = 6
_MOST_FLAGS: Final = 1000


def _accepts(name: str, value: Value) -> bool:
    """Tell whether a column can have a value."""
    return value in range(LARGEST.get(name, 1) + 1)


HOLDS: Final = Holds(
    fields=frozenset({"ignore"}),
    face_attributes=frozenset(ATTRIBUTES),
    decimals=0,
    face_defaults=MappingProxyType(dict.fromkeys(ATTRIBUTES, 0)),
    ignore_attribute="invalid",
    accepts=_accepts,
)

_SPLITS: Final = ("train", "val")


def read(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Iterator[ImageRecord]:
    """Read WIDER FACE.

    Args:
        path: An annotation text, an official ``.mat``, or the dataset's folder (with
            ``wider_face_split/`` and ``WIDER_train/images/``, ``WIDER_val/images/``), whose texts
            are read.
        split: Of a folder: ``"train"`` or ``"val"``; by default both, train first.
        images: The folder of images; by default the one beside the annotations' folder, where
            there is one.

    Yields:
        One record an image, in the file's order. A face whose ``invalid`` is 1 has ``ignore``.

    Raises:
        DatasetError: If a line is malformed, with file, line and reason.
        MissingDependencyError: If a ``.mat`` is read and scipy is not installed.
    """
    place = Path(path)
    if place.suffix.lower() == ".mat":
        from facekit.datasets.wider_face_mat import read_mat  # noqa: PLC0415 - it imports this one

        yield from read_mat(place, _images_of(place, images))
        return
    if not place.is_dir():
        yield from _read_text(place, _images_of(place, images))
        return
    chosen = [
        text
        for name in (_SPLITS if split is None else (split,))
        for text in sorted(place.glob(f"**/wider_face_{name}_bbx_gt.txt"))
    ]
    if not chosen:
        raise DatasetError(
            place, None, "no wider_face_train_bbx_gt.txt or wider_face_val_bbx_gt.txt"
        )
    for text in chosen:
        yield from _read_text(text, _images_of(text, images))


def _images_of(text: Path, images: str | os.PathLike[str] | None) -> Path | None:
    """Find the folder of images that belongs to an annotation text."""
    if images is not None:
        return Path(images)
    split = next((name for name in _SPLITS if name in text.stem.split("_")), None)
    if split is None:
        return None
    for base in (text.parent, text.parent.parent):
        if (folder := base / f"WIDER_{split}" / "images").is_dir():
            return folder
    return None


def _read_text(text: Path, root: Path | None) -> Iterator[ImageRecord]:
    """Read one annotation text."""
    with open_text(text) as file:
        yield from _Blocks(text, file).records(root)


class _Blocks:
    """The blocks of an annotation text, and the number of the line that is being read."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._name = str(path)
        self._lines = iter(file)
        self._number = 0
        self._known: dict[str, dict[str, int]] = {}

    def _next(self, what: str) -> str:
        line = next(self._lines, None)
        if line is None:
            raise DatasetError(
                self._name, self._number, f"the file ends where {what} should follow"
            )
        self._number += 1
        return line.strip()

    def records(self, root: Path | None) -> Iterator[ImageRecord]:
        for line in self._lines:
            self._number += 1
            name = line.strip()
            if not name:
                continue
            source = Provenance(self._name, self._number)
            name = safe_name(name, self._name, self._number)
            faces, repairs = self._faces(self._count(name))
            yield ImageRecord(name=name, root=root, faces=faces, source=source, repairs=repairs)

    def _count(self, name: str) -> int:
        text = self._next(f"the number of faces of {name}")
        # The length comes first: int() refuses thousands of digits.
        if not text.isdecimal() or len(text) > _MAX_DIGITS:
            reason = f"expected the number of faces of {name}, got {text!r}"
            raise DatasetError(self._name, self._number, reason)
        return int(text)

    def _faces(self, count: int) -> tuple[tuple[FaceRecord, ...], tuple[Repair, ...]]:
        if count == 0:
            return (), self._skip_zeros()
        faces = []
        repairs: list[Repair] = []
        for line in itertools.islice(self._lines, count):
            self._number += 1
            face = self._face(line)
            faces.append(face)
            if face.ignore and (face.width <= 0 or face.height <= 0):
                message = f"{line.strip()!r} has no area; kept as ignored"
                repairs.append(self._repair("empty-box", message))
        if len(faces) < count:
            self._next("a face")  # says that there is none
        return tuple(faces), tuple(repairs)

    def _skip_zeros(self) -> tuple[Repair, ...]:
        line = self._next("the line of zeros of an image without faces")
        if any(word != "0" for word in line.split()):
            reason = f"expected a line of zeros after a count of 0, got {line!r}"
            raise DatasetError(self._name, self._number, reason)
        return (self._repair("zero-line", "the line of zeros is no face"),)

    def _repair(self, code: str, message: str) -> Repair:
        return Repair(code, Provenance(self._name, self._number), message)

    def _face(self, line: str) -> FaceRecord:
        try:
            left, top, wide, high, flags = line.split(None, 4)
            x, y, width, height = float(left), float(top), float(wide), float(high)
        except ValueError:
            raise self._not_numbers(line) from None
        x2, y2 = x + width, y + height
        # One comparison each, which also refuses NaN: this line runs for every face.
        if not (-1e9 < x < 1e9 and -1e9 < y < 1e9 and -1e9 < x2 < 1e9 and -1e9 < y2 < 1e9):  # noqa: PLR2004
            raise self._error(f"not a box: {line.strip()!r}")
        # Few different rows of flags occur; each is checked once.
        values = self._known.get(flags)
        if values is None:
            values = self._flags(flags, line)
            if len(self._known) < _MOST_FLAGS:
                self._known[flags] = values
        return FaceRecord(
            box=(x, y, x2, y2),
            attributes=values.copy(),
            ignore=values["invalid"] == 1 or width <= 0 or height <= 0,
            line=self._number,
        )

    def _flags(self, text: str, line: str) -> dict[str, int]:
        try:
            values = dict(zip(ATTRIBUTES, map(int, text.split()), strict=True))
        except ValueError:
            raise self._not_numbers(line) from None
        for name, value in values.items():
            if not 0 <= value <= LARGEST.get(name, 1):
                raise self._error(f"{name} must be 0 to {LARGEST.get(name, 1)}, got {value}")
        return values

    def _not_numbers(self, line: str) -> DatasetError:
        return self._error(f"expected {_COLUMNS} numbers, got {line.strip()!r}")

    def _error(self, reason: str) -> DatasetError:
        return DatasetError(self._name, self._number, reason)


def write(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write an annotation text.

    Args:
        records: Any stream of records. Coordinates are rounded to whole pixels, as published;
            an ignored face is written as invalid.
        path: The text file.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If the file is a ``.mat``, which is only read, or a name or attribute
            cannot be written.
    """
    if Path(path).suffix.lower() == ".mat":
        raise DatasetError(path, None, ".mat is only read; write the text, with the suffix .txt")
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            if record.name.split("\n") != [record.name.strip()]:
                raise DatasetError(path, None, f"a line cannot hold the name {record.name!r}")
            rows = [_row(face, path) for face in record.faces] or [" ".join("0" * _COLUMNS)]
            file.write("\n".join([record.name, str(len(record.faces)), *rows, ""]))


def _row(face: FaceRecord, path: str | os.PathLike[str]) -> str:
    """Return a face's line."""
    x1, y1, x2, y2 = (round(value) for value in face.box)
    attributes = face.attributes or EMPTY
    values = {name: attributes.get(name, 0) for name in ATTRIBUTES}
    for name, value in values.items():
        if not _accepts(name, value):
            reason = f"{name} must be 0 to {LARGEST.get(name, 1)}, got {value!r}"
            raise DatasetError(path, None, reason)
    flags = list(map(int, values.values()))
    # A box without area is ignored by every reader as it is.
    if face.ignore and x2 > x1 and y2 > y1:
        flags[ATTRIBUTES.index("invalid")] = 1
    return " ".join(map(str, [x1, y1, x2 - x1, y2 - y1, *flags]))
