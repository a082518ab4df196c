"""Boxes as torch tensors: anchors, deltas and clipping, in Detectron2's arithmetic and order.

Sources: ``DefaultAnchorGenerator``, ``Box2BoxTransform`` and ``Boxes`` of Detectron2 (commit
02b5c4e). Its anchors are not rounded, and the first one's centre is at the pixel frame's origin;
torchvision's are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

__all__ = [
    "apply_deltas",
    "cell_anchors",
    "clip",
    "deltas_between",
    "finite",
    "grid_anchors",
    "larger_than",
]

Quad = tuple[float, float, float, float]

_LARGEST_LOG: Final = math.log(1000.0 / 16)


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Return the anchors around the origin, ``(sizes * ratios, 4)`` float32 xyxy, pixels.

    Args:
        sizes: Square roots of the areas, pixels.
        ratios: Heights over widths.
    """
    boxes = []
    for size in sizes:
        for ratio in ratios:
            width = math.sqrt(size**2.0 / ratio)
            height = ratio * width
            boxes.append([-width / 2.0, -height / 2.0, width / 2.0, height / 2.0])
    return torch.tensor(boxes)


def grid_anchors(cell: Tensor, rows: int, columns: int, *, stride: int, offset: float) -> Tensor:
    """Lay anchors over a map.

    Args:
        cell: ``(k, 4)``, as of `cell_anchors`.
        rows: Of the map.
        columns: Of the map.
        stride: Pixels of a cell.
        offset: Where the first centre is, in strides.

    Returns:
        ``(rows * columns * k, 4)`` xyxy, pixels of the input.
    """
    start = offset * stride
    across, down = (
        torch.arange(start, count * stride, step=stride, dtype=torch.float32, device=cell.device)
        for count in (columns, rows)
    )
    y, x = torch.meshgrid(down, across, indexing="ij")
    shifts = torch.stack((x.reshape(-1), y.reshape(-1), x.reshape(-1), y.reshape(-1)), dim=1)
    return (shifts.view(-1, 1, 4) + cell.view(1, -1, 4)).reshape(-1, 4)


def apply_deltas(deltas: Tensor, boxes: Tensor, weights: Quad) -> Tensor:
    """Move and scale boxes.

    Args:
        deltas: ``(n, k * 4)`` dx, dy, dw, dh in units of the box over ``weights``.
        boxes: ``(n, 4)`` xyxy.
        weights: What the deltas are divided by.

    Returns:
        ``(n, k * 4)`` xyxy.
    """
    deltas = deltas.float()
    boxes = boxes.to(deltas.dtype)
    widths = boxes[:, 2] - boxes[:, 0]
    heights = boxes[:, 3] - boxes[:, 1]
    centre_x = boxes[:, 0] + 0.5 * widths
    centre_y = boxes[:, 1] + 0.5 * heights
    dx, dy, dw, dh = (deltas[:, i::4] / weight for i, weight in enumerate(weights))
    # exp() of more is no box.
    dw, dh = dw.clamp(max=_LARGEST_LOG), dh.clamp(max=_LARGEST_LOG)
    x = dx * widths[:, None] + centre_x[:, None]
    y = dy * heights[:, None] + centre_y[:, None]
    width = torch.exp(dw) * widths[:, None]
    height = torch.exp(dh) * heights[:, None]
    corners = (x - 0.5 * width, y - 0.5 * height, x + 0.5 * width, y + 0.5 * height)
    return torch.stack(corners, dim=-1).reshape(deltas.shape)


def deltas_between(boxes: Tensor, targets: Tensor, weights: Quad) -> Tensor:
    """Return the deltas by which `apply_deltas` makes targets of boxes.

    Args:
        boxes: ``(n, 4)`` xyxy, each of an area.
        targets: ``(n, 4)`` xyxy, each of an area.
        weights: What the deltas are multiplied by.

    Returns:
        ``(n, 4)`` dx, dy, dw, dh.
    """
    before, after = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    moved = (targets[:, :2] + 0.5 * after) - (boxes[:, :2] + 0.5 * before)
    return torch.cat([moved / before, torch.log(after / before)], dim=1) * boxes.new_tensor(weights)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``(n, 4)`` boxes within ``(height, width)``."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    sides = (x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height))
    return torch.stack(sides, dim=-1)


def larger_than(boxes: Tensor, side: float) -> Tensor:
    """Say which of ``(n, 4)`` boxes have both sides above a number of pixels."""
    return (boxes[:, 2] - boxes[:, 0] > side) & (boxes[:, 3] - boxes[:, 1] > side)


def finite(boxes: Tensor, scores: Tensor) -> Tensor:
    """Say which rows of boxes ``(n, 4 k)`` and scores ``(n,)`` or ``(n, c)`` are finite."""
    return torch.isfinite(boxes).all(dim=1) & torch.isfinite(scores.reshape(len(boxes), -1)).all(
        dim=1
    )
