"""Outlines as the small masks that a mask head learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Outline", "box_outline", "rasterised"]

Points = npt.NDArray[np.float32]
Outline = tuple[Points, ...]
"""Polygons ``(k, 2)`` of one face, which it is inside any of."""


def box_outline(box: npt.NDArray[np.float32]) -> Outline:
    """Return a box ``(4,)`` as an outline."""
    x1, y1, x2, y2 = box
    return (np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], dtype=np.float32),)


def rasterised(outline: Outline, box: Sequence[float], side: int) -> npt.NDArray[np.bool_]:
    """Return which cells of a region lie inside an outline, by their middles.

    Args:
        outline: Pixels of the image.
        box: The region, xyxy, pixels of the image.
        side: Cells of the region along each axis.

    Returns:
        ``(side, side)`` bool.
    """
    x1, y1, x2, y2 = box
    middles = (np.arange(side) + 0.5) / side
    across, down = x1 + middles * (x2 - x1), y1 + middles * (y2 - y1)
    inside = np.zeros((side, side), dtype=bool)
    for polygon in outline:
        inside |= _inside(polygon.astype(np.float64), across, down)
    return inside


def _inside(
    polygon: npt.NDArray[np.float64],
    across: npt.NDArray[np.float64],
    down: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Count the edges to the right of each point: an odd number, and it is inside."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    # (rows, edges): edges that a row's line crosses, and where.
    crosses = (start[:, 1] <= down[:, None]) != (end[:, 1] <= down[:, None])
    rise = np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    place = start[:, 0] + (down[:, None] - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    right = crosses[:, None] & (place[:, None] > across[:, None])
    odd: npt.NDArray[np.bool_] = right.sum(axis=2) % 2 == 1
    return odd
