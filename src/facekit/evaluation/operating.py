"""What a detector does at a threshold: faces found, false positives, and thresholds to choose.

A detection belongs to the face that it overlaps most, of all that are annotated, as in
:mod:`facekit.metrics.average_precision`; of a face the surest is true, others are false, and one
on a face to be ignored counts neither way.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from facekit.datasets import ImageRecord
from facekit.evaluation.protocols import truth_of
from facekit.metrics.matching import NONE, faces_of, first_of_each
from facekit.metrics.pool import Pool
from facekit.types import Detections

__all__ = ["Outcomes", "Point"]

_IOU: Final = 0.5
_STEP: Final = 10**4
"""Thresholds have four decimals, so that people can type them."""

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Point:
    """A detector at one threshold.

    Attributes:
        rule: How the threshold was chosen, in words.
        threshold: The score threshold.
        precision: True detections over all; NaN where there is none.
        recall: True detections over faces; NaN where there is no face.
        per_image: False positives an image.
    """

    rule: str
    threshold: float
    precision: float
    recall: float
    per_image: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is found."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else 0.0


class Outcomes:
    """Every detection of a dataset: true, false, or neither.

    Attributes:
        scores: ``(n,)`` of the detections that count.
        true: ``(n,)`` whether it is true.
        image: ``(n,)`` the image's number.
        place: ``(n,)`` the detection's number in its image.
        face: ``(n,)`` the face's number through all images, -1 for none.
        counted: ``(all annotated faces,)`` whether it is to be found.
        face_starts: ``(images + 1,)``: image i has the faces from ``[i]`` to ``[i + 1]``.
        faces: How many faces there are to find.
        images: How many images there are.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        found: Sequence[Detections],
        *,
        min_height: float = 0.0,
    ) -> None:
        """Match detections with faces.

        Args:
            records: The annotated images.
            found: Their detections.
            min_height: Lower faces are ignored, pixels.

        Raises:
            MetricsError: If a detection or face is not finite.
        """
        truths = [truth_of(record) for record in records]
        pool = Pool.of(found, images=len(truths))
        owners = faces_of(pool, [one.boxes for one in truths], iou=_IOU, inclusive=False)
        counted = np.concatenate(
            [np.zeros(0, bool), *(one.counted & (one.heights >= min_height) for one in truths)]
        )
        wanted = np.append(counted, True)[owners]
        true = first_of_each(owners, pool.scores) & (owners != NONE)
        images = np.repeat(np.arange(len(truths)), np.diff(pool.starts))
        self.scores: Floats = pool.scores[wanted]
        self.true = true[wanted]
        self.image = images[wanted]
        self.place = (np.arange(len(pool)) - pool.starts[images])[wanted]
        self.face = owners[wanted]
        self.counted = counted
        self.faces, self.images = int(counted.sum()), len(truths)
        self.face_starts = np.cumsum([0, *map(len, truths)])

    def at(self, threshold: float, rule: str = "") -> Point:
        """Return what the detector does at a threshold.

        Args:
            threshold: Detections with at least this score are shown.
            rule: How it was chosen, in words.
        """
        shown = self.scores >= threshold
        true = int((shown & self.true).sum())
        total = int(shown.sum())
        return Point(
            rule=rule,
            threshold=float(threshold),
            precision=true / total if total else math.nan,
            recall=true / self.faces if self.faces else math.nan,
            per_image=(total - true) / self.images,
        )

    def at_false_positives(self, per_image: float, lowest: float, rule: str) -> Point:
        """Return the lowest threshold with at most so many false positives an image.

        Args:
            per_image: False positives an image.
            lowest: The least threshold that there is: detections below it were not made.
            rule: How it was chosen, in words.
        """
        allowed = math.floor(per_image * self.images + 1e-9)
        false = np.sort(self.scores[~self.true])[::-1]
        threshold = lowest if len(false) <= allowed else max(lowest, _above(false[allowed]))
        return self.at(threshold, rule)

    def at_best_f1(self, rule: str) -> Point:
        """Return the threshold of four decimals with the greatest F1; of equal ones the highest.

        Args:
            rule: How it was chosen, in words.
        """
        if not len(self.scores):
            return self.at(1.0, rule)
        # Rounded down, so that the detection itself is still shown.
        thresholds = np.floor(self.scores * _STEP)
        order = np.argsort(-thresholds, kind="stable")
        last = np.append(np.diff(thresholds[order]) != 0, True)
        true = np.cumsum(self.true[order])[last]
        f1 = 2 * true / (np.flatnonzero(last) + 1 + max(self.faces, 1))
        return self.at(float(thresholds[order][last][int(f1.argmax())]) / _STEP, rule)

    def found(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Return which faces are found at a threshold, ``(all annotated faces,)``.

        Args:
            threshold: The score threshold.
        """
        found = np.zeros(len(self.counted), dtype=bool)
        found[self.face[self.true & (self.scores >= threshold)]] = True
        return found

    def false(self, threshold: float) -> npt.NDArray[np.intp]:
        """Return each image's false positives at a threshold, ``(images,)``.

        Args:
            threshold: The score threshold.
        """
        wrong = ~self.true & (self.scores >= threshold)
        return np.bincount(self.image[wrong], minlength=self.images)


def _above(score: float) -> float:
    """Return the next threshold above a score."""
    return (math.floor(score * _STEP + 1e-9) + 1) / _STEP
