"""Winograd's minimal filtering for 3x3 convolutions on the CPU: fewer products, rounded otherwise.

A tile of `t` x `t` outputs takes ``(t + 2)**2`` products of each pair of channels where the plain
sum takes ``9 * t**2``: a quarter of them at ``t = 4``. The price is memory for the transformed
kernels, and float32 sums that differ in the sixth digit.

Sources: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks" (2016). Their points for ``t = 4`` are 0, 1, -1, 2, -2; with 1/2
in place of 2 the error is two thirds (on why: Barabasz et al., "Error Analysis and Improving the
Accuracy of Winograd Convolution for Deep Neural Networks", 2018).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Winograd", "convolutions", "use_winograd"]

_POINTS: Final[Mapping[int, tuple[float, ...]]] = {
    4: (0.0, 1.0, -1.0, 0.5, -2.0),
    5: (0.0, 1.0, -1.0, 0.5, -2.0, -0.5),
}
"""Where the polynomials are evaluated besides infinity, by the tile's side."""

_ONE: Final = 1
"""The place of the point 1, whose value every output of a tile takes whole."""

_LARGER_TILES: Final = 0.8
"""Tiles of 5, whose rounding is twice that of 4, where they take this share of products."""

_LEAST_CHANNELS: Final = 128
_LEAST_TILES: Final = 32
"""With less of either, what is saved goes into the transforms, or into reading the kernels."""

_AT_ONCE: Final = 49152
"""Tiles times channels of one pass: its 36 or 49 maps of floats, 8 MB, stay in the cache."""


class _Transforms(NamedTuple):
    """The three matrices of a tile's side, for rows and columns at once."""

    features: Tensor
    """``((t + 2)**2, (t + 2)**2)``."""
    kernel: Tensor
    """``((t + 2)**2, 9)``, float64."""
    back: Tensor
    """``(t**2, (t + 2)**2)``."""


class Winograd:
    """What takes the place of a convolution's own arithmetic.

    It is called as `torch.nn.Conv2d` calls its own, and leaves to torch what it is no gain for:
    maps of few tiles, and all numbers but float32. The kernels are transformed at the first call:
    weights that change later change nothing. For inference: there are no gradients.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        """Take a convolution's place.

        Args:
            conv: One of those that `convolutions` finds.
        """
        self._padding = int(conv.padding[0])
        self._kernels: dict[int, Tensor] = {}

    def __call__(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve.

        Args:
            features: ``(n, channels, rows, columns)``, best with channels last in memory.
            weight: ``(filters, channels, 3, 3)``.
            bias: ``(filters,)``.

        Returns:
            ``(n, filters, rows', columns')``, channels last in memory.
        """
        rows, columns = (side + 2 * self._padding - 2 for side in features.shape[2:])
        tile = _tile(rows, columns)
        tiles = features.shape[0] * -(-rows // tile) * -(-columns // tile)
        if features.dtype != torch.float32 or tiles < _LEAST_TILES:
            return functional.conv2d(features, weight, bias, padding=self._padding)
        if tile not in self._kernels:
            self._kernels[tile] = _transformed(weight, tile)
        return _convolved(features, self._kernels[tile], bias, tile, self._padding)


def use_winograd(network: nn.Module) -> int:
    """Have a network's convolutions computed by Winograd's algorithm, in place.

    Its parameters, their names and its modules stay as they are.

    Args:
        network: In evaluation mode, on the CPU.

    Returns:
        How many convolutions there are for it.
    """
    found = list(convolutions(network))
    for conv in found:
        # Conv2d's own hook: what a subclass adds around it, norms for instance, stays.
        conv._conv_forward = Winograd(conv)  # type: ignore[method-assign] # noqa: SLF001
    return len(found)


def convolutions(network: nn.Module) -> Iterator[nn.Conv2d]:
    """Find those that the algorithm is for: 3x3, stride 1, of many channels, not in groups.

    Args:
        network: Looked into as deep as it goes.
    """
    for module in network.modules():
        if (
            isinstance(module, nn.Conv2d)
            and module.kernel_size == (3, 3)
            and module.stride == module.dilation == (1, 1)
            and module.groups == 1
            and module.padding_mode == "zeros"
            and isinstance(module.padding, tuple)
            and module.padding[0] == module.padding[1]
            and min(module.in_channels, module.out_channels) >= _LEAST_CHANNELS
        ):
            yield module


def _tile(rows: int, columns: int) -> int:
    """Return the side of the tiles that a map is cut into."""
    products = {t: (-(-rows // t) * -(-columns // t)) * (t + 2) ** 2 for t in _POINTS}
    return 5 if products[5] < _LARGER_TILES * products[4] else 4


@functools.cache
def _transforms(tile: int) -> _Transforms:
    """Build the matrices by Cook and Toom: polynomials evaluated, multiplied, interpolated."""
    points = np.array(_POINTS[tile])
    others = [np.delete(points, i) for i in range(len(points))]
    lengths = np.array([np.prod(p - rest) for p, rest in zip(points, others, strict=True)])
    infinity = np.eye(tile + 2)[-1]
    features = np.array([*([*np.poly(rest)[::-1], 0.0] for rest in others), np.poly(points)[::-1]])
    kernel = np.vstack([np.vander(points, 3, increasing=True) / lengths[:, None], infinity[-3:]])
    back = np.vstack([np.vander(points, tile, increasing=True), infinity[-tile:]]).T
    # What is between the two transforms is of one magnitude; powers of two round nothing.
    sizes = 2.0 ** np.round(np.log2(np.abs(features).max(axis=1)))
    features, kernel = features / sizes[:, None], kernel * sizes[:, None]
    both = [torch.from_numpy(np.kron(one, one)) for one in (features, kernel, back)]
    return _Transforms(both[0].float(), both[1], both[2].float())


def _transformed(weight: Tensor, tile: int) -> Tensor:
    """Return kernels as ``((tile + 2)**2, channels, filters)``, transformed in float64."""
    filters, channels = weight.shape[:2]
    kernels = weight.detach().double().reshape(filters * channels, 9)
    made = (_transforms(tile).kernel @ kernels.T).float().view(-1, filters, channels)
    return made.transpose(1, 2).contiguous()


def _convolved(
    features: Tensor, kernels: Tensor, bias: Tensor | None, tile: int, padding: int
) -> Tensor:
    """Convolve, a few rows of tiles or a few images at once; see `Winograd`."""
    filters = kernels.shape[2]
    rows, columns = (length + 2 * padding - 2 for length in features.shape[2:])
    down, across = -(-rows // tile), -(-columns // tile)
    spare = (padding, across * tile - columns + padding, padding, down * tile - rows + padding)
    padded = functional.pad(features, spare).permute(0, 2, 3, 1)
    made = features.new_empty(len(features), down * tile, across * tile, filters)
    at_once = max(1, _AT_ONCE // max(kernels.shape[1:]))
    lines, images = max(1, at_once // across), max(1, at_once // (down * across))
    for image in range(0, len(features), images):
        for line in range(0, down, lines):
            first, last = line * tile, min(line + lines, down) * tile
            part = padded[image : image + images, first : last + 2]
            _convolve_tiles(part, kernels, bias, made[image : image + images, first:last])
    return made[:, :rows, :columns].permute(0, 3, 1, 2)


def _convolve_tiles(part: Tensor, kernels: Tensor, bias: Tensor | None, into: Tensor) -> None:
    """Convolve what is cut into whole tiles.

    Args:
        part: ``(n, rows + 2, columns + 2, channels)``.
        kernels: See `_transformed`.
        bias: See `Winograd`.
        into: ``(n, rows, columns, filters)``, written.
    """
    values, channels, filters = kernels.shape
    side = math.isqrt(values)
    tile = side - 2
    transforms = _transforms(tile)
    cut = part.unfold(1, side, tile).unfold(2, side, tile).permute(4, 5, 0, 1, 2, 3)
    turned = torch.mm(transforms.features, cut.reshape(values, -1)).view(values, -1, channels)
    multiplied = torch.bmm(turned, kernels)
    if bias is not None:
        multiplied[_ONE * side + _ONE] += bias
    found = torch.mm(transforms.back, multiplied.view(values, -1))
    images, down, across = cut.shape[2:5]
    target = into.view(images, down, tile, across, tile, filters)
    target.copy_(found.view(tile, tile, images, down, across, filters).permute(2, 3, 0, 4, 1, 5))
