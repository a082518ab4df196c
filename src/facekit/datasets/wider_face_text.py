"""WIDER FACE's annotation text, block by block: many clean ones at once, the others by line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from facekit.datasets.files import open_text
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import FaceRecord, ImageRecord, Provenance, Repair, safe_name
from facekit.datasets.wider_face_columns import (
    ATTRIBUTES,
    LARGEST,
    MAX_DIGITS,
    Chunk,
    empty_box,
    zero_line,
)
from facekit.errors import DatasetError

__all__ = ["read_text"]

_COLUMNS: Final = 4 + len(ATTRIBUTES)
_MOST_FLAGS: Final = 1000
_NAME: Final = re.compile(r".*\.(?:jpe?g|png|bmp|webp|tiff?)", re.IGNORECASE)
_CHUNK: Final = 1 << 18  # characters; some ten thousand faces


def read_text(
    text: Path, root: Path | None, on_malformed: OnMalformed = refuse
) -> Iterator[ImageRecord]:
    """Read one annotation text.

    Args:
        text: The file.
        root: The folder of images.
        on_malformed: Takes the error of each malformed line.

    Yields:
        One record an image.

    Raises:
        DatasetError: If a line is malformed, with file, line and reason.
    """
    with open_text(text) as file:
        lines: list[str] = []
        first = 1  # the number of the first of the lines
        while more := file.readlines(_CHUNK):
            lines += more
            chunk = Chunk(lines, first)
            faces = chunk.faces()
            if faces is None:
                break
            yield from chunk.records(faces, str(text), root, on_malformed)
            lines, first = lines[chunk.end :], first + chunk.end
            if not chunk.clear:
                break
        # What is left is cut off by the end of the file, malformed, or of fractions.
        yield from _Blocks(text, itertools.chain(lines, file), first, on_malformed).records(root)


class _Blocks:
    """The blocks of an annotation text, and the number of the line that is being read."""

    def __init__(
        self, path: Path, lines: Iterable[str], first: int, on_malformed: OnMalformed
    ) -> None:
        self._name = str(path)
        self._returned: list[str] = []
        self._lines = self._fed(lines)
        self._number = first - 1
        self._on_malformed = on_malformed
        self._last = ""
        self._known: dict[str, dict[str, int]] = {}

    def _fed(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            yield line
            while self._returned:
                yield self._returned.pop()

    def _return(self, line: str) -> None:
        """Give a line back, which was read as something else."""
        self._returned.append(line)
        self._number -= 1

    def _next(self, what: str) -> str:
        line = next(self._lines, None)
        self._last = (line or "").strip()
        if line is None:
            raise self._error(f"the file ends where {what} should follow")
        self._number += 1
        return self._last

    def records(self, root: Path | None) -> Iterator[ImageRecord]:
        for line in self._lines:
            self._number += 1
            if not line.strip():
                continue
            source = self._place()
            name = self._image(line.strip())
            try:
                faces, repairs = self._faces(self._count(line.strip()))
            except DatasetError as error:
                self._on_malformed(error)
                self._find_name()
                continue
            if name is not None:
                yield ImageRecord(name=name, root=root, faces=faces, source=source, repairs=repairs)

    def _image(self, text: str) -> str | None:
        try:
            return safe_name(text, self._name, self._number)
        except DatasetError as error:
            self._on_malformed(error)
            return None

    def _find_name(self) -> None:
        """Go on where the next image is named, beginning with the line that was read last."""
        line: str | None = self._last
        while line is not None and not _NAME.fullmatch(line.strip()):
            line = next(self._lines, None)
            self._number += 1
        if line is not None:
            self._return(line)

    def _count(self, name: str) -> int:
        text = self._next(f"the number of faces of {name}")
        # The length comes first: int() refuses thousands of digits.
        if not text.isdecimal() or len(text) > MAX_DIGITS:
            raise self._error(f"expected the number of faces of {name}, got {text!r}")
        return int(text)

    def _faces(self, count: int) -> tuple[tuple[FaceRecord, ...], tuple[Repair, ...]]:
        if count == 0:
            return (), self._skip_zeros()
        faces: list[FaceRecord] = []
        repairs: list[Repair] = []
        read = 0
        for line in itertools.islice(self._lines, count):
            read += 1
            self._number += 1
            try:
                face = self._face(line)
            except DatasetError as error:
                self._on_malformed(error)
                if not _NAME.fullmatch(line.strip()):
                    continue
                self._return(line)
                return tuple(faces), tuple(repairs)
            faces.append(face)
            if face.ignore and (face.width <= 0 or face.height <= 0):
                repairs.append(empty_box(line, self._place()))
        if read < count:
            self._next("a face")  # says that there is none
        return tuple(faces), tuple(repairs)

    def _skip_zeros(self) -> tuple[Repair, ...]:
        line = self._next("the line of zeros of an image without faces")
        if any(word != "0" for word in line.split()):
            raise self._error(f"expected a line of zeros after a count of 0, got {line!r}")
        return (zero_line(self._place()),)

    def _place(self) -> Provenance:
        return Provenance(self._name, self._number)

    def _face(self, line: str) -> FaceRecord:
        if "_" in line:  # which Python takes for a part of a number
            raise self._not_numbers(line)
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
