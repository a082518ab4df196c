"""Precision over recall, and the area under its envelope."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from facekit.errors import MetricsError

__all__ = ["PrecisionRecall", "area_under_envelope"]

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PrecisionRecall:
    """A precision-recall curve, from the highest threshold to the lowest.

    Attributes:
        ap: The area under the envelope, 0 to 1; NaN where there is no face to find.
        precision: ``(k,)`` float64: true positives over predictions that count.
        recall: ``(k,)`` float64, never falling: true positives over faces to find.
        scores: ``(k,)`` float64: the threshold of each point, in the detector's own scale.
        truths: The number of faces to find.
        predictions: The number of predictions that count at the lowest threshold.
        images: The number of images.
        notes: What was odd in the input, and the rule it was scored by; a line each.
    """

    ap: float
    precision: Floats
    recall: Floats
    scores: Floats
    truths: int
    predictions: int
    images: int
    notes: tuple[str, ...] = ()


def area_under_envelope(precision: npt.ArrayLike, recall: npt.ArrayLike) -> float:
    """Return Pascal VOC's all-point average precision, as WIDER FACE's ``VOCap.m`` computes it.

    The envelope at a recall is the best precision at that recall or a higher one; beyond the
    highest recall it is 0.

    Args:
        precision: ``(k,)``; NaN, as 0 / 0 gives it where nothing is predicted, counts as none.
        recall: ``(k,)``, never falling, within [0, 1].

    Raises:
        MetricsError: If the two differ in length, or recall falls.
    """
    heights, steps = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    if heights.shape != steps.shape or heights.ndim != 1:
        message = f"precision and recall differ in shape: {heights.shape} and {steps.shape}"
        raise MetricsError(message)
    if not (np.diff(steps) >= 0).all():
        message = "recall must not fall along the curve, nor be NaN"
        raise MetricsError(message)
    envelope = np.fmax.accumulate(np.nan_to_num(heights, nan=0.0)[::-1])[::-1]
    return float((np.diff(steps, prepend=0.0) * envelope).sum())


def no_curve(*, predictions: int, images: int, notes: tuple[str, ...]) -> PrecisionRecall:
    """Return the curve of a set without a face to find: no point, and NaN for its area."""
    nothing = np.zeros(0)
    notes = (*notes, "there is no face to find: average precision is not defined")
    return PrecisionRecall(
        ap=float("nan"),
        precision=nothing,
        recall=nothing,
        scores=nothing,
        truths=0,
        predictions=predictions,
        images=images,
        notes=notes,
    )
