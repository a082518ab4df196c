"""The other layout of S3FD: the network of ``sfd_face.pth``.

Its names and its arithmetic are those of yxlijun/S3FD.pytorch: ``fc6`` is dilated, the third pool
rounds up, and the image is RGB.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar, Final

from torch import Tensor, nn
from torch.nn import functional

from facekit.networks.s3fd_layers import (
    BACKGROUNDS,
    CHANNELS,
    NORMS,
    SOURCES,
    TRUNK,
    Features,
    L2Norm,
    max_out,
    per_cell,
)

__all__ = ["DilatedS3FD"]

_EXTRAS: Final = ("conv6_1", "conv6_2", "conv7_1", "conv7_2")
# Places among its layers: the ReLUs of conv3_3, conv4_3, conv5_3 and fc7, and the third pool.
_SOURCES_AT: Final = (15, 22, 29, 34)
_ROUNDED_UP_AT: Final = 16


class DilatedS3FD(nn.Module):
    """The detector of ``sfd_face.pth``, under its own names: ``vgg.0``, ``extras.1``, ``conf.2``.

    Input: RGB 0..255 minus (123, 117, 104). Its ``fc6`` has dilation 6 and padding 6, so that
    the map keeps its size, and its third pool rounds up: ``conv7_2`` on 256 x 256 is 2 x 2.
    """

    metadata: ClassVar[Mapping[str, str]] = {"facekit.layout": "dilated"}
    """What an exported file says of itself."""

    def __init__(self) -> None:
        """Build with torch's default random weights."""
        super().__init__()
        self.vgg = nn.ModuleList(_vgg())
        self.extras = nn.ModuleList(
            _convolution(CHANNELS[before], name)
            for before, name in itertools.pairwise(("fc7", *_EXTRAS))
        )
        for name, scale in NORMS.items():
            self.add_module(f"L2Norm{name[4:]}", L2Norm(CHANNELS[name], scale))
        channels = [CHANNELS[name] for name in SOURCES]
        self.loc = nn.ModuleList(nn.Conv2d(one, 4, 3, padding=1) for one in channels)
        self.conf = nn.ModuleList(
            nn.Conv2d(one, 2 if index else BACKGROUNDS + 1, 3, padding=1)
            for index, one in enumerate(channels)
        )

    def features(self, image: Tensor) -> Features:
        """Run the trunk; as of `S3FDTrunk.features`."""
        kept: list[Tensor] = []
        for index, layer in enumerate(self.vgg):
            image = layer(image)
            if index in _SOURCES_AT:
                kept.append(image)
        for index, layer in enumerate(self.extras):
            image = functional.relu(layer(image), inplace=True)
            if index % 2:
                kept.append(image)
        return Features(*kept)

    def maps(self, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each map's logits (n, 2, rows, columns) and deltas (n, 4, rows, columns)."""
        maps = []
        for index, (layer, source) in enumerate(zip(self.features(image), SOURCES, strict=True)):
            norm = f"L2Norm{source[4:]}"
            normed = self.get_submodule(norm)(layer) if source in NORMS else layer
            logits = self.conf[index](normed)
            maps.append((logits if index else max_out(logits), self.loc[index](normed)))
        return maps

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score every cell of the six maps.

        Args:
            image: float (n, 3, height, width), sides from `MIN_SIDE`; channels as the class says.

        Returns:
            Logits (n, cells, 2), background first, and deltas (n, cells, 4) as dx, dy, dw, dh in
            units of the anchor over the deviations .1 .1 .2 .2. Cells run by map, row, column.
        """
        return per_cell(self.maps(image))


def _vgg() -> list[nn.Module]:
    """The layers up to fc7, with their ReLUs and pools between them, as upstream counts them."""
    layers: list[nn.Module] = []
    before = 3
    for name, conv in TRUNK[: [name for name, _ in TRUNK].index("conv6_1")]:
        if conv is None:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=len(layers) == _ROUNDED_UP_AT))
            continue
        layer = _convolution(before, name)
        if name == "fc6":
            layer = nn.Conv2d(before, conv.out, 3, padding=6, dilation=6)
        layers += [layer, nn.ReLU(inplace=True)]
        before = conv.out
    return layers


def _convolution(before: int, name: str) -> nn.Conv2d:
    conv = dict(TRUNK)[name]
    assert conv is not None  # noqa: S101 - only pools have none
    return nn.Conv2d(before, conv.out, conv.kernel, conv.stride, conv.padding)
