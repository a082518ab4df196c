"""S3FD's six maps: how large they are, and which boxes their cells stand for.

Arithmetic and order are those of clcarwin/SFD_pytorch (``wider_eval_pytorch.detect``,
``bbox.decode``), in float32 and for all cells at once.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.engines import FloatArray

Layout = Literal["s3fd", "dilated"]
"""``s3fd_convert.pth`` and ``s3fd-619a316812.pth``, or ``sfd_face.pth``."""

STRIDES: Final = (4, 8, 16, 32, 64, 128)
MIN_SIDE: Final = 32
"""The smallest side that the network takes, pixels."""

_ANCHOR_CELLS: Final = np.float32(4)
_DEVIATIONS: Final = (np.float32(0.1), np.float32(0.2))
# Far beyond any face, and the areas of such boxes are still finite.
_MAX_LOG_RATIO: Final = np.float32(20)
# exp of it is far from overflow and turns a score to 0 all the same.
_MAX_MARGIN: Final = np.float32(80)


class Candidates(NamedTuple):
    """Boxes before suppression: ``(n, 4)`` float32 xyxy, pixels, and scores ``(n,)`` float32."""

    boxes: FloatArray
    scores: FloatArray


def map_shapes(height: int, width: int, layout: Layout) -> list[tuple[int, int]]:
    """Return rows and columns of the six maps of an input.

    Args:
        height: Of the network's input, pixels, from `MIN_SIDE`.
        width: The same.
        layout: Of the weights.
    """
    columns = _map_sides(width, layout)
    return list(zip(_map_sides(height, layout), columns, strict=True))


def _map_sides(side: int, layout: Layout) -> list[int]:
    """Return the cells of a side in each map."""
    dilated = layout == "dilated"
    quarter = side // 2 // 2
    eighth = -(-quarter // 2) if dilated else quarter // 2
    sixteenth = eighth // 2
    # fc6 pads by 3 what its kernel would pad by 1.
    fc7 = sixteenth // 2 + (0 if dilated else 4)
    return [quarter, eighth, sixteenth, fc7, -(-fc7 // 2), -(-fc7 // 4)]


def decode(
    logits: FloatArray, deltas: FloatArray, shapes: list[tuple[int, int]], threshold: float
) -> Candidates:
    """Turn one image's answer into boxes.

    Args:
        logits: ``(cells, 2)``, background first; cells by map, row, column.
        deltas: ``(cells, 4)`` dx, dy, dw, dh.
        shapes: Rows and columns of the maps.
        threshold: Cells of a lower score are left out.

    Returns:
        The boxes in the cells' order, not clipped.
    """
    scores = face_scores(logits)
    chosen = np.flatnonzero(scores >= np.float32(threshold))
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    level = np.searchsorted(ends, chosen, side="right")
    columns = np.array([columns for _, columns in shapes])[level]
    row, column = np.divmod(chosen - np.concatenate([[0], ends[:-1]])[level], columns)
    stride = np.array(STRIDES, dtype=np.float32)[level]
    cells = np.stack([column, row], axis=1).astype(np.float32)
    return Candidates(_boxes(deltas[chosen], cells, stride[:, None]), scores[chosen])


def face_scores(logits: FloatArray) -> FloatArray:
    """Return the faces' softmax ``(n,)``, which for two classes is a logistic of their margin."""
    margin = np.minimum(logits[:, 0] - logits[:, 1], _MAX_MARGIN)
    scores: FloatArray = np.float32(1) / (np.float32(1) + np.exp(margin))
    return scores


def _boxes(deltas: FloatArray, cells: FloatArray, stride: FloatArray) -> npt.NDArray[np.float32]:
    """Apply deltas to the square anchors of cells.

    Args:
        deltas: ``(n, 4)``.
        cells: ``(n, 2)`` column and row.
        stride: ``(n, 1)`` pixels of a cell.
    """
    near, far = _DEVIATIONS
    anchor = stride * _ANCHOR_CELLS
    centre = stride / 2 + cells * stride + deltas[:, :2] * near * anchor
    extent = anchor * np.exp(np.minimum(deltas[:, 2:] * far, _MAX_LOG_RATIO))
    corner = centre - extent / 2
    return np.concatenate([corner, corner + extent], axis=1)
