"""Large images in tiles, with the very maps that the whole image would give.

A cell of a map sees a limited part of the image. Tiles begin at multiples of the largest stride and
overlap by what their cells see, so each cell is taken from a tile in which it sees all that it
would see in the whole; only the memory is another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from facekit.detectors._s3fd_maps import STRIDES, Layout, map_shapes
from facekit.engines import FloatArray

GRID: Final = STRIDES[-1]

# How far the cells of a tile's core see before and beyond it, pixels, as multiples of the grid:
# the head of conv7_2 sees 724 px, or 1044 px with a dilated fc6, about a centre that lies 48 px
# before its cell's corner, or in its middle.
_SIGHT: Final[dict[Layout, tuple[int, int]]] = {"s3fd": (512, 256), "dilated": (512, 512)}

SMALLEST_LIMIT: Final = (512 + GRID + 512) ** 2
"""The least number of pixels that the tile of one cell of the last map fits in."""

Run = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


class Span(NamedTuple):
    """Along one side, pixels: the core ``start..end``, whose cells count, and what is run."""

    start: int
    end: int
    low: int
    high: int


def spans(side: int, parts: int, layout: Layout) -> list[Span]:
    """Cut a side into parts of one length, of which only the last may be shorter.

    Args:
        side: Pixels.
        parts: At most so many.
        layout: Of the weights.
    """
    before, beyond = _SIGHT[layout]
    step = -(-side // (parts * GRID)) * GRID
    return [
        Span(start, end, max(start - before, 0), min(end + beyond, side))
        for start, end in itertools.pairwise([*range(0, side, step), side])
    ]


def cut(height: int, width: int, limit: int, layout: Layout) -> tuple[list[Span], list[Span]]:
    """Choose the rows and columns of tiles that compute the fewest pixels under a limit.

    Args:
        height: Of the network's input, pixels.
        width: The same.
        limit: Pixels of a tile, from `SMALLEST_LIMIT`.
        layout: Of the weights.

    Returns:
        Spans of the rows and of the columns; one each where the whole is within the limit.
    """
    down, across = (
        [_Cut.of(spans(side, parts, layout)) for parts in range(1, -(-side // GRID) + 1)]
        for side in (height, width)
    )
    rows, columns = min(
        (
            pair
            for pair in itertools.product(down, across)
            if pair[0].largest * pair[1].largest <= limit
        ),
        key=lambda pair: pair[0].total * pair[1].total,
    )
    return rows.spans, columns.spans


class _Cut(NamedTuple):
    """One way to cut a side: its spans, the longest that is run, and all together."""

    spans: list[Span]
    largest: int
    total: int

    @classmethod
    def of(cls, parts: list[Span]) -> _Cut:
        lengths = [part.high - part.low for part in parts]
        return cls(parts, max(lengths), sum(lengths))


def run_tiled(
    run: Run, image: FloatArray, limit: int, layout: Layout
) -> tuple[FloatArray, FloatArray]:
    """Run the network on one image, tile by tile.

    Args:
        run: The network: ``(1, 3, h, w)`` to logits ``(1, cells, 2)`` and deltas ``(1, cells, 4)``.
        image: ``(1, 3, height, width)`` float32.
        limit: Pixels of a tile.
        layout: Of the weights.

    Returns:
        Logits and deltas as of the whole image.
    """
    height, width = image.shape[2:]
    maps = [np.empty((*shape, 6), dtype=np.float32) for shape in map_shapes(height, width, layout)]
    rows, columns = cut(height, width, limit, layout)
    for down, across in itertools.product(rows, columns):
        tile = np.ascontiguousarray(image[:, :, down.low : down.high, across.low : across.high])
        flat = np.concatenate([one[0] for one in run(tile)], axis=1)
        shapes = map_shapes(tile.shape[2], tile.shape[3], layout)
        parts = np.split(flat, np.cumsum([high * wide for high, wide in shapes])[:-1])
        for stride, whole, part, shape in zip(STRIDES, maps, parts, shapes, strict=True):
            there, here = zip(
                _cells(down, height, stride), _cells(across, width, stride), strict=True
            )
            cells = part.reshape(*shape, 6)[here]
            # The last span's cells go on to the end of the map, which may lie beyond the image.
            whole[there] = cells
    answer = np.concatenate([one.reshape(-1, 6) for one in maps])[None]
    return answer[..., :2], answer[..., 2:]


def _cells(span: Span, side: int, stride: int) -> tuple[slice, slice]:
    """Return a core's cells in the whole map, and in the tile's map."""
    first, offset = span.start // stride, span.low // stride
    end = None if span.end == side else span.end // stride
    return slice(first, end), slice(first - offset, None if end is None else end - offset)
