"""An R-CNN in the three parts between which regions are selected.

Selection answers with as many regions as there are, which exporters cannot follow; between two
selections everything is plain arithmetic. :mod:`facekit.detectors._mask_rcnn_graph` puts the parts
together again, with the selections as ONNX has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from facekit.networks.mask_rcnn import DIVISIBILITY, MaskRCNN
from facekit.networks.mask_rcnn_boxes import apply_deltas, larger_than

__all__ = ["Candidates", "Drawings", "Judgements", "traced_parts"]

_SIDES: Final = (4, 5)
"""Of the picture that is traced, in steps of `DIVISIBILITY`."""

_REGIONS: Final = 3
_LEVELS: Final = ("p2", "p3", "p4", "p5", "p6")


class Candidates(nn.Module):
    """An image to its pyramid and the candidates of each level."""

    def __init__(self, network: MaskRCNN) -> None:
        """Share a network's layers."""
        super().__init__()
        self.backbone, self.rpn = network.backbone, network.proposal_generator

    def forward(self, planes: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Look at one image.

        Args:
            planes: ``(1, 3, height, width)``, normalised, and padded to multiples of 32.
            size: ``(2,)`` float height and width without the padding.

        Returns:
            p2 to p5; then of each level p2 to p6 the boxes ``(k, 4)`` within the image, the logits
            ``(k,)``, and ``(k,)`` 0, or minus infinity where a box is too small.
        """
        levels = self.backbone(planes)
        settings = self.rpn.settings
        parts: list[Tensor] = []
        for anchors, (logits, deltas) in zip(
            self.rpn.anchors(levels), self.rpn.rpn_head(levels), strict=True
        ):
            boxes = _within(apply_deltas(deltas[0], anchors, settings.box_weights), size)
            large = larger_than(boxes, settings.min_size)
            nothing = torch.full_like(logits[0], -torch.inf)
            parts += [boxes, logits[0], torch.where(large, torch.zeros_like(nothing), nothing)]
        return (*levels[:-1], *parts)


class Judgements(nn.Module):
    """Regions to scores and boxes."""

    def __init__(self, network: MaskRCNN) -> None:
        """Share a network's layers."""
        super().__init__()
        self.heads = network.roi_heads

    def forward(self, regions: Tensor, proposals: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Judge the regions of one image.

        Args:
            regions: ``(n, channels, side, side)``, cut out of the pyramid.
            proposals: ``(n, 4)`` xyxy, where.
            size: See `Candidates.forward`.

        Returns:
            ``(n, c, 4)`` boxes within the image, of each class or one for all, and ``(n, c)``
            scores, without the background's.
        """
        logits, deltas = self.heads.box_predictor(self.heads.box_head(regions))
        boxes = apply_deltas(deltas, proposals, self.heads.settings.box.box_weights)
        boxes = boxes.reshape(proposals.shape[0], deltas.shape[1] // 4, 4)
        return _within(boxes, size), logits.softmax(dim=-1)[:, :-1]


class Drawings(nn.Module):
    """Regions to masks."""

    def __init__(self, network: MaskRCNN) -> None:
        """Share the layers of a network with masks."""
        super().__init__()
        self.head = network.roi_heads.mask_head

    def forward(self, regions: Tensor, classes: Tensor) -> Tensor:
        """Draw masks.

        Args:
            regions: ``(n, channels, side, side)``, cut out of the pyramid.
            classes: ``(n,)`` int64.

        Returns:
            ``(n, m, m)`` in 0..1.
        """
        assert self.head is not None  # noqa: S101 - as said
        return self.head.of_classes(regions, classes)


def _within(boxes: Tensor, size: Tensor) -> Tensor:
    """Clip ``(..., 4)`` boxes to ``(height, width)``."""
    return torch.minimum(boxes.clamp(min=0), size.flip(0).repeat(2))


def traced_parts(network: MaskRCNN, traced: Callable[..., Any]) -> dict[str, Any]:
    """Trace the parts of a network.

    Args:
        network: In evaluation mode.
        traced: :func:`facekit.export.onnx.traced`, or what takes its arguments.

    Returns:
        ``candidates``, ``judgements``, and ``drawings`` where there are masks. Their outputs are
        ``p2`` to ``p5`` and ``boxes_``, ``logits_`` and ``worth_`` of ``p2`` to ``p6``; ``judged``
        and ``judgements``; ``masks``.
    """
    steps = [torch.export.Dim(name, min=2) for name in ("rows", "columns")]
    count = torch.export.Dim("count", min=2)
    settings, size = network.settings, torch.tensor([100.0, 150.0])
    planes = torch.zeros(1, 3, *(side * DIVISIBILITY for side in _SIDES))
    candidates = [f"{kind}_{level}" for level in _LEVELS for kind in ("boxes", "logits", "worth")]
    parts = {
        "candidates": traced(
            Candidates(network).eval(),
            (planes, size),
            ({2: DIVISIBILITY * steps[0], 3: DIVISIBILITY * steps[1]}, {}),
            inputs=("planes", "size"),
            outputs=(*_LEVELS[:-1], *candidates),
            name="Mask R-CNN's trunk",
        ),
        "judgements": traced(
            Judgements(network).eval(),
            (_regions(network, settings.box.pooler.resolution), torch.ones(_REGIONS, 4), size),
            ({0: count}, {0: count}, {}),
            inputs=("regions", "proposals", "size"),
            outputs=("judged", "judgements"),
            name="Mask R-CNN's box head",
        ),
    }
    if settings.mask is not None:
        parts["drawings"] = traced(
            Drawings(network).eval(),
            (
                _regions(network, settings.mask.pooler.resolution),
                torch.zeros(_REGIONS, dtype=torch.int64),
            ),
            ({0: count}, {0: count}),
            inputs=("mask_regions", "classes"),
            outputs=("masks",),
            name="Mask R-CNN's mask head",
        )
    return parts


def _regions(network: MaskRCNN, side: int) -> Tensor:
    """Return regions as large as a head wants them."""
    return torch.zeros(_REGIONS, network.settings.fpn.channels, side, side)
