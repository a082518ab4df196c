"""How good a classifier is, in numbers and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facekit.images import RgbImage
from facekit.metrics.classification import accuracy, balanced_accuracy, confusion_matrix
from facekit.training.classify.pictures import confusion_picture, mistakes_picture, stacked

__all__ = ["Scores", "scored", "several_scored"]

Floats = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """How good classifications are.

    Attributes:
        accuracy: Share of faces about which everything is right.
        balanced_accuracy: Mean of the labels' recalls; with several labels a face, mean over the
            labels of how well each is told from its absence.
        loss: The loss.
        confusions: ``(n, n)`` counts of true and predicted labels; with several labels a face
            one ``(2, 2)`` a label, absent first.
        wrong: Places of the faces about which something is wrong, the surest mistakes first.
        answers: Of each wrong face what it was taken for, as places of labels.
    """

    accuracy: float
    balanced_accuracy: float
    loss: float
    confusions: tuple[Counts, ...]
    wrong: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    def numbers(self) -> dict[str, float]:
        """Return what is logged."""
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "loss": self.loss,
        }

    def picture(
        self, labels: Sequence[str], crops: Sequence[RgbImage], truths: Sequence[str]
    ) -> RgbImage:
        """Draw the confusion matrices and the mistakes.

        Args:
            labels: The labels.
            crops: Of the first wrong faces, ``(size, size, 3)`` uint8 RGB.
            truths: What each of them is.

        Returns:
            ``(H, W, 3)`` uint8 RGB.
        """
        if len(self.confusions) == 1 and len(self.confusions[0]) == len(labels):
            pictures = [confusion_picture(self.confusions[0], labels)]
        else:
            pictures = [
                confusion_picture(counts, (f"not {label}", label))
                for counts, label in zip(self.confusions, labels, strict=True)
            ]
        captions = [
            f"{truth or 'none'}, not {' '.join(labels[place] for place in answer) or 'none'}"
            for truth, answer in zip(truths, self.answers, strict=False)
        ]
        mistakes = mistakes_picture(crops, captions)
        return stacked([*pictures, *([] if mistakes is None else [mistakes])])


def scored(logits: Floats, truth: npt.NDArray[np.int64], loss: float) -> Scores:
    """Score faces of one label each.

    Args:
        logits: ``(n, labels)``.
        truth: ``(n,)`` places of labels.
        loss: The loss.
    """
    predicted = logits.argmax(axis=1)
    confusion = confusion_matrix(truth, predicted, classes=logits.shape[1])
    rows = np.arange(len(truth))
    margin = logits[rows, predicted] - logits[rows, truth]
    wrong = _surest(predicted != truth, margin)
    return Scores(
        accuracy=accuracy(confusion),
        balanced_accuracy=balanced_accuracy(confusion),
        loss=loss,
        confusions=(confusion,),
        wrong=wrong,
        answers=tuple((int(predicted[place]),) for place in wrong),
    )


def several_scored(logits: Floats, truth: npt.NDArray[np.bool_], loss: float) -> Scores:
    """Score faces that may have several labels or none.

    Args:
        logits: ``(n, labels)``.
        truth: ``(n, labels)`` whether a face has a label.
        loss: The loss.
    """
    predicted = logits > 0
    confusions = tuple(
        confusion_matrix(true.astype(int), given.astype(int), classes=2)
        for true, given in zip(truth.T, predicted.T, strict=True)
    )
    mistaken = predicted != truth
    wrong = _surest(mistaken.any(axis=1), np.where(mistaken, np.abs(logits), 0).max(axis=1))
    return Scores(
        accuracy=float((~mistaken).all(axis=1).mean()),
        balanced_accuracy=float(np.mean([balanced_accuracy(one) for one in confusions])),
        loss=loss,
        confusions=confusions,
        wrong=wrong,
        answers=tuple(tuple(np.flatnonzero(predicted[place]).tolist()) for place in wrong),
    )


def _surest(wrong: npt.NDArray[np.bool_], margin: Floats) -> tuple[int, ...]:
    """Return the places of mistakes, those of the greatest margin first."""
    places = np.flatnonzero(wrong)
    return tuple(places[np.argsort(-margin[places], kind="stable")].tolist())
