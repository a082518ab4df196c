"""What recipes of several detectors are told alike. No framework is imported here."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "LightOptions", "Natural", "Share"]

Share = Annotated[float, Field(ge=0, le=1)]
Natural = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class LightOptions(BaseModel):
    """How much pictures are changed.

    Attributes:
        untouched: Share of pictures whose colours are left alone.
        brightness: Largest shift, 1 being all the way from black to white.
        contrast: Largest change, as a share.
        saturation: Largest change, as a share.
        hue: Largest turn, degrees.
        balance: Largest change of one colour channel by itself, as a share.
        grey: Share of pictures that lose their colours.
        blur: Share of pictures that are blurred or sharpened.
        noise: Share of pictures that become noisy.
        deviation: Largest standard deviation of that noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    untouched: Share = 0.25
    brightness: Natural = 0.15
    contrast: Share = 0.4
    saturation: Share = 0.5
    hue: Natural = 18.0
    balance: Share = 0.1
    grey: Share = 0.06
    blur: Share = 0.2
    noise: Share = 0.15
    deviation: Natural = 0.06
