"""What an R-CNN says of each region: its class, its edges, its mask.

Sources: Girshick, "Fast R-CNN" (2015); He et al., "Mask R-CNN" (2017); names and arithmetic of
Detectron2's ``ROIPooler``, ``FastRCNNConvFCHead``, ``FastRCNNOutputLayers`` and
``MaskRCNNConvUpsampleHead`` (commit 02b5c4e).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms, roi_align

from facekit.networks.mask_rcnn_backbone import STRIDES, Conv
from facekit.networks.mask_rcnn_boxes import apply_deltas, clip, finite
from facekit.networks.mask_rcnn_settings import (
    BoxHeadSettings,
    MaskHeadSettings,
    MaskRCNNSettings,
    PoolerSettings,
)
from facekit.networks.roi_align import roi_align_rows

__all__ = ["Instances", "RoiHeads", "pool"]

_LEVELS: Final = 4
"""p2 to p5: regions are not cut from p6."""

_CANONICAL_SIDE: Final = 224
_CANONICAL_LEVEL: Final = 4


class Instances(NamedTuple):
    """What was found in one image, best first.

    Attributes:
        boxes: ``(n, 4)`` xyxy, pixels of the input.
        scores: ``(n,)``.
        classes: ``(n,)`` int64, from 0.
        masks: ``(n, m, m)`` in 0..1, of the boxes, or ``None``.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor | None


def pool(levels: Sequence[Tensor], boxes: Sequence[Tensor], settings: PoolerSettings) -> Tensor:
    """Cut regions from the level that suits their size.

    Args:
        levels: p2 to p5 of the batch.
        boxes: ``(n, 4)`` of each image, xyxy, pixels of the input.
        settings: How.

    Returns:
        ``(N, channels, resolution, resolution)``, the images' regions after each other.
    """
    every = torch.cat(list(boxes), dim=0)
    images = torch.cat([torch.full_like(own[:, :1], i) for i, own in enumerate(boxes)], dim=0)
    regions = torch.cat([images, every], dim=1)
    sides = torch.sqrt((every[:, 2] - every[:, 0]) * (every[:, 3] - every[:, 1]))
    assigned = torch.floor(_CANONICAL_LEVEL + torch.log2(sides / _CANONICAL_SIDE + 1e-8))
    lowest = int(math.log2(STRIDES[0]))
    assigned = assigned.clamp(lowest, lowest + _LEVELS - 1).to(torch.int64) - lowest
    some, side = levels[0], settings.resolution
    by_rows = _by_rows(some)
    pooled = torch.empty(
        (len(regions), some.shape[1], side, side),
        dtype=some.dtype,
        device=some.device,
        memory_format=torch.channels_last if by_rows else torch.contiguous_format,
    ).zero_()
    align = roi_align_rows if by_rows else roi_align
    for index, level in enumerate(levels[:_LEVELS]):
        (rows,) = torch.nonzero(assigned == index, as_tuple=True)
        pooled[rows] = align(
            level,
            regions[rows],
            (side, side),
            spatial_scale=1 / STRIDES[index],
            sampling_ratio=settings.sampling_ratio,
            aligned=settings.aligned,
        )
    return pooled


def _by_rows(level: Tensor) -> bool:
    """Whether a map's layout in memory makes `roi_align_rows` the faster of the two."""
    plain = level.device.type == "cpu" and level.dtype == torch.float32
    return plain and level.stride(1) == 1 and not level.requires_grad


class BoxHead(nn.Module):
    """Convolutions and fully connected layers, each with its ReLU."""

    def __init__(self, channels: int, settings: BoxHeadSettings) -> None:
        """Build the layers with torch's default random weights."""
        super().__init__()
        self.convs, self.fcs = settings.convs, settings.fcs
        for index in range(settings.convs):
            layer = Conv(
                channels,
                settings.conv_dim,
                3,
                norm=settings.norm,
                bias=settings.norm == "",
                relu=True,
            )
            self.add_module(f"conv{index + 1}", layer)
            channels = settings.conv_dim
        width = channels * settings.pooler.resolution**2
        for index in range(settings.fcs):
            self.add_module(f"fc{index + 1}", nn.Linear(width, settings.fc_dim))
            width = settings.fc_dim
        self.width = width

    def forward(self, regions: Tensor) -> Tensor:
        """Return ``(n, width)`` for ``(n, channels, side, side)``."""
        for index in range(self.convs):
            regions = self.get_submodule(f"conv{index + 1}")(regions)
        features = regions.flatten(1)
        for index in range(self.fcs):
            features = functional.relu_(self.get_submodule(f"fc{index + 1}")(features))
        return features


class BoxPredictor(nn.Module):
    """Logits of the classes, background last, and deltas of each class's box."""

    def __init__(self, width: int, classes: int, *, agnostic: bool) -> None:
        """Build the layers with torch's default random weights."""
        super().__init__()
        self.cls_score = nn.Linear(width, classes + 1)
        self.bbox_pred = nn.Linear(width, (1 if agnostic else classes) * 4)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``(n, classes + 1)`` and deltas ``(n, classes * 4)``."""
        return self.cls_score(features), self.bbox_pred(features)


class MaskHead(nn.Module):
    """Convolutions, one that doubles the side, and a mask for each class."""

    def __init__(self, channels: int, classes: int, settings: MaskHeadSettings) -> None:
        """Build the layers with torch's default random weights."""
        super().__init__()
        self.convs, self.agnostic = settings.convs, settings.agnostic
        for index in range(settings.convs):
            layer = Conv(
                channels,
                settings.conv_dim,
                3,
                norm=settings.norm,
                bias=settings.norm == "",
                relu=True,
            )
            self.add_module(f"mask_fcn{index + 1}", layer)
            channels = settings.conv_dim
        self.deconv = nn.ConvTranspose2d(channels, settings.conv_dim, 2, stride=2)
        self.predictor = nn.Conv2d(settings.conv_dim, 1 if settings.agnostic else classes, 1)

    def forward(self, regions: Tensor) -> Tensor:
        """Return logits ``(n, classes, 2 * side, 2 * side)``."""
        for index in range(self.convs):
            regions = self.get_submodule(f"mask_fcn{index + 1}")(regions)
        return self.predictor(functional.relu_(self.deconv(regions)))

    def of_classes(self, regions: Tensor, classes: Tensor) -> Tensor:
        """Return the masks ``(n, 2 * side, 2 * side)`` in 0..1 of each region's own class."""
        logits = self(regions)
        rows = torch.arange(classes.shape[0], device=classes.device)
        own = logits[:, 0] if self.agnostic else logits[rows, classes]
        return own.sigmoid()


class RoiHeads(nn.Module):
    """Regions to instances."""

    def __init__(self, settings: MaskRCNNSettings) -> None:
        """Build the heads with torch's default random weights."""
        super().__init__()
        self.settings = settings
        channels, box = settings.fpn.channels, settings.box
        self.box_head = BoxHead(channels, box)
        self.box_predictor = BoxPredictor(
            self.box_head.width, settings.classes, agnostic=box.agnostic
        )
        self.mask_head: MaskHead | None = None
        if settings.mask is not None:
            self.mask_head = MaskHead(channels, settings.classes, settings.mask)

    def forward(
        self,
        levels: Sequence[Tensor],
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        """Find the instances of each image.

        Args:
            levels: p2 to p6 of the batch.
            proposals: ``(n, 4)`` of each image, xyxy, pixels of the input.
            sizes: Height and width of each image within its padding.
        """
        found = self._boxes(levels, proposals, sizes)
        if self.mask_head is None or self.settings.mask is None:
            return found
        boxes = [one.boxes for one in found]
        regions = pool(levels, boxes, self.settings.mask.pooler)
        masks = self.mask_head.of_classes(regions, torch.cat([one.classes for one in found]))
        parts = masks.split([len(own) for own in boxes])
        return [one._replace(masks=part) for one, part in zip(found, parts, strict=True)]

    def _boxes(
        self,
        levels: Sequence[Tensor],
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        """Score the regions, move their edges, and select."""
        features = self.box_head(pool(levels, proposals, self.settings.box.pooler))
        logits, deltas = self.box_predictor(features)
        boxes = apply_deltas(deltas, torch.cat(list(proposals)), self.settings.box.box_weights)
        counts = [len(own) for own in proposals]
        parts = zip(boxes.split(counts), logits.softmax(dim=-1).split(counts), sizes, strict=True)
        return [self._select(*part) for part in parts]

    def _select(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Instances:
        """Keep one image's boxes that score well, once each: ``fast_rcnn_inference``."""
        settings = self.settings.box
        kept = finite(boxes, scores)
        boxes, scores = boxes[kept], scores[kept, :-1]
        boxes = clip(boxes.reshape(-1, 4), size).view(len(scores), -1, 4)
        likely = scores > settings.score_threshold
        rows, classes = torch.nonzero(likely, as_tuple=True)
        chosen = boxes[rows, torch.zeros_like(classes) if settings.agnostic else classes]
        scores = scores[likely]
        best = batched_nms(chosen.float(), scores, classes, settings.nms_threshold)
        best = best[: settings.detections] if settings.detections >= 0 else best
        return Instances(chosen[best], scores[best], classes[best], None)
