"""Contact sheets: many pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facekit.draw.text import SMALLEST_TEXT, paste, render, shorten
from facekit.errors import ImageError
from facekit.images import ImageLike, RgbImage, read_all

__all__ = ["contact_sheet"]


def contact_sheet(
    images: Sequence[ImageLike],
    *,
    columns: int = 4,
    cell: int = 320,
    captions: Sequence[str] | None = None,
) -> RgbImage:
    """Lay images out in a grid, each scaled into a square cell.

    Args:
        images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays.
        columns: Cells in a row; no more than there are images.
        cell: A cell's side, pixels, without its caption.
        captions: One line under each image, shortened where it is too long.

    Returns:
        ``(H, W, 3)`` uint8 RGB on white.

    Raises:
        ImageError: If there is no image, or one cannot be read.
        ValueError: If there is not one caption an image.
    """
    pictures = read_all(images)
    if not pictures:
        message = "a contact sheet needs at least one image"
        raise ImageError(message)
    texts = [""] * len(pictures) if captions is None else captions
    tiles = [
        _tile(picture, text, cell, captioned=captions is not None)
        for picture, text in zip(pictures, texts, strict=True)
    ]
    columns = max(1, min(columns, len(tiles)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _tile(picture: RgbImage, caption: str, cell: int, *, captioned: bool) -> RgbImage:
    """Scale a picture into the middle of a white cell, its caption below."""
    gap = max(2, cell // 40)
    height = max(SMALLEST_TEXT, cell // 18)
    room = cell - 2 * gap
    scale = room / max(picture.shape[:2])
    shape = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(picture, shape, interpolation=way), dtype=np.uint8)
    tile = np.full((cell + (round(1.6 * height) if captioned else 0), cell, 3), 255, np.uint8)
    paste(tile, small, ((cell - shape[0]) // 2, (cell - shape[1]) // 2))
    if caption:
        text = render((shorten(caption, height, room),), height, (255, 255, 255))
        paste(tile, text, (gap, cell - gap // 2))
    return tile
