"""Which anchors and regions stand for which face, and which of them are learned from.

Sources: Ren et al., "Faster R-CNN" (2015), section 3.1.2; Girshick, "Fast R-CNN" (2015), section
2.3. The order in which equal overlaps are decided is that of Detectron2 (commit 02b5c4e).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_area, box_iou

__all__ = ["Matches", "leave_out", "match", "sample"]


class Matches(NamedTuple):
    """What boxes stand for.

    Attributes:
        labels: ``(n,)`` int64: 1 for a face, 0 for background, -1 for neither.
        faces: ``(n,)`` int64, the face that each overlaps most; 0 where there is none.
    """

    labels: Tensor
    faces: Tensor


def match(
    boxes: Tensor, faces: Tensor, overlaps: tuple[float, float], *, best_too: bool = False
) -> Matches:
    """Say what boxes stand for.

    Args:
        boxes: ``(n, 4)`` xyxy: anchors or regions.
        faces: ``(m, 4)`` xyxy.
        overlaps: IoU below which a box is background, and from which it is a face.
        best_too: Whether the boxes that overlap a face more than all others stand for a face,
            however little that is.
    """
    nothing = boxes.new_zeros(len(boxes), dtype=torch.int64)
    if not len(faces):
        return Matches(nothing, nothing)
    overlap = box_iou(faces, boxes)
    most, nearest = overlap.max(dim=0)
    labels = nothing - 1
    labels[most < overlaps[0]] = 0
    labels[most >= overlaps[1]] = 1
    if best_too:
        best = overlap.amax(dim=1, keepdim=True)
        labels[((overlap == best) & (best > 0)).any(dim=0)] = 1
    return Matches(labels, nearest)


def leave_out(labels: Tensor, boxes: Tensor, ignored: Tensor, share: float) -> Tensor:
    """Make background that lies on ignored faces neither.

    Args:
        labels: ``(n,)`` as of `Matches`.
        boxes: ``(n, 4)`` xyxy.
        ignored: ``(m, 4)`` xyxy.
        share: How much of a box must lie on one of them.
    """
    if not len(ignored):
        return labels
    corners = torch.max(boxes[:, None, :2], ignored[None, :, :2])
    sides = (torch.min(boxes[:, None, 2:], ignored[None, :, 2:]) - corners).clamp(min=0)
    covered = sides.prod(dim=2) / box_area(boxes).clamp(min=1e-6)[:, None]
    return torch.where((labels == 0) & (covered > share).any(dim=1), -1, labels)


def sample(labels: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Choose at random, by torch's global generator.

    Args:
        labels: ``(n,)`` as of `Matches`.
        count: How many to choose; background fills up what faces leave.
        share: How many of them may be faces.

    Returns:
        The rows of faces and of background, int64.
    """
    faces, background = (torch.nonzero(labels == kind).flatten() for kind in (1, 0))
    of_faces = min(len(faces), int(count * share))
    of_background = min(len(background), count - of_faces)
    return _some(faces, of_faces), _some(background, of_background)


def _some(rows: Tensor, count: int) -> Tensor:
    """Return that many of the rows."""
    return rows[torch.randperm(len(rows), device=rows.device)[:count]]
