"""S3FD's anchors: one square of four strides a cell."""

from __future__ import annotations

import torch
from torch import Tensor

from facekit.networks.s3fd_layers import SOURCES, STRIDES, TRUNK

__all__ = ["anchors"]

_CELLS = 4


def anchors(height: int, width: int) -> Tensor:
    """Return the anchors of an input, in the network's order: map, row, column.

    Args:
        height: Of the input, pixels.
        width: The same.

    Returns:
        (cells, 4) float32 x1 y1 x2 y2, pixels of the input; they leave it at the right and below,
        because ``fc6`` widens its map.
    """
    rows, columns = _sides(height), _sides(width)
    maps = []
    for index, stride in enumerate(STRIDES):
        down, across = (
            (torch.arange(cells, dtype=torch.float32) + 0.5) * stride
            for cells in (rows[index], columns[index])
        )
        y, x = torch.meshgrid(down, across, indexing="ij")
        half = _CELLS * stride / 2
        maps.append(torch.stack([x - half, y - half, x + half, y + half], dim=-1).reshape(-1, 4))
    return torch.cat(maps)


def _sides(side: int) -> list[int]:
    """Return the cells along a side of each map."""
    found = []
    for name, conv in TRUNK:
        if conv is None:
            side //= 2
        else:
            side = (side + 2 * conv.padding - conv.kernel) // conv.stride + 1
        if name in SOURCES:
            found.append(side)
    return found
