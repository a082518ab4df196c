"""Many blocks of WIDER FACE's annotation text at once, parsed and checked by numpy.

Only blocks as published are taken: ten whole numbers a face. Whatever else there is goes line by
line through :mod:`facekit.datasets.wider_face_text`, which names every fault.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.datasets.columns import FaceColumns
from facekit.datasets.malformed import OnMalformed
from facekit.datasets.records import Faces, ImageRecord, Provenance, Repair, safe_name
from facekit.errors import DatasetError

__all__ = ["ATTRIBUTES", "LARGEST", "MAX_DIGITS", "Chunk", "empty_box", "zero_line"]

ATTRIBUTES: Final = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
"""The columns after the box, in order."""

LARGEST: Final = {"blur": 2, "occlusion": 2}
"""The largest value of an attribute; 1 where it is not named."""

MAX_DIGITS: Final = 6
"""Of the number of faces of an image."""

_COLUMNS: Final = 4 + len(ATTRIBUTES)
_INVALID: Final = ATTRIBUTES.index("invalid")
_LARGEST: Final = np.array([LARGEST.get(name, 1) for name in ATTRIBUTES])
_FARTHEST: Final = 1e9


def zero_line(where: Provenance) -> Repair:
    """Return the repair of the line that stands for no face."""
    return Repair("zero-line", where, "the line of zeros is no face")


def empty_box(line: str, where: Provenance) -> Repair:
    """Return the repair of a face without area."""
    return Repair("empty-box", where, f"{line.strip()!r} has no area; kept as ignored")


class _Block(NamedTuple):
    """One image: the place of its first face among a chunk's lines, and how many follow."""

    start: int
    faces: int


class Chunk:
    """Some lines of an annotation text, and the images that are whole among them.

    Attributes:
        end: The place after the last whole image.
        clear: Whether another image could begin there, as far as the lines go.
    """

    def __init__(self, lines: Sequence[str], first: int) -> None:
        """Find the images.

        Args:
            lines: Lines of the text; an image's name comes first.
            first: The number of the first line, from 1.
        """
        self._lines = lines
        self._first = first
        self._blocks: list[_Block] = []
        self.end = 0
        self.clear = True
        while self.clear and self._block():
            pass

    def _block(self) -> bool:
        """Take the next image, if it is whole."""
        at, lines = self.end, self._lines
        while at < len(lines) and lines[at].isspace():
            at += 1
        self.end = at
        if at + 1 >= len(lines):
            return False
        count = lines[at + 1].strip()
        self.clear = count.isdecimal() and len(count) <= MAX_DIGITS
        faces = int(count) if self.clear else 0
        end = at + 2 + (faces or 1)
        if not self.clear or end > len(lines):
            return False
        self._blocks.append(_Block(at + 2, faces))
        self.end = end
        return True

    def faces(self) -> FaceColumns | None:
        """Parse and check the faces of all images; ``None`` where one needs a closer look."""
        blocks = [block for block in self._blocks if block.faces]
        rows = [line for at, count in blocks for line in self._lines[at : at + count]]
        zeros = {word for at, n in self._blocks if not n for word in self._lines[at].split()}
        numbers = _whole_numbers("".join(rows), len(rows))
        if numbers is None or not zeros <= {"0"}:
            return None
        boxes = numbers[:, :4].astype(np.float64)
        sides = boxes[:, 2:].copy()
        boxes[:, 2:] += boxes[:, :2]
        values = numbers[:, 4:]
        if (np.abs(boxes) >= _FARTHEST).any() or (values < 0).any() or (values > _LARGEST).any():
            return None
        ignore = (values[:, _INVALID] == 1) | (sides <= 0).any(axis=1)
        columns = boxes, ignore, values.astype(np.uint8), self._numbers(blocks)
        for column in columns:
            column.flags.writeable = False
        boxes, ignore, small, lines = columns
        return FaceColumns(boxes, ignore, ATTRIBUTES, small, lines)

    def _numbers(self, blocks: Sequence[_Block]) -> npt.NDArray[np.int64]:
        """Return the number of each face's line."""
        if not blocks:
            return np.empty(0, dtype=np.int64)
        starts, counts = np.array(blocks, dtype=np.int64).T
        before = np.cumsum(counts) - counts
        return self._first + np.repeat(starts - before, counts) + np.arange(counts.sum())

    def records(
        self, faces: FaceColumns, file: str, root: Path | None, on_malformed: OnMalformed
    ) -> Iterator[ImageRecord]:
        """Yield the images.

        Args:
            faces: All their faces.
            file: The annotation text.
            root: The folder of images.
            on_malformed: Takes the error of a name that would leave the dataset's folder.
        """
        x1, y1, x2, y2 = faces.boxes.T
        empty = np.flatnonzero((x2 <= x1) | (y2 <= y1)).tolist()
        end = 0
        for at, count in self._blocks:
            begin, end = end, end + count
            found = empty[bisect_left(empty, begin) : bisect_left(empty, end)]
            some: Faces = faces.take(slice(begin, end)) if count else ()
            number = self._first + at - 2
            try:
                name = safe_name(self._lines[at - 2].strip(), file, number)
            except DatasetError as error:
                on_malformed(error)
                continue
            yield ImageRecord(
                name=name,
                root=root,
                faces=some,
                source=Provenance(file, number),
                repairs=() if count and not found else self._repairs(file, at, begin, found),
            )

    def _repairs(self, file: str, at: int, begin: int, empty: Sequence[int]) -> tuple[Repair, ...]:
        """Return what is mended of the image whose first face is a line and a row."""
        if not empty:
            return (zero_line(Provenance(file, self._first + at)),)
        places = [at + row - begin for row in empty]
        return tuple(
            empty_box(self._lines[place], Provenance(file, self._first + place)) for place in places
        )


def _whole_numbers(text: str, rows: int) -> npt.NDArray[np.int64] | None:
    """Parse lines of ten whole numbers.

    Args:
        text: The lines.
        rows: How many they are.

    Returns:
        ``(rows, 10)``, or ``None`` if a line holds anything else.
    """
    if not rows:
        return np.empty((0, _COLUMNS), dtype=np.int64)
    text = text if text.endswith("\n") else f"{text}\n"
    if not text.isascii() or (data := text.encode()).translate(None, b"0123456789- \n"):
        return None
    letters = np.frombuffer(data, dtype=np.uint8)
    blank = letters <= ord(" ")
    starts = np.flatnonzero(~blank & np.roll(blank, 1))
    ends = np.flatnonzero(letters == ord("\n"))
    signs = np.flatnonzero(letters == ord("-"))
    if len(ends) != rows or len(starts) != rows * _COLUMNS:
        return None
    of_lines = starts.reshape(rows, _COLUMNS)
    if (of_lines[:, -1] > ends).any() or (of_lines[1:, 0] < ends[:-1]).any():
        return None
    if not blank[signs - 1].all() or (letters[signs + 1] < ord("0")).any():
        return None
    return np.fromstring(text, dtype=np.int64, sep=" ").reshape(rows, _COLUMNS)
