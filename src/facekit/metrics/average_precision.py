"""Average precision at one overlap: Pascal VOC's all-point measure, also by face height.

A prediction belongs to the face that it overlaps most, of all that are annotated. If that face
is to be found, the surest prediction of it is true and the others are false; if it is ignored or
too low, the prediction counts neither way. What overlaps no face enough is false. Predictions of
equal score enter the curve together, so that the order of images or boxes changes nothing.

Boxes are continuous, without ``+ 1``; a face's height is ``y2 - y1``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facekit.errors import MetricsError
from facekit.metrics.curve import PrecisionRecall, area_under_envelope, no_curve
from facekit.metrics.matching import NONE, faces_of, first_of_each
from facekit.metrics.pool import Pool, Prediction
from facekit.metrics.truth import Truth

__all__ = ["average_precision"]


def average_precision(
    truths: Sequence[Truth],
    predictions: Sequence[Prediction],
    *,
    iou: float = 0.5,
    min_height: float = 0.0,
) -> PrecisionRecall:
    """Return average precision and its curve.

    Args:
        truths: Each image's faces.
        predictions: Each image's predictions, in the same order.
        iou: The least overlap of a prediction with its face.
        min_height: The least height of a face to find, pixels; lower ones are ignored.

    Raises:
        MetricsError: If the numbers of images differ, or a prediction is not finite.
    """
    if not 0 < iou <= 1:
        message = f"iou must lie in (0, 1], got {iou}"
        raise MetricsError(message)
    pool = Pool.of(predictions, images=len(truths))
    counted = np.concatenate(
        [np.zeros(0, bool), *(one.counted & (one.heights >= min_height) for one in truths)]
    )
    faces = faces_of(pool, [one.boxes for one in truths], iou=iou, inclusive=False)
    wanted = np.append(counted, True)[faces]
    true = first_of_each(faces, pool.scores) & (faces != NONE)
    total, notes = int(counted.sum()), pool.notes
    if not total:
        return no_curve(predictions=int(wanted.sum()), images=len(truths), notes=notes)
    precision, recall, scores = _curve(pool.scores[wanted], true[wanted], total)
    return PrecisionRecall(
        ap=area_under_envelope(precision, recall),
        precision=precision,
        recall=recall,
        scores=scores,
        truths=total,
        predictions=int(wanted.sum()),
        images=len(truths),
        notes=notes,
    )


def _curve(
    scores: npt.NDArray[np.float64], true: npt.NDArray[np.bool_], total: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return precision, recall and threshold after each distinct score, best first."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    found = np.cumsum(true[order])[last]
    proposed = np.flatnonzero(last) + 1
    return found / proposed, found / total, ordered[last]
