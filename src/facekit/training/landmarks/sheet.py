"""Sample sheets: crops with the points that were placed, and those that were annotated."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facekit.images import RgbImage

__all__ = ["draw_points"]

_TRUTH, _ANSWER = (70, 200, 90), (255, 70, 60)
_ACROSS = 6
_STEPS = 16
"""OpenCV draws at sixteenths of a pixel with a shift of 4."""


def draw_points(
    crops: Sequence[npt.NDArray[np.uint8]],
    answers: npt.ArrayLike,
    truths: Sequence[npt.NDArray[np.float32]],
) -> RgbImage:
    """Draw a sheet, six crops across.

    Args:
        crops: ``(S, S)`` uint8 grey, all of one size.
        answers: ``(n, k, 2)``, pixels of the crops: red.
        truths: ``(k, 2)`` each, pixels of the crops: green, below.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    tiles = []
    for crop, answer, truth in zip(crops, np.asarray(answers), truths, strict=True):
        tile = np.repeat(crop[..., None], 3, axis=2)
        for points, colour, radius in ((truth, _TRUTH, 2), (answer, _ANSWER, 1)):
            for x, y in np.clip(points, -1e4, 1e4):
                centre = round((x - 0.5) * _STEPS), round((y - 0.5) * _STEPS)
                cv2.circle(tile, centre, radius * _STEPS, colour, -1, cv2.LINE_AA, 4)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _ACROSS)
    rows = [np.hstack(tiles[start : start + _ACROSS]) for start in range(0, len(tiles), _ACROSS)]
    return np.asarray(np.vstack(rows), dtype=np.uint8)
