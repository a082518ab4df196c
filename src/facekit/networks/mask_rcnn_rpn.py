"""The region proposal network of an R-CNN with an FPN.

Source: Ren et al., "Faster R-CNN" (2015); names and arithmetic of Detectron2's ``RPN``,
``StandardRPNHead`` and ``find_top_rpn_proposals`` (commit 02b5c4e).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from facekit.networks.mask_rcnn_backbone import STRIDES, Conv
from facekit.networks.mask_rcnn_boxes import (
    apply_deltas,
    cell_anchors,
    clip,
    finite,
    grid_anchors,
    larger_than,
)
from facekit.networks.mask_rcnn_settings import RpnSettings

__all__ = ["ProposalNetwork", "Proposals"]


class Proposals(NamedTuple):
    """The regions of one image, best first.

    Attributes:
        boxes: ``(n, 4)`` xyxy, pixels of the input.
        logits: ``(n,)`` of there being anything.
    """

    boxes: Tensor
    logits: Tensor


class RpnHead(nn.Module):
    """One score and four deltas an anchor, from every level by the same weights."""

    def __init__(self, channels: int, anchors: int, conv_dims: Sequence[int]) -> None:
        """Build the head with torch's default random weights.

        Args:
            channels: Of every level.
            anchors: Of every cell.
            conv_dims: Channels of each hidden convolution; -1 for those of its input.
        """
        super().__init__()
        layers: list[Conv] = []
        for dim in conv_dims:
            after = channels if dim == -1 else dim
            layers.append(Conv(channels, after, 3, relu=True))
            channels = after
        self.conv: nn.Module = layers[0]
        if len(layers) > 1:
            self.conv = nn.Sequential()
            for index, layer in enumerate(layers):
                self.conv.add_module(f"conv{index}", layer)
        self.objectness_logits = nn.Conv2d(channels, anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, anchors * 4, 1)

    def forward(self, levels: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Score every cell.

        Returns:
            For each level logits ``(n, rows * columns * k)`` and deltas
            ``(n, rows * columns * k, 4)``.
        """
        answers = []
        for level in levels:
            hidden = self.conv(level)
            logits = self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1)
            deltas = self.anchor_deltas(hidden)
            count, _, rows, columns = deltas.shape
            deltas = deltas.view(count, -1, 4, rows, columns).permute(0, 3, 4, 1, 2).flatten(1, -2)
            answers.append((logits, deltas))
        return answers


class ProposalNetwork(nn.Module):
    """The levels of the pyramid to at most `RpnSettings.after_nms` regions an image."""

    def __init__(self, channels: int, settings: RpnSettings) -> None:
        """Build the network with torch's default random weights.

        Args:
            channels: Of every level.
            settings: See the class.
        """
        super().__init__()
        self.settings = settings
        cells = [
            cell_anchors(sizes, ratios)
            for sizes, ratios in zip(settings.sizes, settings.ratios, strict=True)
        ]
        for index, cell in enumerate(cells):
            # Like Detectron2's: old checkpoints have them, new ones do not, and they are constants.
            self.register_buffer(f"cell_anchors{index}", cell, persistent=False)
        self.rpn_head = RpnHead(channels, len(cells[0]), settings.conv_dims)

    def forward(
        self, levels: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[Proposals]:
        """Propose regions.

        Args:
            levels: p2 to p6 of the batch.
            sizes: Height and width of each image within its padding, pixels of the input.
        """
        return self.best(self.rpn_head(levels), self.anchors(levels), sizes)

    def anchors(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the anchors of each level, ``(rows * columns * k, 4)`` xyxy, pixels of the input.

        Args:
            levels: p2 to p6 of the batch.
        """
        return [
            grid_anchors(
                self.get_buffer(f"cell_anchors{index}"),
                level.shape[-2],
                level.shape[-1],
                stride=STRIDES[index],
                offset=self.settings.offset,
            )
            for index, level in enumerate(levels)
        ]

    def best(
        self,
        answers: Sequence[tuple[Tensor, Tensor]],
        anchors: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        *,
        before_nms: int | None = None,
        after_nms: int | None = None,
    ) -> list[Proposals]:
        """Turn the head's answers into regions.

        Args:
            answers: Of `rpn_head`.
            anchors: Of `anchors`.
            sizes: See `forward`.
            before_nms: Instead of `RpnSettings.before_nms`.
            after_nms: Instead of `RpnSettings.after_nms`.
        """
        most = before_nms or self.settings.before_nms
        best = [
            self._best(own, logits, deltas, most)
            for own, (logits, deltas) in zip(anchors, answers, strict=True)
        ]
        boxes, logits = (torch.cat([level[i] for level in best], dim=1) for i in range(2))
        numbers = torch.cat(
            [
                torch.full((level[1].shape[1],), index, dtype=torch.int64, device=boxes.device)
                for index, level in enumerate(best)
            ]
        )
        kept = after_nms or self.settings.after_nms
        return [
            self._select(boxes[i], logits[i], numbers, size, kept) for i, size in enumerate(sizes)
        ]

    def _best(
        self, anchors: Tensor, logits: Tensor, deltas: Tensor, most: int
    ) -> tuple[Tensor, Tensor]:
        """Return boxes ``(n, k, 4)`` and logits ``(n, k)`` of a level's best anchors."""
        count = min(logits.shape[1], most)
        top, chosen = logits.topk(count, dim=1)
        images = torch.arange(len(logits), device=logits.device)[:, None]
        boxes = apply_deltas(
            deltas[images, chosen].reshape(-1, 4),
            anchors[chosen].reshape(-1, 4),
            self.settings.box_weights,
        )
        return boxes.view(len(logits), count, 4), top

    def _select(
        self, boxes: Tensor, logits: Tensor, levels: Tensor, size: tuple[int, int], most: int
    ) -> Proposals:
        """Clip one image's candidates, suppress those of a level, and keep the best."""
        kept = finite(boxes, logits)
        boxes, logits, levels = clip(boxes[kept], size), logits[kept], levels[kept]
        kept = larger_than(boxes, self.settings.min_size)
        boxes, logits, levels = boxes[kept], logits[kept], levels[kept]
        kept = batched_nms(boxes.float(), logits, levels, self.settings.nms_threshold)
        kept = kept[:most]
        return Proposals(boxes[kept], logits[kept])
