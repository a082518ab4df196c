"""WIDER FACE's official protocol: AP on easy, medium and hard, as ``eval_tools`` computes it.

What the MATLAB code does, and so this does:

* Scores are normalised once over the whole set, ``(s - min) / (max - min)``, **in single
  precision**: ``norm_score.m`` starts from ``realmin('single')`` and MATLAB's mixed arithmetic is
  single. (``realmin`` also is the least maximum, which only matters where no score is positive.)
* A prediction belongs to the face that it overlaps most, of *all* annotated faces, whether they
  count in the setting or not. Overlap counts pixels inclusively (``+ 1``) and must reach 0.5.
* Predictions that belong to a face that does not count leave the setting. Of a face that counts
  the surest prediction is true; later ones are false.
* An image without annotated faces is passed over: its predictions are not even false.
* 1,000 thresholds, ``1 - t / 1000``. At each, precision is all true over all counted predictions,
  recall all true over all faces that count; AP is the area under the envelope.

Stated rules where the official code has none: of equal scores all enter at every threshold (there
the official code divides by zero, and its AP is 0); a threshold at which nothing is predicted is
left out of the curve (0 / 0 there).

The settings are lists of faces in ``wider_{easy,medium,hard}_val.mat``. On the boxes of
``wider_face_val.mat`` they are exactly the faces higher than 50, 30 and 10 pixels, whatever their
attributes: :meth:`WiderTruth.by_height` gives them for any annotation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from facekit import boxes as box_maths
from facekit.errors import MetricsError
from facekit.metrics.curve import PrecisionRecall, area_under_envelope, no_curve
from facekit.metrics.matching import NONE, faces_of, first_of_each
from facekit.metrics.pool import Pool, Prediction
from facekit.metrics.truth import boxes_of, flags_of

__all__ = ["HEIGHTS", "SETTINGS", "WiderTruth", "wider_face"]

HEIGHTS: Final[Mapping[str, float]] = MappingProxyType({"easy": 50, "medium": 30, "hard": 10})
"""Faces higher than this count, pixels."""

SETTINGS: Final = tuple(HEIGHTS)
_IOU: Final = 0.5
_STEPS: Final = 1000
_THRESHOLDS: Final = 1 - np.arange(_STEPS, 0, -1) / _STEPS
"""From 0 to 0.999, rising; computed as the official code computes them."""


@dataclasses.dataclass(frozen=True, eq=False)
class WiderTruth:
    """The annotated faces of one image, and which of them count.

    Attributes:
        boxes: ``(n, 4)`` float64 ``x, y, width, height`` as published, pixels.
        counted: For each setting, ``(n,)`` bool: the faces to find.
    """

    boxes: npt.NDArray[np.float64]
    counted: Mapping[str, npt.NDArray[np.bool_]]

    def __post_init__(self) -> None:
        """Copy, freeze and check both fields.

        Raises:
            MetricsError: If shapes disagree or a number is not finite.
        """
        boxes = boxes_of(self.boxes, "truth")
        counted = {
            setting: flags_of(flags, len(boxes), f"truth's {setting}")
            for setting, flags in self.counted.items()
        }
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "counted", MappingProxyType(counted))

    @classmethod
    def by_height(cls, boxes: npt.ArrayLike, ignore: npt.ArrayLike | None = None) -> Self:
        """Return the truth of any annotation, with the settings' own heights.

        On the boxes of ``wider_face_val.mat`` this is the official truth, face for face (7,211,
        13,319 and 31,958 of 39,708). The text has the same faces rounded to whole pixels: there 84,
        236 and 810 faces are missing, those of 50, 30 and 10 pixels that were a little higher.

        Args:
            boxes: ``(n, 4)`` ``x, y, width, height``, pixels.
            ignore: ``(n,)`` bool: faces that never count. By default there is none; no invalid face
                of WIDER FACE's validation part is high enough to count.

        Raises:
            MetricsError: If shapes disagree or a number is not finite.
        """
        rows = boxes_of(boxes, "truth")
        given = np.zeros(len(rows), dtype=bool) if ignore is None else ignore
        allowed = ~flags_of(given, len(rows), "truth's ignore")
        counted = {name: allowed & (rows[:, 3] > height) for name, height in HEIGHTS.items()}
        return cls(rows, counted)

    def __len__(self) -> int:
        """Return the number of faces, counted or not."""
        return len(self.boxes)


def wider_face(
    truths: Sequence[WiderTruth], predictions: Sequence[Prediction]
) -> dict[str, PrecisionRecall]:
    """Return AP and its curve for every setting of the truth.

    Args:
        truths: Each image's faces.
        predictions: Each image's predictions, in the same order; ``x2 = x + width``.

    Returns:
        A curve a setting, in the truth's order. ``scores`` are thresholds in the detector's own
        scale; there are at most 1,000 points.

    Raises:
        MetricsError: If there is no image, the numbers of images differ, a prediction is not
            finite, or images have other settings than the first.
    """
    settings = _settings(truths)
    pool = Pool.of(predictions, images=len(truths))
    boxes = [box_maths.xywh_to_xyxy(one.boxes) for one in truths]
    faces = faces_of(pool, boxes, iou=_IOU, inclusive=True)
    first = first_of_each(faces, pool.scores)
    steps, scores = _steps(pool.scores)
    annotated = np.repeat([len(one) > 0 for one in boxes], np.diff(pool.starts))
    curves = {}
    for setting in settings:
        counted = np.concatenate([one.counted[setting] for one in truths])
        wanted = np.append(counted, True)[faces] & annotated
        true = first & wanted & (faces != NONE)
        proposed, found = _up_to(steps[wanted]), _up_to(steps[true])
        curves[setting] = _curve(
            found, proposed, scores, total=int(counted.sum()), images=len(truths), notes=pool.notes
        )
    return curves


def _settings(truths: Sequence[WiderTruth]) -> list[str]:
    """Return the names of the settings, which all images must share."""
    if not truths:
        message = "no image to evaluate"
        raise MetricsError(message)
    settings = list(truths[0].counted)
    for image, truth in enumerate(truths):
        if set(truth.counted) != set(settings):
            message = (
                f"image {image} has the settings {', '.join(truth.counted) or 'none'}, "
                f"but the first has {', '.join(settings) or 'none'}"
            )
            raise MetricsError(message)
    return settings


def _steps(
    scores: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the step at which each score enters, and each step's threshold in the score's scale.

    Step 0 is the threshold 0.999, step 999 the threshold 0.
    """
    single = scores.astype(np.float32)
    low = single.min(initial=np.finfo(np.float32).max)
    high = single.max(initial=np.finfo(np.float32).tiny)
    if not len(scores) or high == low:
        return np.zeros(len(scores), np.intp), np.full(_STEPS, float(low))
    normalised = ((single - low) / (high - low)).astype(np.float64)
    steps = _STEPS - np.searchsorted(_THRESHOLDS, normalised, side="right")
    thresholds = _THRESHOLDS[::-1] * (float(high) - float(low)) + float(low)
    return steps, thresholds


def _up_to(steps: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return how many have entered after each step."""
    return np.cumsum(np.bincount(steps, minlength=_STEPS), dtype=np.int64)


def _curve(
    found: npt.NDArray[np.int64],
    proposed: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    *,
    total: int,
    images: int,
    notes: tuple[str, ...],
) -> PrecisionRecall:
    """Return the curve of one setting from its counts at every step."""
    if not total:
        return no_curve(predictions=int(proposed[-1]), images=images, notes=notes)
    some = proposed > 0
    precision, recall = found[some] / proposed[some], found[some] / total
    return PrecisionRecall(
        ap=area_under_envelope(precision, recall),
        precision=precision,
        recall=recall,
        scores=scores[some],
        truths=total,
        predictions=int(proposed[-1]),
        images=images,
        notes=notes,
    )
