"""The MobileNetV2 x0.75 tiny SSD face detector as a plain torch module.

It is ``mobilenetv2_tiny_ssd300_wider_face`` of OpenVINO's training extensions for MMDetection 1.x
(published as ``face-detection-retail-0005``): MobileNetV2 of width 0.75 with plain ReLU, cut where
the stride-16 map has 360 channels, a batch norm on the input, and two depthwise heads over nine
clustered anchors. Keys and shapes are those of the published checkpoints, so one loads with
``load_state_dict`` after `strip_training_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

STRIDE: Final = 16
"""Pixels of the input per cell of the output map."""

ANCHORS_PER_CELL: Final = 9
"""Clustered anchor shapes at every cell."""

CLASSES: Final = 2
"""Background first, then face."""

TRAINING_KEYS: Final = ("bbox_head.loss_weights",)
"""Entries of a published checkpoint that only its training used."""

_STEM_CHANNELS: Final = 24
_HEAD_CHANNELS: Final = 360


class _Stage(NamedTuple):
    """Blocks in a row: hidden and output channels of the first and of the others, first stride."""

    first_hidden: int
    hidden: int
    out: int
    blocks: int
    stride: int


# MobileNetV2 x0.75, expansion 6 (1 and 4 at the ends). The sixth stage keeps stride 1, where
# MobileNetV2 has 2, so that a 300 px image ends on a 19 x 19 map.
_STAGES: Final = (
    _Stage(24, 24, 12, 1, 1),
    _Stage(72, 108, 18, 2, 2),
    _Stage(108, 144, 24, 3, 2),
    _Stage(144, 288, 48, 4, 2),
    _Stage(288, 432, 72, 3, 1),
    _Stage(432, 720, 120, 3, 1),
    _Stage(480, 480, _HEAD_CHANNELS, 1, 1),
)


class TinySSD(nn.Module):
    """One stride-16 map of face scores and box deltas over nine anchors a cell."""

    def __init__(self) -> None:
        """Build with torch's default random weights; `reset_parameters` gives training's own."""
        super().__init__()
        self.backbone = _Backbone()
        self.bbox_head = _Head()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score every anchor.

        Args:
            image: float (n, 3, height, width), RGB in 0..1; published weights want 300 x 300.

        Returns:
            Logits (n, anchors, 2), background first, and deltas (n, anchors, 4) as dx, dy, dw, dh
            in units of the anchor over the deviations .1 .1 .2 .2. Anchors run by row, column,
            then shape: ``ceil(height / 16) * ceil(width / 16) * 9`` of them.
        """
        logits, deltas = self.bbox_head(self.backbone(image))
        return logits, deltas

    def reset_parameters(self, face_prior: float = 0.01) -> None:
        """Draw fresh weights: He's normal for convolutions, ones and zeros for batch norms.

        Args:
            face_prior: probability of a face that every anchor starts with.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self.bbox_head.reset_parameters(face_prior)


class _Backbone(nn.Module):
    """MobileNetV2 x0.75 to its 360-channel map at stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.bn_first = nn.BatchNorm2d(3)
        stem = nn.Sequential(
            nn.Conv2d(3, _STEM_CHANNELS, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(_STEM_CHANNELS),
            nn.ReLU(inplace=True),
        )
        self.features = nn.Sequential(stem, *_inverted_residuals())

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.features(self.bn_first(image))
        return features


def _inverted_residuals() -> list[nn.Module]:
    """The seventeen blocks after the stem, in order."""
    blocks: list[nn.Module] = []
    channels = _STEM_CHANNELS
    for stage in _STAGES:
        for index in range(stage.blocks):
            hidden, stride = (stage.hidden, 1) if index else (stage.first_hidden, stage.stride)
            blocks.append(_InvertedResidual(channels, hidden, stage.out, stride))
            channels = stage.out
    return blocks


class _InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes allow it."""

    def __init__(self, channels: int, hidden: int, out: int, stride: int) -> None:
        super().__init__()
        expand = [
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
        ]
        self.conv = nn.Sequential(
            *(expand if hidden != channels else []),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.residual = stride == 1 and channels == out

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.conv(features)
        return features + projected if self.residual else projected


class _Head(nn.Module):
    """A depthwise 3x3 and a 1x1 convolution each for box deltas and class logits."""

    def __init__(self) -> None:
        super().__init__()
        self.reg_convs = nn.ModuleList([_predictor(4)])
        self.cls_convs = nn.ModuleList([_predictor(CLASSES)])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits = _per_anchor(self.cls_convs[0](features), CLASSES)
        deltas = _per_anchor(self.reg_convs[0](features), 4)
        return logits, deltas

    def reset_parameters(self, face_prior: float) -> None:
        """Start the last layers near zero, and the logits at `face_prior`."""
        logit = torch.logit(torch.tensor(face_prior)).item()
        for predictors in (self.reg_convs, self.cls_convs):
            nn.init.normal_(predictors.get_parameter("0.3.weight"), std=0.01)
        bias = torch.tensor([-logit / 2, logit / 2]).repeat(ANCHORS_PER_CELL)
        with torch.no_grad():
            self.cls_convs.get_parameter("0.3.bias").copy_(bias)


def _predictor(values: int) -> nn.Sequential:
    """One head: `values` numbers for each anchor of a cell, as channels."""
    return nn.Sequential(
        nn.Conv2d(_HEAD_CHANNELS, _HEAD_CHANNELS, 3, padding=1, groups=_HEAD_CHANNELS),
        nn.BatchNorm2d(_HEAD_CHANNELS),
        nn.ReLU(inplace=True),
        nn.Conv2d(_HEAD_CHANNELS, ANCHORS_PER_CELL * values, 1),
    )


def _per_anchor(channels: Tensor, values: int) -> Tensor:
    """(n, 9 * values, rows, columns) -> (n, rows * columns * 9, values)."""
    return channels.permute(0, 2, 3, 1).reshape(channels.shape[0], -1, values)


def strip_training_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict without what only its training used, ready for a strict load.

    MMDetection's head learns two weights that balance its losses (`TRAINING_KEYS`). They take no
    part in detection, so `TinySSD` has no such parameter: a checkpoint holds 1,033,670 parameters
    with them, the network 1,033,668.
    """
    return {key: value for key, value in state_dict.items() if key not in TRAINING_KEYS}
