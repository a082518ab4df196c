"""The five losses of a Mask R-CNN, as Detectron2 weighs them.

Sources: Ren et al., "Faster R-CNN" (2015); Girshick, "Fast R-CNN" (2015); He et al., "Mask R-CNN"
(2017). What each sum is divided by is Detectron2's choice (commit 02b5c4e): the RPN's by the
anchors that an image may have, the edges' by all regions, not by those that are faces.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facekit.networks.mask_rcnn import MaskRCNN
from facekit.networks.mask_rcnn_boxes import deltas_between
from facekit.networks.mask_rcnn_heads import pool
from facekit.training.mask_rcnn.masks import Outline, rasterised
from facekit.training.mask_rcnn.match import Matches, leave_out, match, sample

__all__ = ["Sampling", "Truth", "losses"]

_FACE = 0
_ON_IGNORED = 0.5


@dataclasses.dataclass(frozen=True)
class Sampling:
    """What is learned from; the defaults are Detectron2's for models with an FPN.

    Attributes:
        anchors: Anchors of an image.
        anchor_share: How many of them may be faces, 0 to 1.
        anchor_overlaps: IoU below which an anchor is background, and from which it is a face.
        regions: Regions of an image.
        region_share: How many of them may be faces, 0 to 1.
        region_overlap: IoU from which a region is a face.
        before_nms: Proposals of a level that are looked at.
        after_nms: Proposals of an image that regions are chosen from.
        beta: Where the edges' losses turn from square to straight; 0 for straight alone.
    """

    anchors: int = 256
    anchor_share: float = 0.5
    anchor_overlaps: tuple[float, float] = (0.3, 0.7)
    regions: int = 512
    region_share: float = 0.25
    region_overlap: float = 0.5
    before_nms: int = 2000
    after_nms: int = 1000
    beta: float = 0.0


class Truth(NamedTuple):
    """What is in one image.

    Attributes:
        boxes: ``(n, 4)`` float32 xyxy, pixels of the input.
        ignored: ``(m, 4)`` float32 xyxy: neither faces nor background.
        outlines: Of each of the ``n`` faces; ``None`` for one whose mask is not learned.
    """

    boxes: Tensor
    ignored: Tensor
    outlines: Sequence[Outline | None] = ()


def losses(
    network: MaskRCNN, images: Sequence[Tensor], truths: Sequence[Truth], sampling: Sampling
) -> dict[str, Tensor]:
    """Return the losses of a batch; ``loss`` is the sum of the others.

    Args:
        network: Of one class, in training mode.
        images: As :meth:`MaskRCNN.forward` takes them.
        truths: What is in them.
        sampling: What is learned from.
    """
    levels = network.features(images)
    generator = network.proposal_generator
    answers, anchors = generator.rpn_head(levels), generator.anchors(levels)
    found = _rpn_losses(network, answers, torch.cat(anchors), truths, sampling)
    with torch.no_grad():
        proposals = generator.best(
            [(logits.detach(), deltas.detach()) for logits, deltas in answers],
            anchors,
            [(image.shape[1], image.shape[2]) for image in images],
            before_nms=sampling.before_nms,
            after_nms=sampling.after_nms,
        )
        chosen = [
            _regions(own.boxes, truth, sampling)
            for own, truth in zip(proposals, truths, strict=True)
        ]
    found |= _box_losses(network, levels, chosen, sampling.beta)
    if network.roi_heads.mask_head is not None:
        found["mask"] = _mask_loss(network, levels, chosen, truths)
    return {"loss": torch.stack(list(found.values())).sum(), **found}


def _rpn_losses(
    network: MaskRCNN,
    answers: Sequence[tuple[Tensor, Tensor]],
    anchors: Tensor,
    truths: Sequence[Truth],
    sampling: Sampling,
) -> dict[str, Tensor]:
    """Return whether anchors are told from background, and how far their edges are off."""
    logits, deltas = (torch.cat([level[i] for level in answers], dim=1) for i in range(2))
    weights = network.settings.rpn.box_weights
    score, edges = logits.new_zeros(()), logits.new_zeros(())
    for row, truth in enumerate(truths):
        with torch.no_grad():
            matches = match(anchors, truth.boxes, sampling.anchor_overlaps, best_too=True)
            labels = leave_out(matches.labels, anchors, truth.ignored, _ON_IGNORED)
            faces, background = sample(labels, sampling.anchors, sampling.anchor_share)
            both = torch.cat([faces, background])
        score = score + functional.binary_cross_entropy_with_logits(
            logits[row, both], (labels[both] == 1).float(), reduction="sum"
        )
        if len(faces):
            wanted = deltas_between(anchors[faces], truth.boxes[matches.faces[faces]], weights)
            edges = edges + functional.smooth_l1_loss(
                deltas[row, faces], wanted, reduction="sum", beta=sampling.beta
            )
    count = sampling.anchors * len(truths)
    return {"rpn_score": score / count, "rpn_box": edges / count}


class _Regions(NamedTuple):
    """The regions of one image that are learned from.

    Attributes:
        boxes: ``(k, 4)`` xyxy; faces first.
        targets: ``(f, 4)``, the faces of the first ``f`` regions.
        faces: ``(f,)`` int64, their rows in the truth.
    """

    boxes: Tensor
    targets: Tensor
    faces: Tensor


def _regions(proposals: Tensor, truth: Truth, sampling: Sampling) -> _Regions:
    """Choose from the proposals, to which the faces themselves are added."""
    boxes = torch.cat([proposals, truth.boxes])
    level = sampling.region_overlap
    matches: Matches = match(boxes, truth.boxes, (level, level))
    labels = leave_out(matches.labels, boxes, truth.ignored, _ON_IGNORED)
    faces, background = sample(labels, sampling.regions, sampling.region_share)
    rows = matches.faces[faces]
    return _Regions(boxes[torch.cat([faces, background])], truth.boxes[rows], rows)


def _box_losses(
    network: MaskRCNN, levels: Sequence[Tensor], chosen: Sequence[_Regions], beta: float
) -> dict[str, Tensor]:
    """Return whether regions are told from background, and how far their edges are off."""
    heads = network.roi_heads
    cut = pool(levels, [one.boxes for one in chosen], heads.settings.box.pooler)
    logits, deltas = heads.box_predictor(heads.box_head(cut))
    is_face = torch.cat(
        [torch.arange(len(one.boxes), device=logits.device) < len(one.faces) for one in chosen]
    )
    background = heads.settings.classes
    if not len(logits):
        return {"score": logits.sum() * 0, "box": deltas.sum() * 0}
    score = functional.cross_entropy(logits, torch.where(is_face, _FACE, background))
    boxes, targets = torch.cat([one.boxes for one in chosen]), [one.targets for one in chosen]
    wanted = deltas_between(boxes[is_face], torch.cat(targets), heads.settings.box.box_weights)
    own = deltas[is_face, 4 * _FACE : 4 * _FACE + 4]
    edges = functional.smooth_l1_loss(own, wanted, reduction="sum", beta=beta)
    return {"score": score, "box": edges / len(logits)}


def _mask_loss(
    network: MaskRCNN,
    levels: Sequence[Tensor],
    chosen: Sequence[_Regions],
    truths: Sequence[Truth],
) -> Tensor:
    """Return how well the masks of regions that are faces are drawn."""
    head, settings = network.roi_heads.mask_head, network.roi_heads.settings.mask
    assert head is not None  # noqa: S101 - the caller has looked
    assert settings is not None  # noqa: S101 - there is a head
    boxes, wanted = [], []
    for one, truth in zip(chosen, truths, strict=True):
        outlines = [truth.outlines[row] for row in one.faces.tolist()] if truth.outlines else []
        rows = [row for row, outline in enumerate(outlines) if outline is not None]
        boxes.append(one.boxes[rows])
        sides = one.boxes[rows].detach().cpu().tolist()
        side = 2 * settings.pooler.resolution
        wanted += [
            rasterised(outlines[row] or (), box, side) for row, box in zip(rows, sides, strict=True)
        ]
    logits = head(pool(levels, boxes, settings.pooler))[:, _FACE]
    if not wanted:
        return logits.sum() * 0
    targets = torch.from_numpy(np.stack(wanted)).to(logits.device, logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, targets)
