"""Anchors, box coding, suppression and the losses of the tiny SSD, as MMDetection 1.x has them.

MMDetection 1.x counts pixels inclusively (width = x2 - x1 + 1). That stays inside this module:
boxes that enter or leave it are continuous ``x1 y1 x2 y2`` with width = x2 - x1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its usual name

STRIDE: Final = 16
WIDTHS: Final = (9.4, 25.1, 14.7, 34.7, 143.0, 77.4, 128.8, 51.1, 75.6)
HEIGHTS: Final = (15.0, 39.6, 25.5, 63.2, 227.5, 162.9, 124.5, 105.1, 72.6)
DEVIATIONS: Final = (0.1, 0.1, 0.2, 0.2)
MAX_LOG_RATIO: Final = float(abs(np.log(16 / 1000)))

SCORE_THRESHOLD: Final = 0.02
NMS_THRESHOLD: Final = 0.45
MAX_DETECTIONS: Final = 200

Boxes = NDArray[np.float32]


def anchors(size: int) -> Tensor:
    """Inclusive anchors (size/16 squared * 9, 4) of a square input, by row, column, shape."""
    cells = -(-size // STRIDE)
    half_w = (torch.tensor(WIDTHS, dtype=torch.float64) - 1) / 2
    half_h = (torch.tensor(HEIGHTS, dtype=torch.float64) - 1) / 2
    centre = (STRIDE - 1) / 2
    base = torch.stack([centre - half_w, centre - half_h, centre + half_w, centre + half_h], dim=1)
    shift = torch.arange(cells, dtype=torch.float64) * STRIDE
    y, x = torch.meshgrid(shift, shift, indexing="ij")
    offsets = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (base.round() + offsets).reshape(-1, 4).float()


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Deltas (n, 4) that take inclusive anchors to continuous boxes."""
    centre, extent = _centre_and_extent(priors)
    inclusive = torch.cat([boxes[:, :2], boxes[:, 2:] - 1], dim=1)
    target_centre, target_extent = _centre_and_extent(inclusive)
    shift = (target_centre - centre) / extent
    scale = torch.log(target_extent.clamp(min=1e-3) / extent)
    return torch.cat([shift, scale], dim=1) / torch.tensor(DEVIATIONS)


def decode(deltas: Tensor, priors: Tensor, size: int) -> Tensor:
    """Continuous boxes (..., n, 4) of deltas at inclusive anchors, clipped to the input."""
    centre, extent = _centre_and_extent(priors)
    deltas = deltas * torch.tensor(DEVIATIONS)
    middle = centre + extent * deltas[..., :2]
    half = extent * deltas[..., 2:].clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() / 2
    inclusive = torch.cat([middle - half + 0.5, middle + half - 0.5], dim=-1).clamp(0, size - 1)
    return torch.cat([inclusive[..., :2], inclusive[..., 2:] + 1], dim=-1)


def _centre_and_extent(inclusive: Tensor) -> tuple[Tensor, Tensor]:
    return (inclusive[:, :2] + inclusive[:, 2:]) / 2, inclusive[:, 2:] - inclusive[:, :2] + 1


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Overlaps (n, m) of continuous boxes."""
    top_left = torch.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(dim=1), (b[:, 2:] - b[:, :2]).prod(dim=1)
    return shared / (area_a[:, None] + area_b[None, :] - shared).clamp(min=1e-6)


def detections(
    logits: Tensor, deltas: Tensor, priors: Tensor, size: int
) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes (n, 4) and scores (n,) of one image after suppression, by falling score."""
    scores = logits.softmax(dim=1)[:, 1]
    keep = scores > SCORE_THRESHOLD
    boxes = decode(deltas, priors, size)[keep]
    scores, order = scores[keep].sort(descending=True, stable=True)
    boxes = boxes[order]
    kept = _suppress(boxes)[:MAX_DETECTIONS]
    return boxes[kept].numpy(), scores[kept].numpy()


def _suppress(boxes: Tensor) -> list[int]:
    """Rows of sorted boxes that greedy suppression keeps."""
    overlapping = (iou(boxes, boxes) > NMS_THRESHOLD).numpy()
    gone = np.zeros(len(boxes), dtype=bool)
    kept: list[int] = []
    for row in range(len(boxes)):
        if not gone[row]:
            kept.append(row)
            gone |= overlapping[row]
    return kept


@dataclass(frozen=True)
class Targets:
    """What the labels say of each anchor of one image: 1 face, 0 background, -1 not counted."""

    classes: Tensor
    deltas: Tensor


def assign(faces: Tensor, ignored: Tensor, priors: Tensor, threshold: float = 0.4) -> Targets:
    """Match anchors to faces: overlap of `threshold`, and the best anchors of every face.

    Args:
        faces: continuous boxes (n, 4) to learn.
        ignored: continuous boxes (m, 4) that are neither face nor background.
        priors: inclusive anchors (a, 4).
        threshold: least overlap of an anchor with its face.
    """
    continuous = torch.cat([priors[:, :2], priors[:, 2:] + 1], dim=1)
    classes = torch.zeros(len(priors), dtype=torch.long)
    if len(ignored):
        classes[iou(continuous, ignored).amax(dim=1) > threshold / 2] = -1
    if not len(faces):
        return Targets(classes, torch.zeros(len(priors), 4))
    overlaps = iou(continuous, faces)
    best, face = overlaps.max(dim=1)
    classes[best >= threshold] = 1
    top = overlaps.amax(dim=0)
    anchor, owner = torch.nonzero((overlaps >= top - 1e-6) & (top > 0), as_tuple=True)
    classes[anchor] = 1
    face[anchor] = owner
    return Targets(classes, encode(faces[face], priors))


def multibox_loss(logits: Tensor, deltas: Tensor, targets: Targets, negatives: float = 3) -> Tensor:
    """Cross entropy over faces and the hardest background, plus smooth L1 of the deltas.

    Args:
        logits: (n, a, 2).
        deltas: (n, a, 4).
        targets: of the whole batch: classes (n, a), deltas (n, a, 4).
        negatives: background anchors counted for each face anchor.
    """
    face, background = targets.classes == 1, targets.classes == 0
    entropy = F.cross_entropy(logits.flatten(0, 1), face.long().flatten(), reduction="none")
    entropy = entropy.view_as(face)
    count = max(int(face.sum()), 1)
    hardest = entropy[background].topk(min(int(negatives * count), int(background.sum()))).values
    boxes = F.smooth_l1_loss(deltas[face], targets.deltas[face], reduction="sum")
    return (entropy[face].sum() + hardest.sum() + boxes) / count


def distillation_loss(
    logits: Tensor, deltas: Tensor, teacher_logits: Tensor, teacher_deltas: Tensor
) -> Tensor:
    """How far two networks over the same anchors disagree, in scores and, on faces, in boxes."""
    margin = logits[..., 1] - logits[..., 0]
    teacher_margin = teacher_logits[..., 1] - teacher_logits[..., 0]
    score = teacher_margin.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(teacher_margin, score, reduction="sum")
    divergence = F.binary_cross_entropy_with_logits(margin, score, reduction="sum") - entropy
    weight = score * (score > SCORE_THRESHOLD)
    boxes = F.smooth_l1_loss(deltas, teacher_deltas, reduction="none", beta=0.5).sum(dim=-1)
    return (divergence + (boxes * weight).sum()) / weight.sum().clamp(min=1)
