"""Smooth lines and dots of any width, also below a pixel, with a dark rim."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facekit.draw.palette import RIM_COLOUR, Colour
from facekit.images import RgbImage

__all__ = ["Line", "draw_strokes"]

Line = tuple[npt.ArrayLike, bool]
"""``(k, 2)`` points, continuous pixels, and whether the last is joined to the first."""

_SHIFT = 4
_RIM_OPACITY = 0.6
_FINE_WIDTH = 4.0
# By so much OpenCV's smooth lines are wider, and circles' radii larger, than asked (4.10 and 5.0).
_LINE_SPREAD = 1.7
_CIRCLE_SPREAD = 0.45
_LARGEST_FINE_WINDOW = 4_000_000
_FARTHEST = 1e5


def draw_strokes(
    canvas: RgbImage,
    *,
    lines: Sequence[Line] = (),
    dots: npt.ArrayLike = (),
    colour: Colour,
    width: float,
    radius: float = 0.0,
) -> None:
    """Draw lines and dots on an image, in place.

    Args:
        canvas: ``(H, W, 3)`` uint8 RGB.
        lines: The lines.
        dots: ``(k, 2)`` centres, continuous pixels.
        colour: RGB.
        width: The lines' width, pixels; may be a fraction.
        radius: The dots' radius, pixels; may be a fraction.
    """
    paths = [(_finite(points), closed) for points, closed in lines]
    centres = _finite(dots)
    everything = np.concatenate([centres, *(points for points, _ in paths)])
    rim = max(width / 3, min(0.6, 0.8 * width))
    window = _window(everything, reach=max(width, radius) + rim + 2, shape=canvas.shape)
    if window is None:
        return
    rows, columns = window
    origin = np.array([columns.start, rows.start], dtype=np.float64)
    part = canvas[window]
    # Finer than a pixel where a stroke is thin: OpenCV's own widths are whole numbers.
    small = part[:, :, 0].size <= _LARGEST_FINE_WINDOW
    detail = max(1, math.ceil(_FINE_WIDTH / max(width, 1.0))) if small else 1
    for shade, extra, opacity in ((RIM_COLOUR, rim, _RIM_OPACITY), (colour, 0.0, 1.0)):
        ink = np.zeros((part.shape[0] * detail, part.shape[1] * detail), np.uint8)
        for points, closed in paths:
            fixed = [_fixed(points - origin, detail).reshape(-1, 1, 2)]
            thickness = _thickness((width + 2 * extra) * detail)
            cv2.polylines(ink, fixed, closed, 255, thickness, cv2.LINE_AA, _SHIFT)
        extent = round(max((radius + extra) * detail - _CIRCLE_SPREAD, 0.2) * (1 << _SHIFT))
        for x, y in _fixed(centres - origin, detail).tolist():
            cv2.circle(ink, (x, y), extent, 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        _blend(part, ink, shade, opacity)


def _thickness(width: float) -> int:
    """Return OpenCV's thickness for a smooth line of a width: only even ones differ."""
    return max(1, 2 * round((width - _LINE_SPREAD) / 2))


def _blend(part: RgbImage, ink: RgbImage, shade: Colour, opacity: float) -> None:
    """Colour the pixels that a finer mask covers, in place."""
    small = cv2.resize(ink, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_AREA)
    touched = small > 0
    cover = small[touched][:, None].astype(np.float32) * (opacity / 255)
    pixels = part[touched].astype(np.float32)
    part[touched] = np.round(pixels + (np.array(shade, np.float32) - pixels) * cover)


def _finite(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Keep wild coordinates within what fixed point can hold."""
    array = np.nan_to_num(np.asarray(points, dtype=np.float64)).reshape(-1, 2)
    return np.clip(array, -_FARTHEST, _FARTHEST)


def _window(
    points: npt.NDArray[np.float64], *, reach: float, shape: tuple[int, ...]
) -> tuple[slice, slice] | None:
    """Return the rows and columns that strokes can touch; ``None`` outside the image."""
    if not len(points):
        return None
    low = np.maximum(np.floor(points.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0) + reach), shape[1::-1]).astype(int)
    if (low >= high).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _fixed(points: npt.NDArray[np.float64], detail: int) -> npt.NDArray[np.int32]:
    """Turn continuous coordinates into OpenCV's fixed-point pixel centres."""
    return np.round((points * detail - 0.5) * (1 << _SHIFT)).astype(np.int32)
