"""Which annotated face each prediction lies on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facekit import boxes as box_maths
from facekit.metrics.pool import Pool

__all__ = ["NONE", "faces_of", "first_of_each"]

NONE = -1
"""The number of no face."""


def faces_of(
    pool: Pool, truths: Sequence[npt.NDArray[np.floating]], *, iou: float, inclusive: bool
) -> npt.NDArray[np.intp]:
    """Return the face that each prediction overlaps most, of all that are annotated.

    Args:
        pool: The predictions of all images.
        truths: Each image's faces, ``(m, 4)`` xyxy, pixels.
        iou: The least overlap; less is :data:`NONE`.
        inclusive: Count pixels inclusively (``+ 1``).

    Returns:
        ``(n,)``: numbers of faces, counted through all images; the first of equal ones.
    """
    faces = np.full(len(pool), NONE, dtype=np.intp)
    before = 0
    for image, truth in enumerate(truths):
        start, stop = pool.starts[image], pool.starts[image + 1]
        if len(truth) and start < stop:
            overlaps = box_maths.iou(pool.boxes[start:stop], truth, inclusive=inclusive)
            best = overlaps.argmax(axis=1)
            near = overlaps[np.arange(len(best)), best] >= iou
            faces[start:stop] = np.where(near, best + before, NONE)
        before += len(truth)
    return faces


def first_of_each(
    faces: npt.NDArray[np.intp], scores: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Return which predictions are the surest of their face; of equal ones the first.

    Args:
        faces: ``(n,)`` as :func:`faces_of` gives.
        scores: ``(n,)``.
    """
    matched = np.flatnonzero(faces != NONE)
    order = matched[np.lexsort((-scores[matched], faces[matched]))]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = faces[order[1:]] != faces[order[:-1]]
    first = np.zeros(len(faces), dtype=bool)
    first[order[begins]] = True
    return first
