"""What a classifier gets right and wrong, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from facekit.draw.sheet import contact_sheet
from facekit.draw.text import paste, render, shorten
from facekit.images import RgbImage

__all__ = ["confusion_picture", "mistakes_picture", "stacked"]

_CELL: Final = 56
_LETTERS: Final = 13
_MARGIN: Final = 140
_WHITE: Final = (255, 255, 255)
_RIGHT: Final = np.array([66, 146, 198])
_WRONG: Final = np.array([239, 101, 72])


def confusion_picture(confusion: npt.NDArray[np.int64], labels: Sequence[str]) -> RgbImage:
    """Draw a confusion matrix: a row a true label, a column a predicted one.

    Args:
        confusion: ``(n, n)`` counts, as of :func:`facekit.metrics.classification.confusion_matrix`.
        labels: The ``n`` labels.

    Returns:
        ``(H, W, 3)`` uint8 RGB. The shade is the share of the row; right answers are blue.
    """
    count = len(labels)
    canvas = np.full((_MARGIN + _CELL * count, _MARGIN + _CELL * count, 3), 255, np.uint8)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    for row in range(count):
        for column in range(count):
            hue = _RIGHT if row == column else _WRONG
            shade = np.round(255 + shares[row, column] * (hue - 255)).astype(np.uint8)
            top, left = _MARGIN + row * _CELL, _MARGIN + column * _CELL
            canvas[top + 1 : top + _CELL, left + 1 : left + _CELL] = shade
            number = render((str(confusion[row, column]),), _LETTERS, _colour(shade))
            _centred(canvas, number, (left + _CELL // 2, top + _CELL // 2))
    _name(canvas, labels)
    return canvas


def _name(canvas: RgbImage, labels: Sequence[str]) -> None:
    """Write the labels beside the rows and, turned, above the columns."""
    room = _MARGIN - 8
    for place, label in enumerate(labels):
        text = render((shorten(label, _LETTERS, room - 8),), _LETTERS, _WHITE)
        middle = _MARGIN + place * _CELL + _CELL // 2
        paste(canvas, text, (room - text.shape[1], middle - text.shape[0] // 2))
        turned = np.ascontiguousarray(np.rot90(text))
        paste(canvas, turned, (middle - turned.shape[1] // 2, room - turned.shape[0]))
    paste(canvas, render(("true \\ predicted",), _LETTERS, _WHITE), (4, 4))


def _colour(shade: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in shade)
    return red, green, blue


def _centred(canvas: RgbImage, label: RgbImage, middle: tuple[int, int]) -> None:
    paste(canvas, label, (middle[0] - label.shape[1] // 2, middle[1] - label.shape[0] // 2))


def mistakes_picture(crops: Sequence[RgbImage], captions: Sequence[str]) -> RgbImage | None:
    """Lay the crops of wrong answers out in a grid.

    Args:
        crops: ``(size, size, 3)`` uint8 RGB.
        captions: What each is, and what it was taken for.

    Returns:
        ``(H, W, 3)`` uint8 RGB, or ``None`` without a mistake.
    """
    if not crops:
        return None
    return contact_sheet(list(crops), columns=6, cell=200, captions=list(captions))


def stacked(pictures: Sequence[RgbImage]) -> RgbImage:
    """Put pictures below each other on white."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [
        np.pad(
            picture, ((0, 12), (0, width - picture.shape[1]), (0, 0)), constant_values=255
        ).astype(np.uint8)
        for picture in pictures
    ]
    return np.concatenate(padded)
