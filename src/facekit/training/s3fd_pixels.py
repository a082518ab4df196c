"""Light and colour of a batch of views, changed at random on the device."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["MEAN_RGB", "coloured", "normalised"]

MEAN_RGB: Final = (123, 117, 104)
"""What S3FD takes off each channel: the colour that it takes for 0."""

_GREY: Final = (0.299, 0.587, 0.114)


def coloured(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and the channels' gains of each view.

    Args:
        pixels: (n, 3, height, width) float, RGB 0..255.
        strength: 0 for nothing, 1 for S3FD's own.
        generator: The device's.

    Returns:
        The same shape, 0..255.
    """
    if not strength:
        return pixels
    count, device = len(pixels), pixels.device

    def around(spread: float, *axes: int) -> Tensor:
        drawn = torch.rand((count, *axes), generator=generator, device=device)
        return (2 * drawn - 1) * spread * strength

    grey = (pixels * torch.tensor(_GREY, device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    pixels = grey + (pixels - grey) * (1 + around(0.5, 1, 1, 1))
    middle = grey.mean(dim=(2, 3), keepdim=True)
    pixels = middle + (pixels - middle) * (1 + around(0.5, 1, 1, 1))
    gains = 1 + around(0.12, 3, 1, 1)
    return (pixels * gains + around(32, 1, 1, 1)).clamp(0, 255)


def normalised(pixels: Tensor) -> Tensor:
    """Turn (n, 3, height, width) RGB 0..255 into BGR minus the mean colour."""
    mean = torch.tensor(MEAN_RGB, device=pixels.device, dtype=pixels.dtype).view(1, 3, 1, 1)
    return (pixels - mean).flip(1)
