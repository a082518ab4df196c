"""How often a classifier names the right class."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from facekit.errors import MetricsError

__all__ = [
    "ClassificationScores",
    "accuracy",
    "balanced_accuracy",
    "classification_scores",
    "confusion_matrix",
]

Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ClassificationScores:
    """How good classifications are.

    Attributes:
        accuracy: Share of faces whose class is right.
        balanced_accuracy: Mean of the recalls of the classes that occur.
        confusion: ``(classes, classes)`` int64: rows are true, columns predicted classes.
        precision: ``(classes,)`` float64; NaN for a class that was never predicted.
        recall: ``(classes,)`` float64; NaN for a class that does not occur.
        faces: The number of faces.
    """

    accuracy: float
    balanced_accuracy: float
    confusion: Counts
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    faces: int


def confusion_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike, *, classes: int) -> Counts:
    """Count each pair of true and predicted class.

    Args:
        truth: ``(n,)`` integers, 0 to ``classes - 1``.
        predicted: ``(n,)``, the same.
        classes: The number of classes.

    Returns:
        ``(classes, classes)`` int64: rows are true, columns predicted classes.

    Raises:
        MetricsError: If the lengths differ, or a class is no integer of that range.
    """
    if classes < 1:
        message = f"there must be at least one class, got {classes}"
        raise MetricsError(message)
    true, given = _ids(truth, classes, "truth"), _ids(predicted, classes, "predicted")
    if len(true) != len(given):
        message = f"{len(given)} predicted classes for {len(true)} faces"
        raise MetricsError(message)
    pairs = np.bincount(true * classes + given, minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.int64)


def _ids(value: npt.ArrayLike, classes: int, owner: str) -> Counts:
    """Return ``(n,)`` int64."""
    ids = np.asarray(value)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        message = f"{owner}: one integer a face is needed, got {ids.dtype} of shape {ids.shape}"
        raise MetricsError(message)
    wrong = (ids < 0) | (ids >= classes)
    if wrong.any():
        message = f"{owner}: class {ids[wrong][0]} is none of {classes} classes, from 0"
        raise MetricsError(message)
    return ids.astype(np.int64)


def accuracy(confusion: npt.ArrayLike) -> float:
    """Return the share of faces whose class is right; NaN of no face.

    Args:
        confusion: ``(classes, classes)`` of :func:`confusion_matrix`.
    """
    counts = np.asarray(confusion)
    total = int(counts.sum())
    return float(np.trace(counts) / total) if total else float("nan")


def balanced_accuracy(confusion: npt.ArrayLike) -> float:
    """Return the mean recall of the classes that occur; NaN of no face.

    Args:
        confusion: ``(classes, classes)`` of :func:`confusion_matrix`.
    """
    recalls = _shares(np.asarray(confusion), axis=1)
    known = recalls[~np.isnan(recalls)]
    return float(known.mean()) if known.size else float("nan")


def classification_scores(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, *, classes: int
) -> ClassificationScores:
    """Return what is reported of classifications; see :func:`confusion_matrix`."""
    confusion = confusion_matrix(truth, predicted, classes=classes)
    return ClassificationScores(
        accuracy=accuracy(confusion),
        balanced_accuracy=balanced_accuracy(confusion),
        confusion=confusion,
        precision=_shares(confusion, axis=0),
        recall=_shares(confusion, axis=1),
        faces=int(confusion.sum()),
    )


def _shares(confusion: Counts, *, axis: int) -> npt.NDArray[np.float64]:
    """Return the diagonal over the sums of rows (1) or columns (0); NaN for an empty one."""
    totals = confusion.sum(axis=axis)
    shares = np.full(len(totals), np.nan)
    np.divide(np.diagonal(confusion), totals, out=shares, where=totals > 0)
    return shares
