"""ResNet and ResNeXt with a feature pyramid, in Detectron2's names and arithmetic.

Sources: He et al., "Deep Residual Learning" (2015); Xie et al., "Aggregated Residual
Transformations" (2016); Lin et al., "Feature Pyramid Networks" (2016). The names of the parameters
and the order of the operations are those of ``detectron2/modeling/backbone`` (commit 02b5c4e).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekit.networks.mask_rcnn_settings import FpnSettings, Norm, ResNetSettings

__all__ = ["STRIDES", "Conv", "FrozenBatchNorm", "PyramidBackbone", "ResNet"]

BLOCKS: Final = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STRIDES: Final = (4, 8, 16, 32, 64)
"""Of the pyramid's levels, p2 to p6, pixels of the input."""

_GROUPS_OF_GN: Final = 32


class FrozenBatchNorm(nn.Module):
    """A batch norm whose statistics and factors are constants, as buffers."""

    def __init__(self, channels: int) -> None:
        """Build the identity."""
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - 1e-5)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``(n, channels, height, width)``."""
        return functional.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias, training=False
        )


def _norm(kind: Norm, channels: int) -> nn.Module | None:
    """Build a norm by Detectron2's word for it."""
    if kind == "":
        return None
    if kind == "GN":
        return nn.GroupNorm(_GROUPS_OF_GN, channels)
    return FrozenBatchNorm(channels) if kind == "FrozenBN" else nn.BatchNorm2d(channels)


class Conv(nn.Conv2d):
    """A convolution with its norm inside, which names the norm ``conv.norm``, and a ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        norm: Norm = "",
        bias: bool = True,
        relu: bool = False,
    ) -> None:
        """Build the convolution, padded so that a stride of 1 keeps the size."""
        super().__init__(
            before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=bias
        )
        self.norm = _norm(norm, after)
        self.relu = relu

    def forward(self, features: Tensor) -> Tensor:
        """Convolve ``(n, before, height, width)``."""
        features = super().forward(features)
        if self.norm is not None:
            features = self.norm(features)
        return functional.relu_(features) if self.relu else features


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and the shortcut around them."""

    def __init__(
        self, before: int, inside: int, after: int, stride: int, settings: ResNetSettings
    ) -> None:
        """Build the block; the shortcut gets a 1x1 convolution where the channels change."""
        super().__init__()
        norm, in_1x1 = settings.norm, settings.stride_in_1x1
        first, second = (stride, 1) if in_1x1 else (1, stride)
        self.shortcut: Conv | None = None
        if before != after:
            self.shortcut = Conv(before, after, 1, stride=stride, norm=norm, bias=False)
        self.conv1 = Conv(before, inside, 1, stride=first, norm=norm, bias=False, relu=True)
        self.conv2 = Conv(
            inside,
            inside,
            3,
            stride=second,
            groups=settings.groups,
            norm=norm,
            bias=False,
            relu=True,
        )
        self.conv3 = Conv(inside, after, 1, norm=norm, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``relu(residual + shortcut)``."""
        residual = self.conv3(self.conv2(self.conv1(features)))
        residual += features if self.shortcut is None else self.shortcut(features)
        return functional.relu_(residual)


class Stem(nn.Module):
    """7x7 with stride 2, and a pool with stride 2."""

    def __init__(self, channels: int, norm: Norm) -> None:
        """Build the layer."""
        super().__init__()
        self.conv1 = Conv(3, channels, 7, stride=2, norm=norm, bias=False, relu=True)

    def forward(self, image: Tensor) -> Tensor:
        """Shrink ``(n, 3, height, width)`` four times."""
        return functional.max_pool2d(self.conv1(image), kernel_size=3, stride=2, padding=1)


class ResNet(nn.Module):
    """An image to the maps after ``res2`` to ``res5``, of strides 4 to 32."""

    def __init__(self, settings: ResNetSettings) -> None:
        """Build the trunk with torch's default random weights."""
        super().__init__()
        self.stem = Stem(settings.stem_channels, settings.norm)
        self.channels: list[int] = []
        before = settings.stem_channels
        for stage, blocks in enumerate(BLOCKS[settings.depth]):
            inside = settings.groups * settings.width_per_group * 2**stage
            after = settings.res2_channels * 2**stage
            layers = []
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                layers.append(Bottleneck(before, inside, after, stride, settings))
                before = after
            self.add_module(f"res{stage + 2}", nn.Sequential(*layers))
            self.channels.append(after)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run the trunk on ``(n, 3, height, width)``."""
        features = self.stem(image)
        found = []
        for stage in range(len(self.channels)):
            features = self.get_submodule(f"res{stage + 2}")(features)
            found.append(features)
        return found


class PyramidBackbone(nn.Module):
    """The trunk as ``bottom_up`` and the pyramid ``p2`` to ``p6`` on it."""

    def __init__(self, resnet: ResNetSettings, fpn: FpnSettings) -> None:
        """Build both with torch's default random weights."""
        super().__init__()
        self.fuse = fpn.fuse
        bias = fpn.norm == ""
        self.bottom_up = ResNet(resnet)
        for level, channels in enumerate(self.bottom_up.channels, start=2):
            lateral = Conv(channels, fpn.channels, 1, norm=fpn.norm, bias=bias)
            output = Conv(fpn.channels, fpn.channels, 3, norm=fpn.norm, bias=bias)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run on ``(n, 3, height, width)``, sides in multiples of 32.

        Returns:
            p2 to p6, ``(n, channels, height / stride, width / stride)`` of `STRIDES`.
        """
        levels: list[Tensor] = []
        above: Tensor | None = None
        for index, features in reversed(list(enumerate(self.bottom_up(image), start=2))):
            lateral = self.get_submodule(f"fpn_lateral{index}")(features)
            if above is not None:
                lateral = lateral + functional.interpolate(above, scale_factor=2.0, mode="nearest")
                if self.fuse == "avg":
                    lateral = lateral / 2
            above = lateral
            levels.insert(0, self.get_submodule(f"fpn_output{index}")(lateral))
        levels.append(functional.max_pool2d(levels[-1], kernel_size=1, stride=2, padding=0))
        return levels
