"""A dataset's numbers as a picture, drawn with the core alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from facekit.datasets.stats import Stats
from facekit.draw.palette import PALETTE, Colour
from facekit.draw.text import SMALLEST_TEXT, paste, render, shorten
from facekit.images import RgbImage

__all__ = ["picture"]

_WIDTH: Final = 1000
_MARGIN: Final = 30
_TEXT: Final = 15
_TITLE: Final = 20
_ROW: Final = 24
_BARS: Final = 240
_SHOWN: Final = 8
_WHITE: Final[Colour] = (255, 255, 255)
_LINE: Final[Colour] = (200, 200, 200)

Bars = Sequence[tuple[str, int]]
"""Words and counts."""


def picture(stats: Stats, title: str = "") -> RgbImage:
    """Draw a dataset's histograms.

    Args:
        stats: The numbers.
        title: What to write above them, such as the dataset's name.

    Returns:
        ``(H, 1000, 3)`` uint8 RGB on white; its height depends on how many attributes there are.
    """
    blocks = [_heading(stats, title)]
    heights = [(_pixels(low), count) for low, _, count in stats.height_bins()]
    blocks.append(_columns("faces by height, from so many pixels up", heights, PALETTE[0]))
    blocks.append(_columns("images by number of faces", stats.crowd_bins(), PALETTE[1]))
    panels = [("label", stats.labels), ("landmarks", stats.schemes), *stats.attributes.items()]
    drawn = [_rows(name, values.most_common(), stats.faces) for name, values in panels if values]
    blocks += [_side_by_side(drawn[i : i + 2]) for i in range(0, len(drawn), 2)]
    return np.vstack(blocks)


def _blank(height: int, width: int = _WIDTH) -> RgbImage:
    """Return white pixels."""
    return np.full((height, width, 3), 255, np.uint8)


def _write(canvas: RgbImage, words: str, x: float, y: float, height: int = _TEXT) -> None:
    """Write words; ``x`` and ``y`` are the left upper corner."""
    if words:
        paste(canvas, render((words,), height, _WHITE), (round(x), round(y)))


def _heading(stats: Stats, title: str) -> RgbImage:
    """Write the counts that matter most."""
    canvas = _blank(96)
    name = shorten(title, _TITLE, _WIDTH - 2 * _MARGIN) if title else ""
    _write(canvas, name, _MARGIN, 14, _TITLE)
    words = (
        f"{stats.images:,} images, {stats.empty_images:,} without faces;  "
        f"{stats.faces:,} faces, {stats.ignored:,} ignored, {stats.mean_faces:.2f} an image"
    )
    _write(canvas, shorten(words, _TEXT, _WIDTH - 2 * _MARGIN), _MARGIN, 52)
    return canvas


def _columns(title: str, bars: Bars, colour: Colour) -> RgbImage:
    """Draw upright bars, their counts above and their words below."""
    canvas = _blank(_BARS + 130)
    _write(canvas, title, _MARGIN, 4, _TITLE)
    floor = 60 + _BARS
    canvas[floor : floor + 2, _MARGIN : _WIDTH - _MARGIN] = _LINE
    most = max((count for _, count in bars), default=0)
    if not most:
        _write(canvas, "none", _MARGIN, floor - 40)
        return canvas
    pitch = (_WIDTH - 2 * _MARGIN) / len(bars)
    longest = max(len(words) for words, _ in bars)
    letters = round(min(_TEXT, max(SMALLEST_TEXT, 1.75 * pitch / longest)))
    for i, (words, count) in enumerate(bars):
        left, right = _MARGIN + (i + 0.1) * pitch, _MARGIN + (i + 0.9) * pitch
        # What is there at all is seen.
        height = max(round(_BARS * count / most), int(count > 0))
        canvas[floor - height : floor, round(left) : max(round(right), round(left) + 1)] = colour
        middle = (left + right) / 2
        _centred(
            canvas, _short(count) if count else "", middle, floor - height - 1.7 * letters, letters
        )
        _centred(canvas, words, middle, floor + 6, letters)
    return canvas


def _centred(canvas: RgbImage, words: str, x: float, y: float, height: int) -> None:
    """Write words around a column."""
    if words:
        label = render((words,), height, _WHITE)
        paste(canvas, label, (round(x - label.shape[1] / 2), round(y)))


def _pixels(length: float) -> str:
    """Return a length in few letters."""
    return f"{length:.0f}" if length >= 10 else f"{length:.2g}"  # noqa: PLR2004 - two digits


def _short(count: int) -> str:
    """Return a count in at most four letters."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            scaled = count / size
            return f"{scaled:.1f}{letter}" if scaled < 10 else f"{scaled:.0f}{letter}"  # noqa: PLR2004 - two digits
    return str(count)


def _rows(title: str, bars: Bars, total: int) -> RgbImage:
    """Draw lying bars in half the picture's width: a value and how many faces have it."""
    shown, rest = bars[:_SHOWN], bars[_SHOWN:]
    if rest:
        shown = [*shown, (f"{len(rest)} more", sum(count for _, count in rest))]
    width = _WIDTH // 2
    canvas = _blank(50 + _ROW * len(shown), width)
    _write(canvas, shorten(title, _TITLE, width - 2 * _MARGIN), _MARGIN, 4, _TITLE)
    left, room = _MARGIN + 130, width - 2 * _MARGIN - 130 - 110
    for i, (words, count) in enumerate(shown):
        y = 38 + i * _ROW
        _write(canvas, shorten(words, _TEXT, 120), _MARGIN, y)
        length = max(round(room * count / max(total, 1)), 1)
        canvas[y + 3 : y + _ROW - 4, left : left + length] = PALETTE[2]
        share = f"{count:,} ({100 * count / max(total, 1):.3g} %)"
        _write(canvas, share, left + length + 4, y)
    return canvas


def _side_by_side(halves: Sequence[RgbImage]) -> RgbImage:
    """Put one or two halves beside each other."""
    height = max(half.shape[0] for half in halves)
    canvas = _blank(height + 10)
    for i, half in enumerate(halves):
        paste(canvas, half, (i * (_WIDTH // 2), 0))
    return canvas
