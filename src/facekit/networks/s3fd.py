"""S3FD, the Single Shot Scale-invariant Face Detector, as plain torch modules.

Source: Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector" (2017). The parameter names
are those of clcarwin/SFD_pytorch (commit 96fdfbe), which face-alignment shares, so that
``s3fd_convert.pth`` and ``s3fd-619a316812.pth`` load with ``strict=True``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekit.networks.s3fd_dilated import DilatedS3FD
from facekit.networks.s3fd_layers import (
    BACKGROUNDS,
    CHANNELS,
    MIN_SIDE,
    NORMS,
    SOURCES,
    STRIDES,
    TRUNK,
    TRUNK_LAYERS,
    Features,
    L2Norm,
    max_out,
    per_cell,
)

__all__ = [
    "MIN_SIDE",
    "S3FD",
    "SOURCES",
    "STRIDES",
    "TRUNK_LAYERS",
    "DilatedS3FD",
    "Features",
    "S3FDTrunk",
]

_NARROWEST: Final = CHANNELS["conv1_1"]
"""Every layer's channels are a multiple of the first one's, by which a width is told."""

_HEADS: Final = tuple(
    f"{source}_norm_mbox" if source in NORMS else f"{source}_mbox" for source in SOURCES
)


class S3FDTrunk(nn.Module):
    """VGG16 and the four layers after it: an image in, the six layers of `Features` out.

    Input: float (n, 3, height, width), BGR 0..255 minus (104, 117, 123), sides from `MIN_SIDE`.
    On 256 x 256 ``conv7_2`` is (n, 256, 3, 3).
    """

    def __init__(self, width: float = 1.0) -> None:
        """Build with torch's default random weights.

        Args:
            width: Factor of every layer's channels, rounded to a 64th; published weights have 1.
        """
        super().__init__()
        self.width = max(1, round(width * _NARROWEST)) / _NARROWEST
        before = 3
        for name, conv in TRUNK:
            if conv is not None:
                after = self.channels(name)
                layer = nn.Conv2d(before, after, conv.kernel, conv.stride, conv.padding)
                self.add_module(name, layer)
                before = after

    def channels(self, layer: str) -> int:
        """Return the channels of a layer of `TRUNK_LAYERS`."""
        return int(CHANNELS[layer] * self.width)

    def features(self, image: Tensor) -> Features:
        """Run the trunk.

        Args:
            image: float (n, 3, height, width); see the class.

        Returns:
            The six layers after their ReLU, not normalised.
        """
        kept: dict[str, Tensor] = {}
        for name, conv in TRUNK:
            if conv is None:
                image = functional.max_pool2d(image, 2, 2)
            else:
                image = functional.relu(self.get_submodule(name)(image), inplace=True)
                kept[name] = image
        return Features(*(kept[name] for name in SOURCES))


class S3FD(S3FDTrunk):
    """The detector of ``s3fd_convert.pth`` and ``s3fd-619a316812.pth``.

    Input as of `S3FDTrunk`: BGR 0..255 minus (104, 117, 123). 22.46 M parameters.
    """

    metadata: ClassVar[Mapping[str, str]] = {"facekit.layout": "s3fd"}
    """What an exported file says of itself."""

    def __init__(self, width: float = 1.0) -> None:
        """Build with torch's default random weights; `reset_parameters` gives training's own.

        Args:
            width: Factor of the trunk's channels, rounded to a 64th; published weights have 1.
        """
        super().__init__(width)
        for name, scale in NORMS.items():
            self.add_module(f"{name}_norm", L2Norm(self.channels(name), scale))
        for index, name in enumerate(_HEADS):
            channels = self.channels(SOURCES[index])
            outputs = BACKGROUNDS + 1 if index == 0 else 2
            self.add_module(f"{name}_conf", nn.Conv2d(channels, outputs, 3, padding=1))
            self.add_module(f"{name}_loc", nn.Conv2d(channels, 4, 3, padding=1))

    @classmethod
    def for_state_dict(cls, state: Mapping[str, Tensor]) -> nn.Module:
        """Build the network that a state dict belongs to, by its names and its width.

        Args:
            state: The state dict; not loaded.
        """
        if any(key.startswith("vgg.") for key in state):
            return DilatedS3FD()
        bias = state.get("conv1_1.bias")
        return cls() if bias is None else cls(bias.numel() / _NARROWEST)

    def maps(self, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each map's logits (n, 2, rows, columns) and deltas (n, 4, rows, columns).

        They are what clcarwin's ``net_s3fd.s3fd`` returns, in its order: the first map's three
        backgrounds are one already.
        """
        return self.read(self.features(image))

    def read(self, features: Features) -> list[tuple[Tensor, Tensor]]:
        """Read the maps, as of `maps`, from the trunk's layers."""
        maps = []
        for layer, name, source in zip(features, _HEADS, SOURCES, strict=True):
            normed = self.get_submodule(f"{source}_norm")(layer) if source in NORMS else layer
            logits = self.get_submodule(f"{name}_conf")(normed)
            maps.append((logits, self.get_submodule(f"{name}_loc")(normed)))
        (logits, deltas), *others = maps
        return [(max_out(logits), deltas), *others]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score every cell of the six maps.

        Args:
            image: float (n, 3, height, width), sides from `MIN_SIDE`; channels as the class says.

        Returns:
            Logits (n, cells, 2), background first, and deltas (n, cells, 4) as dx, dy, dw, dh in
            units of the anchor over the deviations .1 .1 .2 .2. Cells run by map, row, column.
        """
        return per_cell(self.maps(image))

    def reset_parameters(self, face_prior: float = 0.01) -> None:
        """Draw fresh weights: He's normal for the trunk, small ones for the heads.

        Args:
            face_prior: probability of a face that every cell starts with.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            # Pixels are some 64 large: after it, activations are of the order of 1.
            self.get_parameter("conv1_1.weight").div_(64)
        logit = torch.logit(torch.tensor(face_prior)).item()
        for name in _HEADS:
            deviation = 0.01 if "norm" in name else 0.001
            nn.init.normal_(self.get_parameter(f"{name}_loc.weight"), std=deviation)
            nn.init.normal_(self.get_parameter(f"{name}_conf.weight"), std=deviation)
            bias = self.get_parameter(f"{name}_conf.bias")
            nn.init.constant_(bias, -logit / 2)
            nn.init.constant_(bias[-1:], logit / 2)
