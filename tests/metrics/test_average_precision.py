"""AP at one overlap and by face height: known answers, stated rules, invariances."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Detections
from facekit.errors import MetricsError
from facekit.metrics.average_precision import average_precision
from facekit.metrics.curve import area_under_envelope
from facekit.metrics.truth import Truth

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Found:
    """Predictions in double precision."""

    boxes: Floats
    scores: Floats


def found(*rows: tuple[float, ...]) -> Found:
    """Each row is x1, y1, x2, y2, score."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Found(table[:, :4], table[:, 4])


def truth(*boxes: tuple[float, ...], ignore: Any = ()) -> Truth:
    return Truth(np.array(boxes), np.array(ignore, bool))


TALL = (0.0, 0.0, 30.0, 40.0)
LOW = (100.0, 0.0, 130.0, 20.0)
FAR = (500.0, 500.0, 530.0, 540.0)


def test_every_face_found_and_nothing_else_is_one() -> None:
    curve = average_precision([truth(TALL, LOW)], [found((*TALL, 0.2), (*LOW, 0.9))])
    assert (curve.ap, curve.truths, curve.predictions, curve.images) == (1.0, 2, 2, 1)


def test_a_known_curve() -> None:
    truths = [truth(TALL, LOW), truth(FAR)]
    predictions = [found((*TALL, 0.9), (*TALL, 0.8), (*LOW, 0.3)), found((*TALL, 0.5))]
    curve = average_precision(truths, predictions)
    assert curve.precision.tolist() == [1, 1 / 2, 1 / 3, 2 / 4]
    assert curve.recall.tolist() == [1 / 3, 1 / 3, 1 / 3, 2 / 3]
    assert curve.scores.tolist() == [0.9, 0.8, 0.5, 0.3]
    assert curve.ap == pytest.approx(1 / 3 + (1 / 2) / 3, abs=1e-15)


@pytest.mark.parametrize(("least", "faces"), [(0, 2), (20, 2), (20.001, 1), (40, 1)])
def test_faces_under_the_least_height_count_neither_way(least: float, faces: int) -> None:
    predictions = [found((*LOW, 1.0), (*LOW, 0.9), (*TALL, 0.1))]
    curve = average_precision([truth(TALL, LOW)], predictions, min_height=least)
    assert curve.truths == faces
    assert curve.ap == (1.0 if faces == 1 else pytest.approx(1 / 2 + (2 / 3) / 2))


def test_no_face_of_that_height() -> None:
    curve = average_precision([truth(TALL)], [found((*TALL, 1.0))], min_height=41)
    assert np.isnan(curve.ap)
    assert curve.truths == 0


def test_a_low_prediction_on_nothing_is_false_at_every_height() -> None:
    predictions = [found((600, 0, 605, 5, 0.9), (*TALL, 0.5))]
    assert average_precision([truth(TALL)], predictions, min_height=40).ap == 0.5


def test_ignored_faces_count_neither_way() -> None:
    truths = [truth(TALL, LOW, ignore=[False, True])]
    curve = average_precision(truths, [found((*LOW, 0.9), (*TALL, 0.5))])
    assert (curve.ap, curve.truths, curve.predictions) == (1.0, 1, 1)


def test_a_prediction_in_an_image_without_faces_is_false() -> None:
    truths, predictions = [truth(TALL), truth()], [found((*TALL, 0.5)), found((*TALL, 0.9))]
    assert average_precision(truths, predictions).ap == 0.5


def test_equal_scores_enter_together() -> None:
    rows = [(*TALL, 0.5), (*FAR, 0.5)]
    for order in (rows, rows[::-1]):
        curve = average_precision([truth(TALL)], [found(*order)])
        assert (curve.ap, len(curve.recall)) == (0.5, 1)
        assert curve.notes == ("all 2 scores are 0.5: the curve has one point",)


@pytest.mark.parametrize(("iou", "expected"), [(0.5, 1.0), (0.51, 0.0)])
def test_overlap_is_continuous(iou: float, expected: float) -> None:
    # 20 of 40 square pixels; counted inclusively it would be 33 of 55.
    predictions = [found((0, 0, 10, 2, 1.0))]
    assert average_precision([truth((0, 0, 10, 4))], predictions, iou=iou).ap == expected


def test_nothing_predicted() -> None:
    curve = average_precision([truth(TALL)], [found()])
    assert (curve.ap, len(curve.recall), curve.notes) == (0.0, 0, ())


def test_no_image() -> None:
    assert np.isnan(average_precision([], []).ap)


def test_detections_are_predictions() -> None:
    boxes, scores = np.array([TALL], np.float32), np.array([0.5], np.float32)
    detections = Detections(boxes=boxes, scores=scores, image_size=(99, 99))
    assert average_precision([truth(TALL)], [detections]).ap == 1.0


def test_a_truths_flags_are_optional_and_its_arrays_are_its_own() -> None:
    boxes = np.array([TALL])
    one = Truth(boxes)
    boxes[:] = 0
    assert one.boxes.tolist() == [list(TALL)]
    assert one.counted.tolist() == [True]
    assert not one.boxes.flags.writeable


BAD = {
    "a truth with corners swapped": (
        lambda: truth((30, 0, 0, 40)),
        r"truth: box 0 has a negative side: \[30.0, 0.0, 0.0, 40.0\]; x1, y1, x2, y2",
    ),
    "too many flags": (lambda: truth(TALL, ignore=[True, False]), "one flag a box, 1, got"),
    "an overlap above 1": (
        lambda: average_precision([truth()], [found()], iou=50),
        r"iou must lie in \(0, 1\], got 50",
    ),
    "more predictions than images": (
        lambda: average_precision([truth()], [found(), found()]),
        "2 predictions for 1 images",
    ),
    "a prediction of NaN": (
        lambda: average_precision([truth()], [found((0, 0, 1, 1, np.nan))]),
        "image 0: prediction 0 is not of finite numbers",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        call()


def test_area_by_hand_and_over_0_by_0() -> None:
    assert area_under_envelope([np.nan, 0.5, 0.8], [0, 0.25, 0.5]) == pytest.approx(0.4)
    assert area_under_envelope([], []) == 0.0
    for precision, recall in (([1, 1], [0.5, 0.4]), ([1], [0.5, 0.6]), ([1, 1], [0, np.nan])):
        with pytest.raises(MetricsError):
            area_under_envelope(precision, recall)


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[Truth], list[Found]]:
    place = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2)
    truths, predictions = [], []
    for _ in range(draw(st.integers(1, 4))):
        faces = np.array(draw(st.lists(place, max_size=5)), np.float64).reshape(-1, 4)
        faces[:, 2:] += faces[:, :2]
        flags = draw(st.lists(st.booleans(), min_size=len(faces), max_size=len(faces)))
        truths.append(Truth(faces, np.array(flags, bool)))
        rows = draw(st.lists(st.tuples(place, st.integers(0, 6)), max_size=8))
        predictions.append(
            found(*((x, y, x + w, y + h, score / 6) for (x, y, w, h), score in rows))
        )
    return truths, predictions


Sets = tuple[list[Truth], list[Found]]


def same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))


def naive(truths: list[Truth], predictions: list[Found], least: float) -> float:
    """Pascal VOC's steps, one prediction at a time."""
    outcomes: list[tuple[float, bool]] = []
    total = 0
    for one, other in zip(truths, predictions, strict=True):
        tall = [box[3] - box[1] >= least for box in one.boxes.tolist()]
        counted = [high and not skip for high, skip in zip(tall, one.ignore.tolist(), strict=True)]
        total += sum(counted)
        taken: set[int] = set()
        for row in np.argsort(-other.scores, kind="stable"):
            score, box = float(other.scores[row]), other.boxes[row].tolist()
            overlaps = [overlap(box, face) for face in one.boxes.tolist()]
            best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
            if best is None or overlaps[best] < 0.5:
                outcomes.append((score, False))
            elif counted[best]:
                outcomes.append((score, best not in taken))
                taken.add(best)
    points = []
    for threshold in sorted({score for score, _ in outcomes}, reverse=True):
        kept = [hit for score, hit in outcomes if score >= threshold]
        points.append((sum(kept) / max(total, 1), sum(kept) / len(kept)))
    area, before = 0.0, 0.0
    for number, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[number:])
        before = recall
    return area if total else float("nan")


def overlap(one: list[float], two: list[float]) -> float:
    width = max(min(one[2], two[2]) - max(one[0], two[0]), 0)
    height = max(min(one[3], two[3]) - max(one[1], two[1]), 0)
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return width * height / (sum(sizes) - width * height)


@settings(max_examples=150, deadline=None)
@given(sets(), st.sampled_from([0, 3, 5]))
def test_the_same_as_one_prediction_at_a_time(case: Sets, least: float) -> None:
    curve = average_precision(*case, min_height=least)
    assert curve.ap == pytest.approx(naive(*case, least), abs=1e-12, nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(sets(), st.randoms(use_true_random=False))
def test_order_of_images_and_predictions_does_not_matter(case: Sets, random: Any) -> None:
    truths, predictions = case
    images = list(range(len(truths)))
    random.shuffle(images)
    shuffled = []
    for image in images:
        rows = list(range(len(predictions[image].scores)))
        random.shuffle(rows)
        shuffled.append(Found(predictions[image].boxes[rows], predictions[image].scores[rows]))
    again = average_precision([truths[i] for i in images], shuffled)
    assert same(again.ap, average_precision(truths, predictions).ap)


@settings(max_examples=80, deadline=None)
@given(sets())
def test_a_monotone_map_of_scores_changes_nothing(case: Sets) -> None:
    truths, predictions = case
    mapped = [Found(one.boxes, np.exp(3 * one.scores) - 9) for one in predictions]
    assert same(average_precision(truths, mapped).ap, average_precision(truths, predictions).ap)


@settings(max_examples=80, deadline=None)
@given(sets())
def test_an_empty_image_changes_nothing(case: Sets) -> None:
    truths, predictions = case
    again = average_precision([*truths, truth()], [*predictions, found()])
    assert same(again.ap, average_precision(truths, predictions).ap)


@settings(max_examples=80, deadline=None)
@given(sets())
def test_one_more_false_prediction_below_all_others_changes_nothing(case: Sets) -> None:
    truths, predictions = case
    far = found((900, 900, 910, 910, -1.0))
    again = average_precision([*truths, truth()], [*predictions, far])
    assert same(again.ap, average_precision(truths, predictions).ap)


@settings(max_examples=80, deadline=None)
@given(sets())
def test_the_area_under_a_staircase_of_all_thresholds(case: Sets) -> None:
    """Each threshold evaluated on its own gives a point of the curve."""
    truths, predictions = case
    curve = average_precision(truths, predictions)
    for number, threshold in enumerate(curve.scores):
        kept = [
            Found(p.boxes[p.scores >= threshold], p.scores[p.scores >= threshold])
            for p in predictions
        ]
        cut = average_precision(truths, kept)
        assert cut.recall[-1] == curve.recall[number]
        assert cut.precision[-1] == curve.precision[number]
