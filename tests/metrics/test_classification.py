"""Accuracy, balanced accuracy and the confusion matrix, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facekit.errors import MetricsError
from facekit.metrics.classification import (
    accuracy,
    balanced_accuracy,
    classification_scores,
    confusion_matrix,
)

TRUTH = [0, 0, 0, 1, 1, 2]
GIVEN = [0, 0, 1, 1, 0, 0]


def test_by_hand() -> None:
    scores = classification_scores(TRUTH, GIVEN, classes=4)
    assert scores.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert scores.accuracy == 0.5
    assert scores.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    np.testing.assert_equal(scores.recall, [2 / 3, 1 / 2, 0, np.nan])
    np.testing.assert_equal(scores.precision, [2 / 4, 1 / 2, np.nan, np.nan])
    assert scores.faces == 6


def test_all_right_is_one_whatever_the_balance() -> None:
    matrix = confusion_matrix([0] * 9 + [1], [0] * 9 + [1], classes=2)
    assert (accuracy(matrix), balanced_accuracy(matrix)) == (1, 1)


def test_the_larger_class_alone_is_chance() -> None:
    matrix = confusion_matrix([0] * 9 + [1], [0] * 10, classes=2)
    assert (accuracy(matrix), balanced_accuracy(matrix)) == (0.9, 0.5)


def test_no_face() -> None:
    matrix = confusion_matrix([], [], classes=2)
    assert matrix.tolist() == [[0, 0], [0, 0]]
    assert np.isnan([accuracy(matrix), balanced_accuracy(matrix)]).all()


BAD: dict[str, tuple[Any, str]] = {
    "other lengths": (lambda: confusion_matrix([0], [0, 1], classes=2), "2 predicted classes for"),
    "an unknown class": (
        lambda: confusion_matrix([0, 2], [0, 1], classes=2),
        "truth: class 2 is none of 2 classes, from 0",
    ),
    "a negative class": (lambda: confusion_matrix([0], [-1], classes=2), "predicted: class -1"),
    "names": (lambda: confusion_matrix(["a"], [0], classes=2), "truth: one integer a face"),
    "scores": (lambda: confusion_matrix([0], [[0.5, 0.5]], classes=2), "predicted: one integer"),
    "no classes": (lambda: confusion_matrix([], [], classes=0), "at least one class, got 0"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        call()
