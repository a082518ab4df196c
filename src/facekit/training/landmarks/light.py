"""What a camera does to a crop: light, resolution, blur, noise, and things in front of the face.

On whole batches and on the device, because that is where pixels are cheap; every sample has its
own values. Points do not move here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

__all__ = ["Light", "relight"]

_GROUPS = 4
"""Blur and resolution have one strength for a part of the batch, not one a sample."""


class Light(BaseModel):
    """Ranges and shares of the changes to a batch; grey levels are 0 to 1.

    Attributes:
        gamma: Largest logarithm of the exponent, either way.
        contrast: Largest relative change of contrast.
        brightness: Largest offset.
        slope: Largest difference of brightness from the middle to an edge, as of a lamp's side.
        coarse: Share of the crops that are scaled down and up again.
        coarsest: Smallest side that they are scaled down to, as a fraction.
        blur: Share of the crops that are blurred, in x and in y each by its own width.
        noise: Share of the crops with Gaussian noise.
        cover: Share of the crops partly covered by a rectangle of one grey level or of noise.
        largest_cover: Largest side of a rectangle, as a fraction of the crop's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gamma: float = Field(default=0.5, ge=0, le=2)
    contrast: float = Field(default=0.4, ge=0, le=1)
    brightness: float = Field(default=0.15, ge=0, le=1)
    slope: float = Field(default=0.2, ge=0, le=1)
    coarse: float = Field(default=0.35, ge=0, le=1)
    coarsest: float = Field(default=0.1, gt=0, le=1)
    blur: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.25, ge=0, le=1)
    cover: float = Field(default=0.35, ge=0, le=1)
    largest_cover: float = Field(default=0.45, gt=0, le=1)


def relight(crops: Tensor, light: Light, generator: torch.Generator) -> Tensor:
    """Change a batch as a camera would.

    Args:
        crops: (N, 1, S, S) float32 grey levels, 0 to 1.
        light: The ranges.
        generator: On the crops' device.

    Returns:
        (N, 1, S, S) float32, 0 to 1.
    """
    crops = _tone(crops, light, generator)
    crops = _soften(crops, light, generator)
    crops = _noise(crops, light, generator)
    return _cover(crops, light, generator).clamp(0, 1)


def _uniform(crops: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return (N, 1, 1, 1) values, one a sample."""
    drawn = torch.rand(len(crops), 1, 1, 1, device=crops.device, generator=generator)
    return low + (high - low) * drawn


def _ramps(crops: Tensor) -> tuple[Tensor, Tensor]:
    """Return each pixel's x, (1, 1, 1, S), and y, (1, 1, S, 1), from -1 to 1."""
    height, width = crops.shape[-2:]
    across = torch.linspace(-1, 1, width, device=crops.device).view(1, 1, 1, -1)
    down = torch.linspace(-1, 1, height, device=crops.device).view(1, 1, -1, 1)
    return across, down


def _tone(crops: Tensor, light: Light, generator: torch.Generator) -> Tensor:
    """Change gamma, contrast and brightness, and let light fall from one side."""
    gamma = _uniform(crops, -light.gamma, light.gamma, generator).exp()
    crops = crops.clamp(1e-4, 1) ** gamma
    contrast = 1 + _uniform(crops, -light.contrast, light.contrast, generator)
    offset = _uniform(crops, -light.brightness, light.brightness, generator)
    mean = crops.mean(dim=(1, 2, 3), keepdim=True)
    across, down = _ramps(crops)
    slope_x = _uniform(crops, -light.slope, light.slope, generator)
    slope_y = _uniform(crops, -light.slope, light.slope, generator)
    shade = 1 + slope_x * across + slope_y * down
    return ((crops - mean) * contrast + mean + offset).clamp(0, 1) * shade


def _parts(count: int, share: float, generator: torch.Generator) -> Iterator[slice]:
    """Yield up to four slices that together are about a share of a batch.

    They lie anywhere, so that a place in the batch means nothing.
    """
    drawn = torch.rand(2, device=generator.device, generator=generator).tolist()
    chosen = int(share * count + drawn[0])
    first = int(drawn[1] * (count - chosen + 1))
    bounds = [first + chosen * part // _GROUPS for part in range(_GROUPS + 1)]
    for start, end in itertools.pairwise(bounds):
        if end > start:
            yield slice(start, end)


def _soften(crops: Tensor, light: Light, generator: torch.Generator) -> Tensor:
    """Blur some, and take resolution from some."""
    crops = crops.clone()
    size = crops.shape[-1]
    for part in _parts(len(crops), light.blur, generator):
        wide, high = torch.rand(2, device=generator.device, generator=generator).tolist()
        sigma = [size * (0.002 + 0.012 * wide), size * (0.002 + 0.012 * high)]
        reach = 2 * int(2 * max(sigma) + 1) + 1
        crops[part] = F.gaussian_blur(crops[part], [reach, reach], sigma)
    for part in _parts(len(crops), light.coarse, generator):
        drawn, kind = torch.rand(2, device=generator.device, generator=generator).tolist()
        # Even steps in the logarithm: a face of 24 px is as likely as one of 100.
        small = max(8, int(size * light.coarsest**drawn))
        back = InterpolationMode.BILINEAR if kind < 0.7 else InterpolationMode.BICUBIC  # noqa: PLR2004 - a share
        coarse = F.resize(crops[part], [small, small], antialias=True)
        crops[part] = F.resize(coarse, [size, size], interpolation=back, antialias=True)
    return crops


def _noise(crops: Tensor, light: Light, generator: torch.Generator) -> Tensor:
    """Add noise to some, finer or coarser."""
    chosen = _uniform(crops, 0, 1, generator) < light.noise
    strength = _uniform(crops, 0.005, 0.06, generator) * chosen
    return crops + strength * torch.randn(
        crops.shape, device=crops.device, dtype=crops.dtype, generator=generator
    )


def _cover(crops: Tensor, light: Light, generator: torch.Generator) -> Tensor:
    """Cover a part of some."""
    across, down = _ramps(crops)
    chosen = _uniform(crops, 0, 1, generator) < light.cover
    half_x, half_y = (_uniform(crops, 0.1, light.largest_cover, generator) for _ in range(2))
    x, y = (_uniform(crops, -1, 1, generator) for _ in range(2))
    inside = ((across - x).abs() < half_x) & ((down - y).abs() < half_y) & chosen
    level = _uniform(crops, 0, 1, generator)
    grain = _uniform(crops, -0.3, 0.3, generator).clamp(min=0)
    noise = torch.rand(crops.shape, device=crops.device, dtype=crops.dtype, generator=generator)
    return torch.where(inside, level + grain * (noise - 0.5), crops)
