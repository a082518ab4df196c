"""Text on pixels, in Pillow's own font: no file to find on the user's machine."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facekit.draw.palette import RIM_COLOUR, Colour
from facekit.images import RgbImage

__all__ = ["SMALLEST_TEXT", "paste", "render", "shorten"]

SMALLEST_TEXT = 9
"""Smaller letters cannot be read, pixels."""


@functools.lru_cache(maxsize=64)
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font at a size; building it costs more than using it."""
    return ImageFont.load_default(height)


def render(lines: tuple[str, ...], height: int, ground: Colour) -> RgbImage:
    """Write dark text on a coloured ground."""
    font, pad = _font(height), max(1, height // 5)
    pitch = round(1.15 * height)
    width = max(1, round(max(font.getlength(line) for line in lines)))
    size = (width + 2 * pad, pitch * len(lines) + pad)
    label = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(label)
    for row, line in enumerate(lines):
        pen.text((pad, row * pitch + pad / 2), line, fill=RIM_COLOUR, font=font)
    return np.asarray(label)


def paste(canvas: RgbImage, label: RgbImage, place: tuple[int, int]) -> None:
    """Put a label on the canvas, cut at its edges."""
    x, y = place
    left, top = max(x, 0), max(y, 0)
    visible = label[top - y :, left - x :][: canvas.shape[0] - top, : canvas.shape[1] - left]
    canvas[top : top + visible.shape[0], left : left + visible.shape[1]] = visible


def shorten(line: str, height: int, room: int) -> str:
    """Cut a line, ending in an ellipsis, until it is at most ``room`` pixels wide."""
    text = line
    while len(text) > 1 and _font(height).getlength(text) > room:
        text = text.removesuffix("…")[:-1] + "…"
    return text
