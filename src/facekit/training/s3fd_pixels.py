"""The pixels that S3FD takes."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["MEAN_RGB", "normalised"]

MEAN_RGB: Final = (123, 117, 104)
"""What S3FD takes off each channel: the colour that it takes for 0."""


def normalised(pixels: Tensor) -> Tensor:
    """Turn (n, 3, height, width) RGB 0..255 into BGR minus the mean colour."""
    mean = torch.tensor(MEAN_RGB, device=pixels.device, dtype=pixels.dtype).view(1, 3, 1, 1)
    return (pixels - mean).flip(1)
