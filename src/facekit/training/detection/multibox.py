"""Anchors, matching, hard negatives and losses of one-shot detectors, for a batch at a time.

Boxes and anchors are continuous ``x1 y1 x2 y2`` in pixels of the input. The faces of all images of
a batch are in one flat list, so that nothing is padded and nothing loops over images or faces.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "DEVIATIONS",
    "Compensation",
    "Faces",
    "Targets",
    "decode",
    "distillation_losses",
    "encode",
    "hard_negatives",
    "iou",
    "match",
    "multibox_losses",
]

DEVIATIONS: Final = (0.1, 0.1, 0.2, 0.2)
"""What shifts and log sizes are divided by; SSD's "variances", MMDetection's ``target_stds``."""

FACE: Final = 1
BACKGROUND: Final = 0
NEITHER: Final = -1

_SAME: Final = 1e-6
_FORCED: Final = 2.0
_LEAST_SIDE: Final = 1e-3


@dataclasses.dataclass(frozen=True)
class Faces:
    """The annotated faces of a batch.

    Attributes:
        boxes: (f, 4) float.
        images: (f,) long, the image of each.
        ignore: (f,) bool: neither to be found nor background.
    """

    boxes: Tensor
    images: Tensor
    ignore: Tensor


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the annotation says of each anchor.

    Attributes:
        classes: (n, a) long: 1 face, 0 background, -1 neither.
        faces: (n, a) long: the row of the face that an anchor stands for; 0 where there is none.
    """

    classes: Tensor
    faces: Tensor


@dataclasses.dataclass(frozen=True)
class Compensation:
    """S3FD's second stage: faces with few anchors are given more of lesser overlap.

    Attributes:
        least: A face with fewer anchors than this is given its best, up to as many.
        overlap: What an anchor must overlap at least.
    """

    least: int
    overlap: float


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Return the overlaps (n, m) of every pair of boxes; boxes without area overlap nothing."""
    shared = _shared(one, other)
    union = _area(one)[:, None] + _area(other)[None, :] - shared
    return shared / union.clamp(min=_SAME)


def _shared(one: Tensor, other: Tensor) -> Tensor:
    low = torch.maximum(one[:, None, :2], other[None, :, :2])
    high = torch.minimum(one[:, None, 2:], other[None, :, 2:])
    return (high - low).clamp(min=0).prod(dim=2)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)


def encode(boxes: Tensor, anchors: Tensor, deviations: Sequence[float] = DEVIATIONS) -> Tensor:
    """Return the deltas that take anchors to boxes.

    Args:
        boxes: (..., 4).
        anchors: (..., 4).
        deviations: What dx, dy, dw and dh are divided by.

    Returns:
        (..., 4) dx, dy in sizes of the anchor, log dw, log dh, over the deviations.
    """
    centre, extent = _centre_and_extent(anchors)
    wanted_centre, wanted_extent = _centre_and_extent(boxes)
    shift = (wanted_centre - centre) / extent
    ratio = torch.log(wanted_extent.clamp(min=_LEAST_SIDE) / extent)
    return torch.cat([shift, ratio], dim=-1) / boxes.new_tensor(deviations)


def decode(deltas: Tensor, anchors: Tensor, deviations: Sequence[float] = DEVIATIONS) -> Tensor:
    """Return the boxes (..., 4) of deltas at anchors: what :func:`encode` inverts."""
    centre, extent = _centre_and_extent(anchors)
    scaled = deltas * deltas.new_tensor(deviations)
    middle = centre + extent * scaled[..., :2]
    half = extent * scaled[..., 2:].exp() / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def _centre_and_extent(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def match(
    faces: Faces,
    count: int,
    anchors: Tensor,
    *,
    overlap: float = 0.4,
    ignore_overlap: float = 0.2,
    ignore_cover: float = 0.5,
    compensation: Compensation | None = None,
) -> Targets:
    """Match anchors to faces: MMDetection's ``MaxIoUAssigner``, and S3FD's second stage.

    An anchor stands for the face that it overlaps most, if by `overlap`; the anchors that overlap
    a face most of all stand for it in any case. Of several such faces the most overlapped has the
    anchor, then the first. Anchors that stand for no face but lie on an ignored one are neither
    face nor background.

    Args:
        faces: Of the batch.
        count: Images of the batch, ``n``.
        anchors: (a, 4).
        overlap: Least IoU of an anchor with its face.
        ignore_overlap: IoU with an ignored face from which an anchor is neither.
        ignore_cover: Share of an anchor within an ignored face from which it is neither.
        compensation: S3FD's second stage, or ``None``.
    """
    classes = torch.full((count, len(anchors)), BACKGROUND, device=anchors.device)
    owners = torch.zeros_like(classes)
    if not len(faces.boxes):
        return Targets(classes, owners)
    wanted = ~faces.ignore
    classes = _ignored(faces, classes, anchors, ignore_overlap, ignore_cover)
    rows = wanted.nonzero().flatten()
    if not len(rows):
        return Targets(classes, owners)
    overlaps = iou(faces.boxes[rows], anchors)
    claims = _claims(overlaps, overlap, compensation)
    won, winner = _winners(claims, faces.images[rows], count)
    return Targets(
        torch.where(won, FACE, classes), torch.where(won, rows[winner.clamp(max=len(rows) - 1)], 0)
    )


def _ignored(
    faces: Faces, classes: Tensor, anchors: Tensor, overlap: float, cover: float
) -> Tensor:
    """Mark what lies on ignored faces as neither."""
    boxes, images = faces.boxes[faces.ignore], faces.images[faces.ignore]
    if not len(boxes):
        return classes
    covered = _shared(boxes, anchors) > cover * _area(anchors)
    lies = (covered | (iou(boxes, anchors) > overlap)).to(classes.dtype)
    marked = torch.zeros_like(classes).scatter_reduce(
        0, images[:, None].expand_as(lies), lies, "amax"
    )
    return torch.where(marked > 0, NEITHER, classes)


def _claims(overlaps: Tensor, least: float, compensation: Compensation | None) -> Tensor:
    """Return how strongly each face (f, a) claims each anchor; negative: not at all."""
    top = overlaps.amax(dim=1, keepdim=True)
    forced = (overlaps >= top - _SAME) & (top > 0)
    claims = torch.where(overlaps >= least, overlaps, -1)
    if compensation is not None:
        claims = _compensated(claims, overlaps, compensation)
    return torch.where(forced, overlaps + _FORCED, claims)


def _compensated(claims: Tensor, overlaps: Tensor, compensation: Compensation) -> Tensor:
    """Let faces with few anchors claim their next best."""
    few = (claims > 0).sum(dim=1, keepdim=True) < compensation.least
    values, places = overlaps.topk(min(compensation.least, overlaps.shape[1]), dim=1)
    more = torch.where(few & (values > compensation.overlap), values, -1)
    return claims.scatter_reduce(1, places, more, "amax")


def _winners(claims: Tensor, images: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return whether each anchor (n, a) is claimed, and by which row of the claims."""
    rows, anchors = claims.shape
    place = images[:, None].expand(rows, anchors)
    best = claims.new_full((count, anchors), -1).scatter_reduce(0, place, claims, "amax")
    number = torch.arange(rows, device=claims.device)[:, None].expand(rows, anchors)
    contender = torch.where((claims == best[images]) & (claims > 0), number, rows)
    first = number.new_full((count, anchors), rows).scatter_reduce(0, place, contender, "amin")
    return first < rows, first


def hard_negatives(losses: Tensor, classes: Tensor, *, ratio: float = 3, least: int = 0) -> Tensor:
    """Choose the background that a network finds hardest, over the whole batch.

    Images without a face take part, which they would not were each image counted by itself.

    Args:
        losses: (n, a) of the background's class.
        classes: (n, a) as of :class:`Targets`.
        ratio: Background anchors for each face's.
        least: At least so many, where there is no face at all.

    Returns:
        (n, a) bool.
    """
    background = classes == BACKGROUND
    wanted = ((classes == FACE).sum() * ratio).clamp(min=least)
    hardness = torch.where(background, losses.detach(), -torch.inf).flatten()
    rank = torch.empty_like(hardness, dtype=torch.long)
    order = hardness.argsort(descending=True, stable=True)
    rank[order] = torch.arange(len(rank), device=rank.device)
    return (rank < wanted).view_as(background) & background


def multibox_losses(
    logits: Tensor,
    deltas: Tensor,
    targets: Targets,
    faces: Faces,
    anchors: Tensor,
    *,
    ratio: float = 3,
    deviations: Sequence[float] = DEVIATIONS,
) -> tuple[Tensor, Tensor]:
    """Return SSD's losses: cross entropy with hard negatives, and smooth L1 of the deltas.

    Args:
        logits: (n, a, 2), background first.
        deltas: (n, a, 4).
        targets: Of these anchors.
        faces: Those that the targets name.
        anchors: (a, 4).
        ratio: Background anchors for each face's.
        deviations: Of the deltas.

    Returns:
        Both over the number of face anchors, or over 1 where there is none.
    """
    is_face = targets.classes == FACE
    margin = (logits[..., 1] - logits[..., 0]).float()
    losses = functional.binary_cross_entropy_with_logits(margin, is_face.float(), reduction="none")
    # With no face at all some background is learned from all the same.
    hard = hard_negatives(losses, targets.classes, ratio=ratio, least=len(logits))
    count = is_face.sum().clamp(min=1)
    score = torch.where(is_face | hard, losses, 0).sum() / count
    image, anchor = is_face.nonzero(as_tuple=True)
    wanted = encode(faces.boxes[targets.faces[image, anchor]], anchors[anchor], deviations)
    box = functional.smooth_l1_loss(deltas[image, anchor].float(), wanted, reduction="sum")
    return score, box / count


def distillation_losses(
    logits: Tensor,
    deltas: Tensor,
    taught_logits: Tensor,
    taught_deltas: Tensor,
    *,
    temperature: float = 1.0,
    threshold: float = 0.02,
) -> tuple[Tensor, Tensor]:
    """Return how far a network is from a teacher over the same anchors.

    Every anchor's score counts, with the entropy of the teacher's own taken off, so that 0 is
    perfect. Boxes count as much as the teacher is sure of a face.

    Args:
        logits: (n, a, 2), background first.
        deltas: (n, a, 4).
        taught_logits: The teacher's.
        taught_deltas: The teacher's.
        temperature: What both margins are divided by; above 1 low scores count for more.
        threshold: The teacher's score under which an anchor's box does not count.

    Returns:
        Of the scores and of the boxes, each over the sum of the teacher's scores above the
        threshold, or over 1.
    """
    margin = (logits[..., 1] - logits[..., 0]).float() / temperature
    taught = (taught_logits[..., 1] - taught_logits[..., 0]).float()
    score, soft = taught.sigmoid(), (taught / temperature).sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(taught / temperature, soft)
    divergence = functional.binary_cross_entropy_with_logits(margin, soft) - entropy
    weight = torch.where(score > threshold, score, 0)
    boxes = functional.smooth_l1_loss(
        deltas.float(), taught_deltas.float(), reduction="none", beta=0.5
    ).sum(dim=-1)
    total = weight.sum().clamp(min=1)
    return divergence * margin.numel() * temperature**2 / total, (boxes * weight).sum() / total
