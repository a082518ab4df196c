"""Masks of boxes, as graphs give them, laid onto the photo."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from facekit.masks import RleMask

__all__ = ["reframed"]

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_INSIDE: Final = 0.5
"""A pixel belongs to the object above this, as in the API's own evaluation."""


def reframed(
    masks: FloatArray, boxes: FloatArray, image_size: tuple[int, int]
) -> tuple[RleMask, ...]:
    """Lay masks onto the photo as the API's ``reframe_box_masks_to_image_masks`` does.

    That is TensorFlow's ``crop_and_resize`` the other way round: the outermost values lie on the
    box's edges, the first and last pixels of the photo on the photo's, and between the values it is
    bilinear.

    Args:
        masks: ``(n, h, w)``, how likely each part of a box is the object.
        boxes: ``(n, 4)`` x1 y1 x2 y2, pixels of the photo.
        image_size: Height and width of the photo, pixels.
    """
    return tuple(_one(mask, box, image_size) for mask, box in zip(masks, boxes, strict=True))


def _one(mask: FloatArray, box: FloatArray, size: tuple[int, int]) -> RleMask:
    """Lay one mask onto the photo."""
    top, down = _places(mask.shape[0], float(box[1]), float(box[3]), size[0])
    left, across = _places(mask.shape[1], float(box[0]), float(box[2]), size[1])
    if not len(down) or not len(across):
        return RleMask.from_mask(np.zeros(size, dtype=bool))
    values = _between(_between(mask.astype(np.float64), down).T, across).T
    return RleMask.from_patch(values > _INSIDE, (left, top), size)


def _places(count: int, start: float, end: float, side: int) -> tuple[int, Doubles]:
    """Say where along one axis of a mask the photo's pixels are.

    Args:
        count: The mask's values along the axis.
        start: Where the box begins, pixels.
        end: Where it ends.
        side: The photo's.

    Returns:
        The first pixel within the box, and for it and those after it their place, from 0 to
        ``count - 1``.
    """
    pixels = np.arange(side) / (side - 1) if side > 1 else np.full(1, 0.5)
    if end <= start:
        return 0, np.empty(0)
    places = (pixels * side - start) / (end - start) * (count - 1)
    within = np.flatnonzero((places >= 0) & (places <= count - 1))
    return (int(within[0]) if len(within) else 0), places[within]


def _between(values: Doubles, places: Doubles) -> Doubles:
    """Return what lies at places between rows."""
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    part = (places - low)[:, None]
    found: Doubles = values[low] * (1 - part) + values[high] * part
    return found
