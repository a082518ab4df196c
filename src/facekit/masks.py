"""Masks as run lengths, COCO's uncompressed RLE: numpy in, numpy out."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["RleMask"]


@dataclasses.dataclass(frozen=True, eq=False)
class RleMask:
    """One face's mask in COCO's uncompressed run-length form.

    Attributes:
        size: Height and width of the mask, pixels.
        counts: ``(r,)`` uint32 run lengths in column-major order; the first run is background.
    """

    size: tuple[int, int]
    counts: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        """Copy, freeze and check the runs.

        Raises:
            ValueError: If the runs do not fill the mask.
        """
        height, width = (int(side) for side in self.size)
        counts = np.array(self.counts, dtype=np.uint32).reshape(-1)
        if int(counts.sum(dtype=np.int64)) != height * width:
            message = f"runs of {counts.sum()} pixels do not fill a {height} x {width} mask"
            raise ValueError(message)
        counts.setflags(write=False)
        object.__setattr__(self, "size", (height, width))
        object.__setattr__(self, "counts", counts)

    @classmethod
    def from_mask(cls, mask: npt.ArrayLike) -> Self:
        """Encode a mask.

        Args:
            mask: ``(H, W)`` of anything that is true or false.

        Raises:
            ValueError: If the mask is not two-dimensional.
        """
        pixels = np.asarray(mask, dtype=bool)
        if pixels.ndim != 2:  # noqa: PLR2004 - height and width
            message = f"mask must have shape (H, W), got {pixels.shape}"
            raise ValueError(message)
        flat = pixels.reshape(-1, order="F")
        changes = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
        edges = np.concatenate([[0], changes, [flat.size]])
        runs = np.diff(edges)
        if flat.size and flat[0]:
            runs = np.concatenate([[0], runs])
        return cls((pixels.shape[0], pixels.shape[1]), runs.astype(np.uint32))

    @classmethod
    def from_patch(
        cls, patch: npt.ArrayLike, corner: tuple[int, int], size: tuple[int, int]
    ) -> Self:
        """Encode a mask that is known for a part of the image, and background elsewhere.

        Args:
            patch: ``(h, w)`` of anything that is true or false.
            corner: The part's left and top, pixels.
            size: Height and width of the image, pixels.

        Raises:
            ValueError: If the part does not lie in the image.
        """
        pixels = np.asarray(patch, dtype=bool)
        (left, top), (height, width) = corner, size
        if min(corner) < 0 or top + pixels.shape[0] > height or left + pixels.shape[1] > width:
            message = f"a {pixels.shape} part from {corner} does not lie in a mask of {size}"
            raise ValueError(message)
        columns = np.zeros((height, pixels.shape[1]), dtype=bool)
        columns[top : top + pixels.shape[0]] = pixels
        counts = cls.from_mask(columns).counts.tolist()
        counts[0] += left * height
        after = (width - left - pixels.shape[1]) * height
        if len(counts) % 2 == 1:
            counts[-1] += after
        elif after:
            counts.append(after)
        return cls(size, np.array(counts, dtype=np.uint32))

    def to_mask(self) -> npt.NDArray[np.bool_]:
        """Decode to ``(H, W)`` bool."""
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape(self.size, order="F")

    def to_polygons(self) -> list[npt.NDArray[np.float32]]:
        """Return the outlines along the pixels' edges: each has just the mask's pixels within.

        Returns:
            ``(k, 2)`` x, y of each part's corners, pixels; parts that touch at a corner are two.
            Holes are filled, because COCO's polygons have none. No part, no polygon.
        """
        loops = _loops(self.to_mask())
        return [loop.astype(np.float32) for loop in loops if _area(loop) > 0]

    def __eq__(self, other: object) -> bool:
        """Whether size and runs are the same."""
        if not isinstance(other, RleMask):
            return NotImplemented
        return self.size == other.size and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"size": [h, w], "counts": [...]}``, which pycocotools reads."""
        return {"size": list(self.size), "counts": self.counts.tolist()}


_Loop = npt.NDArray[np.int64]
_Corner = tuple[int, int]


def _loops(mask: npt.NDArray[np.bool_]) -> list[_Loop]:
    """Walk along the edges between mask and background, the mask on the right.

    Returns:
        ``(k, 2)`` x, y of each loop's corners; the area of a hole's is negative.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    # From each corner the directions in which an edge leaves it.
    leaving: dict[_Corner, list[_Corner]] = {}
    for axis, along in ((0, (1, 0)), (1, (0, 1))):
        change = np.diff(padded, axis=axis)
        # Above and below the image's rows, the padding gives edges one row more.
        rows, columns = np.nonzero(change)
        signs = change[rows, columns].tolist()
        for row, column, sign in zip(rows.tolist(), columns.tolist(), signs, strict=True):
            x, y = (column - 1, row) if axis == 0 else (column, row - 1)
            forward = (sign > 0) == (axis == 0)
            start = (x, y) if forward else (x + along[0], y + along[1])
            step = along if forward else (-along[0], -along[1])
            leaving.setdefault(start, []).append(step)
    loops = []
    while leaving:
        loops.append(_walk(next(iter(leaving)), leaving))
    return loops


def _walk(start: _Corner, leaving: dict[_Corner, list[_Corner]]) -> _Loop:
    """Follow one loop, and take its edges away."""
    corners: list[_Corner] = []
    place, before = start, (0, 0)
    while place in leaving:
        steps = leaving[place]
        # Where two parts touch, turning to the right stays with the same one.
        right = (-before[1], before[0])
        step = right if right in steps else steps[0]
        steps.remove(step)
        if not steps:
            del leaving[place]
        if step != before:
            corners.append(place)
        place, before = (place[0] + step[0], place[1] + step[1]), step
    if len(corners) > 1 and _straight(corners[-1], corners[0], corners[1]):
        corners = corners[1:]
    return np.array(corners, dtype=np.int64)


def _straight(one: _Corner, middle: _Corner, other: _Corner) -> bool:
    """Say whether three corners are in a row."""
    return one[0] == middle[0] == other[0] or one[1] == middle[1] == other[1]


def _area(loop: _Loop) -> float:
    """Return a loop's area, positive if the mask is on the right of it, y downwards."""
    x, y = loop[:, 0], loop[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
