"""The predictions of many images as one table, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from facekit.errors import MetricsError

__all__ = ["Pool", "Prediction"]

_COORDINATES = 4


class Prediction(Protocol):
    """What is scored: :class:`facekit.Detections`, or anything else with these two arrays."""

    @property
    def boxes(self) -> npt.NDArray[Any]:
        """``(n, 4)`` xyxy, pixels."""
        ...

    @property
    def scores(self) -> npt.NDArray[Any]:
        """``(n,)``, higher is surer, in any order and of any scale."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """The predictions of all images, one after the other.

    Attributes:
        boxes: ``(n, 4)`` float64 xyxy, pixels.
        scores: ``(n,)`` float64.
        starts: ``(images + 1,)``: image ``i`` has the rows from ``starts[i]`` to ``starts[i + 1]``.
        notes: What was odd, a line each.
    """

    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    starts: npt.NDArray[np.intp]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, predictions: Sequence[Prediction], *, images: int) -> Self:
        """Join and check predictions.

        Args:
            predictions: One an image, in the order of the truth.
            images: The number of annotated images.

        Raises:
            MetricsError: If there are more or fewer predictions than images, shapes disagree, or
                a number is not finite.
        """
        if len(predictions) != images:
            message = f"{len(predictions)} predictions for {images} images: one an image is needed"
            raise MetricsError(message)
        boxes = [
            np.reshape(p.boxes, (-1, 4)) if np.size(p.boxes) == 0 else p.boxes for p in predictions
        ]
        _check_shapes(boxes, [one.scores for one in predictions])
        starts = np.cumsum([0, *map(len, boxes)], dtype=np.intp)
        table = np.concatenate([np.zeros((0, _COORDINATES)), *boxes], dtype=np.float64)
        scores = np.concatenate([np.zeros(0), *(p.scores for p in predictions)], dtype=np.float64)
        _check_finite(table, scores, starts)
        return cls(table, scores, starts, tuple(_notes(table, scores)))

    def __len__(self) -> int:
        """Return the number of predictions of all images."""
        return len(self.boxes)


def _check_shapes(boxes: Sequence[npt.NDArray[Any]], scores: Sequence[npt.NDArray[Any]]) -> None:
    """Refuse boxes that are no boxes, and scores that are not one a box."""
    for image, (some, values) in enumerate(zip(boxes, scores, strict=True)):
        if some.ndim != 2 or some.shape[1] != _COORDINATES:  # noqa: PLR2004 - rows and columns
            message = f"image {image}: boxes must have shape (n, 4), got {some.shape}"
            raise MetricsError(message)
        if values.shape != (len(some),):
            message = f"image {image}: {len(some)} boxes, but scores of shape {values.shape}"
            raise MetricsError(message)


def _check_finite(
    boxes: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], starts: npt.NDArray[np.intp]
) -> None:
    """Refuse NaN and infinities, naming the first."""
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    if finite.all():
        return
    row = int(np.argmin(finite))
    image = int(np.searchsorted(starts, row, side="right")) - 1
    message = (
        f"image {image}: prediction {row - int(starts[image])} is not of finite numbers: "
        f"box {boxes[row].tolist()}, score {scores[row]}"
    )
    raise MetricsError(message)


def _notes(boxes: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> list[str]:
    """Say what is odd, and by which rule it is scored all the same."""
    notes = []
    negative = int((boxes[:, 2:] < boxes[:, :2]).any(axis=1).sum())
    if negative:
        notes.append(
            f"{negative} predicted boxes have a negative side: they match nothing and count as "
            "false positives (are they x, y, width, height?)"
        )
    outside = int(((scores < 0) | (scores > 1)).sum())
    if outside:
        notes.append(
            f"{outside} scores lie outside [0, 1], from {scores.min():g} to {scores.max():g}: "
            "taken as they are"
        )
    if len(scores) > 1 and scores.min() == scores.max():
        notes.append(f"all {len(scores)} scores are {scores[0]:g}: the curve has one point")
    return notes
