"""What makes one R-CNN with an FPN differ from another; Detectron2's names are in the comments.

The defaults are Detectron2's ``Base-RCNN-FPN.yaml`` with masks.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

__all__ = [
    "BoxHeadSettings",
    "FpnSettings",
    "MaskHeadSettings",
    "MaskRCNNSettings",
    "Norm",
    "PoolerSettings",
    "ResNetSettings",
    "RpnSettings",
]

Norm = Literal["", "FrozenBN", "BN", "SyncBN", "GN"]
Quad = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class ResNetSettings:
    """``MODEL.RESNETS``: ResNet or ResNeXt of bottlenecks.

    Attributes:
        depth: 50, 101 or 152.
        groups: Of every 3x3 convolution; 32 in X101-32x8d.
        width_per_group: Channels of a group in ``res2``; doubles with every stage.
        stem_channels: Channels after the first convolution.
        res2_channels: Channels after ``res2``; double with every stage.
        stride_in_1x1: Whether the first 1x1 of a block has the stride, or its 3x3.
        norm: Of every convolution.
    """

    depth: Literal[50, 101, 152] = 50
    groups: int = 1
    width_per_group: int = 64
    stem_channels: int = 64
    res2_channels: int = 256
    stride_in_1x1: bool = True
    norm: Norm = "FrozenBN"


@dataclasses.dataclass(frozen=True)
class FpnSettings:
    """``MODEL.FPN``.

    Attributes:
        channels: Of every level.
        norm: Of every convolution.
        fuse: Whether a level is the sum or the mean of the lateral map and the one above.
    """

    channels: int = 256
    norm: Norm = ""
    fuse: Literal["sum", "avg"] = "sum"


@dataclasses.dataclass(frozen=True)
class RpnSettings:
    """``MODEL.RPN`` and ``MODEL.ANCHOR_GENERATOR``.

    Attributes:
        sizes: The anchors' sides of each level ``p2`` to ``p6``, pixels of the input.
        ratios: Heights over widths of each level.
        offset: Where the first anchor's centre is, in strides.
        conv_dims: Channels of each hidden convolution; -1 for those of its input.
        box_weights: What the deltas dx, dy, dw, dh are divided by.
        before_nms: Proposals of a level that are looked at, the best.
        after_nms: Proposals of an image that are kept, the best.
        nms_threshold: IoU above which the worse of two proposals of a level goes.
        min_size: Proposals must be larger, pixels of the input.
    """

    sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    ratios: tuple[tuple[float, ...], ...] = ((0.5, 1.0, 2.0),) * 5
    offset: float = 0.0
    conv_dims: tuple[int, ...] = (-1,)
    box_weights: Quad = (1.0, 1.0, 1.0, 1.0)
    before_nms: int = 1000
    after_nms: int = 1000
    nms_threshold: float = 0.7
    min_size: float = 0.0


@dataclasses.dataclass(frozen=True)
class PoolerSettings:
    """How a region is cut out of its level.

    Attributes:
        resolution: Side of the result, cells.
        sampling_ratio: Samples of a cell along each axis; 0 for as many as it has pixels.
        aligned: Whether pixels' centres are at half: ``ROIAlignV2``, not ``ROIAlign``.
    """

    resolution: int
    sampling_ratio: int = 0
    aligned: bool = True


@dataclasses.dataclass(frozen=True)
class BoxHeadSettings:
    """``MODEL.ROI_BOX_HEAD`` and the part of ``MODEL.ROI_HEADS`` that is about boxes.

    Attributes:
        pooler: How regions are cut out.
        convs: Number of 3x3 convolutions.
        conv_dim: Their channels.
        norm: Of every convolution.
        fcs: Number of fully connected layers after them.
        fc_dim: Their width.
        agnostic: Whether all classes share one box.
        box_weights: What the deltas dx, dy, dw, dh are divided by.
        score_threshold: Boxes must score higher.
        nms_threshold: IoU above which the worse of two boxes of a class goes.
        detections: Boxes of an image that are kept, the best.
    """

    pooler: PoolerSettings = PoolerSettings(resolution=7)
    convs: int = 0
    conv_dim: int = 256
    norm: Norm = ""
    fcs: int = 2
    fc_dim: int = 1024
    agnostic: bool = False
    box_weights: Quad = (10.0, 10.0, 5.0, 5.0)
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    detections: int = 100


@dataclasses.dataclass(frozen=True)
class MaskHeadSettings:
    """``MODEL.ROI_MASK_HEAD``.

    Attributes:
        pooler: How regions are cut out.
        convs: Number of 3x3 convolutions.
        conv_dim: Their channels.
        norm: Of every convolution.
        agnostic: Whether all classes share one mask.
    """

    pooler: PoolerSettings = PoolerSettings(resolution=14)
    convs: int = 4
    conv_dim: int = 256
    norm: Norm = ""
    agnostic: bool = False


@dataclasses.dataclass(frozen=True)
class MaskRCNNSettings:
    """Everything that a network is built from.

    Attributes:
        classes: Without the background.
        pixel_mean: Taken from the pixels, by channel.
        pixel_std: What they are then divided by, by channel.
        resnet: The trunk.
        fpn: The pyramid on it.
        rpn: What proposes regions.
        box: What scores them and moves their edges.
        mask: What draws their masks, or ``None`` for Faster R-CNN.
    """

    classes: int = 80
    pixel_mean: tuple[float, ...] = (103.530, 116.280, 123.675)
    pixel_std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resnet: ResNetSettings = ResNetSettings()
    fpn: FpnSettings = FpnSettings()
    rpn: RpnSettings = RpnSettings()
    box: BoxHeadSettings = BoxHeadSettings()
    mask: MaskHeadSettings | None = MaskHeadSettings()
