"""What the layouts of S3FD have in common: their layers, their maps, and how those are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

STRIDES: Final = (4, 8, 16, 32, 64, 128)
"""Pixels of the input per cell of each of the six maps."""

SOURCES: Final = ("conv3_3", "conv4_3", "conv5_3", "fc7", "conv6_2", "conv7_2")
"""The layers that the six maps are read from, in the order of `STRIDES`."""

MIN_SIDE: Final = 32
"""The smallest side of an input, pixels: below it the fifth pool has nothing left."""

BACKGROUNDS: Final = 3
"""Background channels of the first map; their greatest is its background ("max-out")."""


class Features(NamedTuple):
    """The layers that detection reads, after their ReLU: (n, channels, rows, columns) each."""

    conv3_3: Tensor
    conv4_3: Tensor
    conv5_3: Tensor
    fc7: Tensor
    conv6_2: Tensor
    conv7_2: Tensor


class Conv(NamedTuple):
    """A convolution: channels out, kernel, stride, padding."""

    out: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


TRUNK: Final[tuple[tuple[str, Conv | None], ...]] = (
    ("conv1_1", Conv(64)),
    ("conv1_2", Conv(64)),
    ("pool", None),
    ("conv2_1", Conv(128)),
    ("conv2_2", Conv(128)),
    ("pool", None),
    ("conv3_1", Conv(256)),
    ("conv3_2", Conv(256)),
    ("conv3_3", Conv(256)),
    ("pool", None),
    ("conv4_1", Conv(512)),
    ("conv4_2", Conv(512)),
    ("conv4_3", Conv(512)),
    ("pool", None),
    ("conv5_1", Conv(512)),
    ("conv5_2", Conv(512)),
    ("conv5_3", Conv(512)),
    ("pool", None),
    ("fc6", Conv(1024, padding=3)),  # widens the map by two cells a side
    ("fc7", Conv(1024, kernel=1, padding=0)),
    ("conv6_1", Conv(256, kernel=1, padding=0)),
    ("conv6_2", Conv(512, stride=2)),
    ("conv7_1", Conv(128, kernel=1, padding=0)),
    ("conv7_2", Conv(256, stride=2)),
)
"""VGG16 and the four layers after it, in order; ``pool`` halves the map, rounding down."""

TRUNK_LAYERS: Final = tuple(name for name, conv in TRUNK if conv is not None)
"""The layers of `S3FDTrunk` with weights, in the order of execution."""

CHANNELS: Final = {name: conv.out for name, conv in TRUNK if conv is not None}
"""Channels of each layer of `TRUNK_LAYERS` in published weights."""

NORMS: Final = {"conv3_3": 10.0, "conv4_3": 8.0, "conv5_3": 5.0}
"""The layers whose cells are brought to one length before their map is read, and that length."""


class L2Norm(nn.Module):
    """Divide each cell by the length of its channels, then scale each channel."""

    def __init__(self, channels: int, scale: float) -> None:
        """Build with one scale for every channel."""
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, channels, rows, columns) of length `weight`."""
        # Unlike sqrt(sum of squares), this has a gradient where every channel is 0. Upstream adds
        # 1e-10 to it, which is the same in float32, but exporters take that for 0 and leave it out.
        length = torch.linalg.vector_norm(features, dim=1, keepdim=True).clamp_min(1e-10)
        scaled: Tensor = features / length * self.weight.view(1, -1, 1, 1)
        return scaled


def per_cell(maps: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Put the six maps in a row.

    Args:
        maps: Logits (n, 2, rows, columns) and deltas (n, 4, rows, columns) of each.

    Returns:
        Logits (n, cells, 2), background first, and deltas (n, cells, 4) as dx, dy, dw, dh in units
        of the anchor over the deviations .1 .1 .2 .2. Cells run by map, row, column.
    """
    logits, deltas = zip(*maps, strict=True)
    return (
        torch.cat([one.flatten(2).transpose(1, 2) for one in logits], dim=1),
        torch.cat([one.flatten(2).transpose(1, 2) for one in deltas], dim=1),
    )


def max_out(logits: Tensor) -> Tensor:
    """Reduce (n, backgrounds + 1, rows, columns) to (n, 2, rows, columns): one background."""
    background = logits[:, :BACKGROUNDS].amax(dim=1, keepdim=True)
    return torch.cat([background, logits[:, BACKGROUNDS:]], dim=1)
