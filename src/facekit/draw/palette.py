"""Colours: Okabe and Ito's set, told apart by colour-blind readers.

https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

__all__ = ["LANDMARK_COLOUR", "PALETTE", "RIM_COLOUR", "Colour"]

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)
"""RGB; the colour of a face's box and mask follows its class, and its number where masks are."""

LANDMARK_COLOUR: Colour = (240, 228, 66)
RIM_COLOUR: Colour = (15, 15, 15)
