"""Pure box arithmetic on ``(n, 4)`` arrays.

Boxes are ``xyxy`` in continuous pixel coordinates: pixel ``i`` covers ``[i, i + 1)``, so a box's
width is ``x2 - x1`` with no ``+ 1``. Arithmetic of formats that count pixels inclusively
(``x2 - x1 + 1``) is had by ``inclusive=True`` where the upstream's numbers depend on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "BOX_PER_EXTENT",
    "IDENTITY",
    "BoxTransform",
    "area",
    "clip",
    "cxcywh_to_xyxy",
    "iou",
    "nms",
    "scale",
    "square",
    "squares_around",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywh",
]

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.intp]

BOX_PER_EXTENT: Final = 1.06
"""Side of the canonical square over the larger side of the landmarks' extent: measured on the
boxes that 300-W's annotations for dlib come with (1.05 to 1.07)."""


def _as_boxes(boxes: npt.ArrayLike) -> FloatArray:
    """Return ``boxes`` as a floating ``(n, 4)`` array, keeping float64 when it is float64.

    Raises:
        ValueError: If the shape is not ``(n, 4)``.
    """
    array = np.asarray(boxes)
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    if array.size == 0:
        array = array.reshape(-1, 4)
    if array.ndim != 2 or array.shape[1] != 4:  # noqa: PLR2004 - a box has four numbers
        message = f"boxes must have shape (n, 4), got {array.shape}"
        raise ValueError(message)
    return array


def xywh_to_xyxy(boxes: npt.ArrayLike) -> FloatArray:
    """Convert ``x, y, width, height`` to ``x1, y1, x2, y2``; shapes ``(n, 4)``, pixels."""
    xywh = _as_boxes(boxes)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: npt.ArrayLike) -> FloatArray:
    """Convert ``x1, y1, x2, y2`` to ``x, y, width, height``; shapes ``(n, 4)``, pixels."""
    xyxy = _as_boxes(boxes)
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def cxcywh_to_xyxy(boxes: npt.ArrayLike) -> FloatArray:
    """Convert ``centre x, centre y, width, height`` to ``x1, y1, x2, y2``; shapes ``(n, 4)``."""
    cxcywh = _as_boxes(boxes)
    half = cxcywh[:, 2:] / 2
    return np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)


def xyxy_to_cxcywh(boxes: npt.ArrayLike) -> FloatArray:
    """Convert ``x1, y1, x2, y2`` to ``centre x, centre y, width, height``; shapes ``(n, 4)``."""
    xyxy = _as_boxes(boxes)
    return np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def area(boxes: npt.ArrayLike, *, inclusive: bool = False) -> FloatArray:
    """Return the area of each box in square pixels.

    Args:
        boxes: ``(n, 4)`` xyxy, pixels. A box with ``x2 < x1`` or ``y2 < y1`` has area 0.
        inclusive: Count pixels inclusively, ``(x2 - x1 + 1) * (y2 - y1 + 1)``.

    Returns:
        ``(n,)`` floats.
    """
    xyxy = _as_boxes(boxes)
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2] + float(inclusive), 0)
    product: FloatArray = sides[:, 0] * sides[:, 1]
    return product


def clip(boxes: npt.ArrayLike, image_size: tuple[int, int]) -> FloatArray:
    """Clip boxes to the image.

    Args:
        boxes: ``(n, 4)`` xyxy, pixels.
        image_size: Height and width, pixels.

    Returns:
        ``(n, 4)``: x within ``[0, width]`` and y within ``[0, height]``.
    """
    xyxy = _as_boxes(boxes)
    height, width = image_size
    limit = np.array([width, height, width, height], dtype=xyxy.dtype)
    clipped: FloatArray = np.clip(xyxy, 0, limit)
    return clipped


def iou(first: npt.ArrayLike, second: npt.ArrayLike, *, inclusive: bool = False) -> FloatArray:
    """Return the intersection over union of every pair of boxes.

    Args:
        first: ``(n, 4)`` xyxy, pixels.
        second: ``(m, 4)`` xyxy, pixels.
        inclusive: Count pixels inclusively (``+ 1``), as mmdetection 1.x and WIDER FACE do.

    Returns:
        ``(n, m)`` in [0, 1]; 0 where both boxes are empty.
    """
    one, two = _as_boxes(first), _as_boxes(second)
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, 2:], two[None, :, 2:])
    sides = np.maximum(high - low + float(inclusive), 0)
    shared = sides[..., 0] * sides[..., 1]
    union = area(one, inclusive=inclusive)[:, None] + area(two, inclusive=inclusive) - shared
    ratio: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    iou_threshold: float,
    *,
    inclusive: bool = False,
) -> IntArray:
    """Greedy non-maximum suppression.

    Args:
        boxes: ``(n, 4)`` xyxy, pixels.
        scores: ``(n,)``. Equal scores keep the order in which they came.
        iou_threshold: A box is dropped when its IoU with a kept, better one is above this.
        inclusive: Count pixels inclusively (``+ 1``).

    Returns:
        ``(k,)`` indices of the kept boxes, scores descending.

    Raises:
        ValueError: If ``scores`` does not have one value per box.
    """
    xyxy = _as_boxes(boxes)
    values = np.asarray(scores)
    if values.shape != (len(xyxy),):
        message = f"scores must have shape ({len(xyxy)},), got {values.shape}"
        raise ValueError(message)
    remaining = np.argsort(-values, kind="stable")
    kept: list[int] = []
    while remaining.size:
        spared = _spared(xyxy[remaining], iou_threshold, inclusive=inclusive)
        alive = np.ones(len(remaining), dtype=bool)
        for row, spares in enumerate(spared):
            if alive[row]:
                kept.append(int(remaining[row]))
                alive[row + 1 :] &= spares[row + 1 :]
        remaining = remaining[len(spared) :][alive[len(spared) :]]
    return np.array(kept, dtype=np.intp)


_BLOCK = 64
"""Best boxes that are compared with all others at once: few calls of numpy, little memory."""


def _spared(xyxy: FloatArray, iou_threshold: float, *, inclusive: bool) -> npt.NDArray[np.bool_]:
    """Tell which boxes the first ones do not suppress.

    Args:
        xyxy: ``(n, 4)``, pixels.
        iou_threshold: The IoU up to which a box is spared.
        inclusive: Count pixels inclusively (``+ 1``).

    Returns:
        ``(min(n, 64), n)``: row i has the boxes that box i spares.
    """
    x1, y1, x2, y2 = np.ascontiguousarray(xyxy.T)
    first, offset = np.s_[:_BLOCK, None], float(inclusive)
    width = np.minimum(x2[first], x2) - np.maximum(x1[first], x1) + offset
    height = np.minimum(y2[first], y2) - np.maximum(y1[first], y1) + offset
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    areas = area(xyxy, inclusive=inclusive)
    # Comparing products spares a division by the zero union of two empty boxes.
    spared: npt.NDArray[np.bool_] = shared <= iou_threshold * (areas[first] + areas - shared)
    return spared


def scale(boxes: npt.ArrayLike, factors: float | tuple[float, float]) -> FloatArray:
    """Multiply coordinates, as resizing the image does.

    Args:
        boxes: ``(n, 4)`` xyxy, pixels.
        factors: One factor, or ``(x factor, y factor)``.

    Returns:
        ``(n, 4)`` xyxy.
    """
    xyxy = _as_boxes(boxes)
    x_factor, y_factor = factors if isinstance(factors, tuple) else (factors, factors)
    scaled: FloatArray = xyxy * np.array([x_factor, y_factor] * 2, dtype=xyxy.dtype)
    return scaled


def square(boxes: npt.ArrayLike, factor: float = 1.0) -> FloatArray:
    """Return squares about the same centres.

    Args:
        boxes: ``(n, 4)`` xyxy, pixels.
        factor: The square's side over the mean of the box's width and height.

    Returns:
        ``(n, 4)`` xyxy; may leave the image.
    """
    cxcywh = xyxy_to_cxcywh(boxes)
    side = cxcywh[:, 2:].mean(axis=1, keepdims=True) * factor
    return cxcywh_to_xyxy(np.concatenate([cxcywh[:, :2], side, side], axis=1))


def squares_around(points: npt.ArrayLike) -> FloatArray:
    """Return the canonical squares of faces, which landmarkers crop by.

    Args:
        points: ``(n, k, 2)`` all landmarks of each face as x, y, pixels.

    Returns:
        ``(n, 4)`` float32 xyxy about the middle of the points' extent, `BOX_PER_EXTENT` times its
        larger side: what the boxes of 300-W's dlib files are, before they were rounded.
    """
    array = np.asarray(points, dtype=np.float64)
    low, high = array.min(axis=1), array.max(axis=1)
    half = (high - low).max(axis=1, keepdims=True) * BOX_PER_EXTENT / 2
    middle = (low + high) / 2
    squares: FloatArray = np.concatenate([middle - half, middle + half], axis=1)
    return squares.astype(np.float32)


class BoxTransform(NamedTuple):
    """How one detector's box relates to the canonical square around the 68 landmarks.

    The square's centre lies ``(dx * width, dy * height)`` from the box's centre; its side is the
    mean of ``sw * width`` and ``sh * height``. Fractions, so the transform holds at every scale.

    Attributes:
        dx: Shift to the right, in box widths.
        dy: Shift down, in box heights.
        sw: Side over box width.
        sh: Side over box height.
    """

    dx: float = 0.0
    dy: float = 0.0
    sw: float = 1.0
    sh: float = 1.0

    def apply(self, boxes: npt.ArrayLike) -> FloatArray:
        """Return the canonical squares.

        Args:
            boxes: ``(n, 4)`` xyxy, pixels.

        Returns:
            ``(n, 4)`` xyxy; may leave the image.
        """
        cxcywh = xyxy_to_cxcywh(boxes)
        moved = np.array([self.dx, self.dy], dtype=cxcywh.dtype) * cxcywh[:, 2:]
        sized = np.array([self.sw, self.sh], dtype=cxcywh.dtype) * cxcywh[:, 2:]
        return square(cxcywh_to_xyxy(np.concatenate([cxcywh[:, :2] + moved, sized], axis=1)))


IDENTITY = BoxTransform()
"""The box is the canonical square already, as with ground truth."""
