"""Photometric distortion of a batch of pictures at once, on whatever device they are.

torchvision's transforms draw one set of numbers a call; here every picture of a batch has its own,
and brightness, contrast, saturation, hue and white balance are one matrix a picture.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from facekit.training.detection.options import LightOptions

__all__ = ["distort"]

_LUMA: Final = (0.299, 0.587, 0.114)
# RGB to the grey axis and the two colour axes that a change of hue turns (NTSC's YIQ).
_YIQ: Final = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def distort(pictures: Tensor, options: LightOptions, generator: torch.Generator | None) -> Tensor:
    """Return pictures under other light.

    Args:
        pictures: (n, 3, h, w) float, RGB in 0..1.
        options: How much.
        generator: Of the pictures' device; the order of draws is always the same.
    """
    draw = _Draw(pictures, generator)
    matrix, offset = _colours(draw, options)
    changed = torch.einsum("nij,njhw->nihw", matrix, pictures) + offset[:, :, None, None]
    soft, amount = draw.some(options.blur), draw.uniform(-0.7, 1)
    noisy, deviation = draw.some(options.noise), draw.uniform(0, options.deviation)
    changed = _softened(changed, soft * amount)
    if bool(noisy.any()):
        rows = noisy.nonzero().flatten()
        noise = draw.normal(changed[rows]) * deviation[rows, None, None, None]
        changed = changed.index_add(0, rows, noise)
    return changed.clamp(0, 1)


class _Draw:
    """Random numbers, one a picture."""

    def __init__(self, pictures: Tensor, generator: torch.Generator | None) -> None:
        self._pictures, self._generator = pictures, generator

    def uniform(self, low: float, high: float, values: int | None = None) -> Tensor:
        """Return (n,) or (n, values) between two bounds."""
        shape = (len(self._pictures),) if values is None else (len(self._pictures), values)
        drawn = torch.rand(shape, generator=self._generator, device=self._pictures.device)
        return low + (high - low) * drawn

    def some(self, share: float) -> Tensor:
        """Return (n,) bool, true for about a share."""
        return self.uniform(0, 1) < share

    def normal(self, like: Tensor) -> Tensor:
        """Return numbers of mean 0 and deviation 1."""
        return torch.randn(
            like.shape, generator=self._generator, device=like.device, dtype=like.dtype
        )


def _colours(draw: _Draw, options: LightOptions) -> tuple[Tensor, Tensor]:
    """Return a matrix (n, 3, 3) and an offset (n, 3) for each picture."""
    contrast = draw.uniform(1 - options.contrast, 1 + options.contrast)
    brightness = draw.uniform(-options.brightness, options.brightness)
    saturation = draw.uniform(1 - options.saturation, 1 + options.saturation)
    saturation = torch.where(draw.some(options.grey), 0, saturation)
    angle = draw.uniform(-options.hue, options.hue) * (math.pi / 180)
    balance = draw.uniform(1 - options.balance, 1 + options.balance, 3)
    touched = ~draw.some(options.untouched)
    same = torch.eye(3, device=angle.device).expand(len(angle), 3, 3)
    luma = same.new_tensor(_LUMA).expand(3, 3)
    saturate = saturation[:, None, None] * (same - luma) + luma
    matrix = balance[:, :, None] * contrast[:, None, None] * (saturate @ _turn(angle))
    offset = (0.5 * (1 - contrast) + brightness)[:, None].expand(-1, 3)
    return (
        torch.where(touched[:, None, None], matrix, same),
        torch.where(touched[:, None], offset, 0),
    )


def _turn(angle: Tensor) -> Tensor:
    """Return the matrices (n, 3, 3) that turn hues."""
    to_yiq = angle.new_tensor(_YIQ)
    turn = torch.eye(3, device=angle.device).repeat(len(angle), 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 2, 1] = angle.sin()
    turn[:, 1, 2] = -angle.sin()
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq


def _softened(pictures: Tensor, amounts: Tensor) -> Tensor:
    """Move pictures towards their blurred selves, or away; an amount of 0 leaves one alone."""
    if not bool(amounts.any()):
        return pictures
    rows = amounts.nonzero().flatten()
    chosen = pictures[rows]
    padded = functional.pad(chosen, (1, 1, 1, 1), mode="replicate")
    blurred = functional.avg_pool2d(padded, 3, stride=1)
    change = (blurred - chosen) * amounts[rows, None, None, None]
    return pictures.index_add(0, rows, change)
