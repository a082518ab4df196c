"""What a detector does at a threshold, and the thresholds that are suggested."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.datasets import FaceRecord, ImageRecord
from facekit.evaluation.operating import Outcomes
from facekit.types import Detections

Record = Callable[..., ImageRecord]
Found = Callable[..., Detections]

FACE = (0.0, 0.0, 50.0, 60.0)
OTHER = (60.0, 0.0, 80.0, 20.0)


@pytest.fixture
def outcomes(record: Record, found: Found) -> Outcomes:
    """Two images: at 0.9 a hit, 0.8 and 0.4 misses, 0.3 a second hit; a face is never found."""
    images = [record("a.jpg", FACE, OTHER), record("b.jpg", FACE)]
    answers = [
        found((*FACE, 0.9), (100, 50, 150, 90, 0.8), (*OTHER, 0.3)),
        found((120, 50, 150, 90, 0.4)),
    ]
    return Outcomes(images, answers)


def test_a_threshold(outcomes: Outcomes) -> None:
    point = outcomes.at(0.4, "mine")
    assert (point.rule, point.threshold) == ("mine", 0.4)
    assert point.precision == pytest.approx(1 / 3)
    assert point.recall == pytest.approx(1 / 3)
    assert point.per_image == 1.0
    assert point.f1 == pytest.approx(1 / 3)
    nothing = outcomes.at(0.95)
    assert math.isnan(nothing.precision)
    assert (nothing.recall, nothing.per_image, nothing.f1) == (0, 0, 0)


def test_thresholds_by_false_positives(outcomes: Outcomes) -> None:
    none = outcomes.at_false_positives(0, 0.02, "none")
    assert (none.threshold, none.per_image) == (0.8001, 0)
    one = outcomes.at_false_positives(0.5, 0.02, "one in two")
    assert (one.threshold, one.per_image) == (0.4001, 0.5)
    many = outcomes.at_false_positives(9, 0.02, "any")
    assert many.threshold == 0.02
    assert many.recall == pytest.approx(2 / 3)


def test_the_threshold_of_the_greatest_f1(outcomes: Outcomes) -> None:
    # F1 is 0.5 with one hit alone, and 4/7 with everything.
    best = outcomes.at_best_f1("best")
    assert best.threshold == 0.3
    assert best.f1 == pytest.approx(4 / 7)


def test_what_is_found_and_false(outcomes: Outcomes) -> None:
    assert outcomes.found(0.5).tolist() == [True, False, False]
    assert outcomes.false(0.3).tolist() == [1, 1]


def test_ignored_and_low_faces_count_neither_way(record: Record, found: Found) -> None:
    ignored = ImageRecord(name="a.jpg", faces=(FaceRecord(box=FACE, ignore=True),))
    low = record("b.jpg", OTHER)
    answers = [found((*FACE, 0.9)), found((*OTHER, 0.9))]
    both = Outcomes([ignored, low], answers, min_height=30)
    assert (both.faces, len(both.scores)) == (0, 0)
    assert math.isnan(both.at(0.5).recall)
    assert both.at_best_f1("none").threshold == 1


scores = st.lists(st.floats(0, 1, width=32), max_size=30)


@given(scores, scores, st.floats(0, 20))
def test_no_more_false_positives_than_asked(
    true: list[float], false: list[float], wanted: float
) -> None:
    faces = [(100.0 * i, 0.0, 100.0 * i + 50, 50.0) for i in range(len(true))]
    image = ImageRecord(name="a.jpg", faces=tuple(FaceRecord(box=box) for box in faces))
    boxes = [*faces, *((0.0, 500.0 + 100 * i, 50.0, 550.0 + 100 * i) for i in range(len(false)))]
    answer = Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array([*true, *false], np.float32),
        image_size=(1, 1),
    )
    outcomes = Outcomes([image], [answer])
    point = outcomes.at_false_positives(wanted, 0.0, "")
    assert point.per_image <= wanted
    lower = outcomes.at(point.threshold - 2e-4)
    assert point.threshold == 0 or lower.per_image > math.floor(wanted)
    best = outcomes.at_best_f1("")
    typed = [math.floor(score * 1e4) / 1e4 for score in [*true, *false]]
    assert all(best.f1 >= outcomes.at(score).f1 - 1e-9 for score in typed)
