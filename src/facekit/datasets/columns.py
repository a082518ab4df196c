"""The faces of one image as columns: arrays to count and to train with, objects when asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from facekit.datasets.faces import FACE, FaceRecord

__all__ = ["FaceColumns", "Faces"]

Rows: TypeAlias = "slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]"
"""A slice, a mask ``(n,)`` bool, or the numbers of faces ``(m,)``."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceColumns(Sequence[FaceRecord]):
    """The faces of one image: a sequence of :class:`FaceRecord` that is held as arrays.

    It compares, prints and iterates as the tuple of its faces would. A reader that can parse many
    faces at once gives its records such columns: a face becomes an object only when it is asked
    for. All of them have the label ``"face"``, and no landmarks. A reader's arrays are read-only.

    Attributes:
        boxes: ``(n, 4)`` float64: ``x1, y1, x2, y2``, pixels.
        ignore: ``(n,)`` bool.
        names: The names of the attributes.
        values: ``(n, len(names))`` integers: the attributes.
        lines: ``(n,)`` integers: the lines of the annotation file, from 1; or ``None``.
    """

    boxes: npt.NDArray[np.float64]
    ignore: npt.NDArray[np.bool_]
    names: tuple[str, ...]
    values: npt.NDArray[np.integer[Any]]
    lines: npt.NDArray[np.int64] | None = None

    # A tuple of faces cannot be hashed either: their attributes are mappings.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    @property
    def attributes(self) -> Mapping[str, npt.NDArray[np.integer[Any]]]:
        """The column ``(n,)`` of each attribute, by its name."""
        return dict(zip(self.names, self.values.T, strict=True))

    def take(self, rows: Rows) -> FaceColumns:
        """Return some of the faces, as columns.

        Args:
            rows: A slice, a mask ``(n,)`` bool, or the numbers of faces ``(m,)``.
        """
        lines = None if self.lines is None else self.lines[rows]
        return FaceColumns(
            self.boxes[rows], self.ignore[rows], self.names, self.values[rows], lines
        )

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.boxes)

    def __iter__(self) -> Iterator[FaceRecord]:
        """Yield the faces as objects."""
        lines = [None] * len(self) if self.lines is None else self.lines.tolist()
        rows = zip(
            self.boxes.tolist(), self.values.tolist(), self.ignore.tolist(), lines, strict=True
        )
        for (x1, y1, x2, y2), values, ignore, line in rows:
            yield FaceRecord(
                box=(x1, y1, x2, y2),
                label=FACE,
                attributes=dict(zip(self.names, values, strict=True)),
                ignore=ignore,
                line=line,
            )

    @overload
    def __getitem__(self, index: int) -> FaceRecord: ...

    @overload
    def __getitem__(self, index: slice) -> FaceColumns: ...

    def __getitem__(self, index: int | slice) -> FaceRecord | FaceColumns:
        """Return one face as an object, or a part of the columns."""
        if isinstance(index, slice):
            return self.take(index)
        number = range(len(self))[index]  # which refuses what a tuple refuses
        return next(iter(self.take(slice(number, number + 1))))

    def __eq__(self, other: object) -> bool:
        """Compare with other columns, or with a tuple of faces; lines do not count."""
        if isinstance(other, FaceColumns) and self.names == other.names:
            return (
                np.array_equal(self.boxes, other.boxes)
                and np.array_equal(self.ignore, other.ignore)
                and np.array_equal(self.values, other.values)
            )
        if isinstance(other, tuple | FaceColumns):
            return tuple(self) == tuple(other)
        return NotImplemented

    def __repr__(self) -> str:
        """Return the faces as a tuple's representation."""
        return repr(tuple(self))


Faces: TypeAlias = tuple[FaceRecord, ...] | FaceColumns
"""The faces of an image: a tuple of objects, or columns that compare equal to it."""
