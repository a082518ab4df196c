"""RoIAlign of maps with channels last: of each cell a weighted sum of the map's rows.

torchvision's operation reads maps channel by channel, which is slow on a CPU. Here a point of a map
is one run of memory, and torch's bags of embeddings add those up. The sums are the same, in another
order.

Source: He et al., "Mask R-CNN" (2017), section 3; the grid, the border and the half pixel are those
of ``torchvision.ops.roi_align`` (0.29), on which Detectron2 relies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["roi_align_rows"]


def roi_align_rows(
    level: Tensor,
    regions: Tensor,
    output_size: tuple[int, int],
    *,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Cut regions from a map; takes what torchvision's takes.

    Args:
        level: ``(n, channels, rows, columns)``, best with channels last in memory.
        regions: ``(N, 5)``: the image's number, then xyxy in pixels of the input.
        output_size: Cells of a region, down and across.
        spatial_scale: The map's pixels over the input's.
        sampling_ratio: Points of a cell along each axis; 0 takes as many as it has pixels.
        aligned: Whether a pixel's value is at its centre.

    Returns:
        ``(N, channels, *output_size)``, channels last in memory.
    """
    rows, columns = level.shape[2:]
    table = level.permute(0, 2, 3, 1).reshape(-1, level.shape[1])
    height, width = output_size
    corners = regions[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    lengths = corners[:, 2:] - corners[:, :2]
    if not aligned:
        lengths = lengths.clamp(min=1.0)
    cells = lengths / lengths.new_tensor([width, height])
    points = cells.ceil().to(torch.int64)
    if sampling_ratio > 0:
        points = torch.full_like(points, sampling_ratio)
    found = table.new_zeros(len(regions), height, width, level.shape[1])
    kinds, kind = torch.unique(points, dim=0, return_inverse=True)
    for number, (across, down) in enumerate(kinds.tolist()):
        if not across or not down:
            continue
        (own,) = torch.nonzero(kind == number, as_tuple=True)
        first, cell = corners[own, :2], cells[own]
        at_x, part_x = _axis(first[:, 0], cell[:, 0], width, across, columns)
        at_y, part_y = _axis(first[:, 1], cell[:, 1], height, down, rows)
        at_y = at_y + regions[own, :1, None].to(torch.int64) * rows
        index = at_y[:, :, None, :, None] * columns + at_x[:, None, :, None, :]
        part = part_y[:, :, None, :, None] * part_x[:, None, :, None, :]
        bags = (len(own) * height * width, -1)
        sums = functional.embedding_bag(
            index.reshape(bags), table, mode="sum", per_sample_weights=part.reshape(bags)
        )
        found[own] = sums.view(len(own), height, width, -1)
    return found.permute(0, 3, 1, 2)


def _axis(
    first: Tensor, cell: Tensor, side: int, points: int, length: int
) -> tuple[Tensor, Tensor]:
    """Return where along an axis each cell's points are read, and how much of each.

    Args:
        first: ``(n,)``, where regions begin.
        cell: ``(n,)``, how long their cells are.
        side: Cells of a region.
        points: Of a cell.
        length: Of the map.

    Returns:
        Indices and weights, ``(n, side, 2 * points)``: each point lies between two pixels.
    """
    cells = torch.arange(side, device=first.device)[:, None] * cell[:, None, None]
    within = (torch.arange(points, device=first.device) + 0.5) * cell[:, None, None] / points
    # In torchvision's order, whose rounding decides between two pixels.
    at = (first[:, None, None] + cells + within).flatten(1)
    # Points up to a pixel beyond the border have its value, those further out none.
    inside = (at >= -1) & (at <= length)
    at = at.clamp(0, length - 1)
    low = at.floor()
    above = at - low
    weights = torch.stack([1 - above, above], dim=-1) * (inside[..., None] / points)
    low = low.to(torch.int64)
    index = torch.stack([low, (low + 1).clamp(max=length - 1)], dim=-1)
    shape = (len(first), side, 2 * points)
    return index.view(shape), weights.view(shape)
