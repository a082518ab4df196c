"""WIDER FACE's protocol: hand-made sets of known AP, its official code's rules, invariances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Detections
from facekit.errors import FacekitError, MetricsError
from facekit.metrics.wider_face import WiderTruth, wider_face

Require = Callable[[str], Any]
Floats = npt.NDArray[np.float64]
SETTINGS = ("easy", "medium", "hard")


@dataclasses.dataclass(frozen=True)
class Found:
    """Predictions in double precision, as a text file gives them."""

    boxes: Floats
    scores: Floats


def truth(*boxes: tuple[float, ...], counted: Any = None) -> WiderTruth:
    flags = np.ones(len(boxes), bool) if counted is None else np.array(counted, bool)
    return WiderTruth(np.array(boxes), dict.fromkeys(SETTINGS, flags))


def found(*rows: tuple[float, ...]) -> Found:
    """Each row is x, y, width, height, score."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    xyxy = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    return Found(xyxy, table[:, 4])


def ap(truths: list[WiderTruth], predictions: list[Any], setting: str = "hard") -> float:
    return wider_face(truths, predictions)[setting].ap


FACE = (10.0, 10.0, 20.0, 20.0)
OTHER = (100.0, 10.0, 20.0, 20.0)
FAR = (300.0, 300.0, 20.0, 20.0)


def test_every_face_found_and_nothing_else_is_one() -> None:
    truths = [truth(FACE, OTHER), truth(FAR)]
    predictions = [found((*FACE, 0.9), (*OTHER, 0.4)), found((*FAR, 0.1))]
    assert ap(truths, predictions) == 1.0


def test_a_known_curve() -> None:
    # True, false, true of four faces: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 2/4.
    truths = [truth(FACE, OTHER, FAR), truth(FACE)]
    predictions = [found((*FACE, 1.0), (500, 500, 9, 9, 0.5), (*OTHER, 0.0)), found()]
    curve = wider_face(truths, predictions)["hard"]
    assert curve.ap == pytest.approx(1 / 4 + (2 / 3) / 4, abs=1e-15)
    assert (curve.truths, curve.images, curve.predictions) == (4, 2, 3)
    # 1 enters at 0.999, 0.5 at 0.5, 0 at the last threshold: 1,000 points in all.
    assert len(curve.recall) == 1000
    assert curve.precision[[0, 498, 499, 998, 999]].tolist() == [1, 1, 0.5, 0.5, 2 / 3]
    assert curve.recall[[0, 998, 999]].tolist() == [0.25, 0.25, 0.5]


def test_a_second_prediction_of_a_face_is_false() -> None:
    predictions = [found((*FACE, 1.0), (*FACE, 0.5), (*OTHER, 0.0))]
    assert ap([truth(FACE, OTHER)], predictions) == pytest.approx(1 / 2 + (2 / 3) / 2)


def test_predictions_need_no_order() -> None:
    rows = [(*FACE, 1.0), (500, 500, 9, 9, 0.5), (*OTHER, 0.0)]
    expected = ap([truth(FACE, OTHER)], [found(*rows)])
    assert ap([truth(FACE, OTHER)], [found(*rows[::-1])]) == expected


def test_a_face_that_does_not_count_takes_its_predictions_with_it() -> None:
    truths = [truth(FACE, OTHER, counted=[True, False])]
    rows = [(*OTHER, 1.0), (*OTHER, 0.9), (*FACE, 0.0)]
    curve = wider_face(truths, [found(*rows)])["hard"]
    assert curve.ap == 1.0
    assert curve.predictions == 1
    assert len(curve.recall) == 1, "nothing is predicted at the 999 thresholds before"


def test_the_nearest_face_decides_even_if_it_does_not_count() -> None:
    near, shifted = FACE, (10.0, 13.0, 20.0, 20.0)  # overlap 21 * 18 / (2 * 441 - 378) = 0.75
    truths = [truth(near, shifted, counted=[False, True])]
    curve = wider_face(truths, [found((*near, 1.0), (500, 500, 9, 9, 0.0))])["hard"]
    assert curve.ap == 0.0
    assert curve.predictions == 1, "the face that counts is not given what lies nearer another"


@pytest.mark.parametrize(("height", "expected"), [(3.0, 1.0), (2.9, 0.0)])
def test_overlap_counts_pixels_inclusively(height: float, expected: float) -> None:
    # 8 x 8 pixels counted inclusively against 8 x 4: exactly 0.5; without + 1 it is 21 / 49.
    assert ap([truth((0, 0, 7, 7))], [found((0, 0, 7, height, 1.0))]) == expected


def test_each_setting_has_its_own_faces() -> None:
    counted = {"easy": np.array([True, False]), "hard": np.array([True, True])}
    curves = wider_face([WiderTruth(np.array([FACE, OTHER]), counted)], [found((*FACE, 1.0))])
    assert list(curves) == ["easy", "hard"]
    assert (curves["easy"].ap, curves["hard"].ap) == (1.0, 0.5)
    assert (curves["easy"].truths, curves["hard"].truths) == (1, 2)


def test_predictions_in_an_image_without_faces_are_passed_over() -> None:
    truths = [truth(FACE), WiderTruth(np.zeros((0, 4)), dict.fromkeys(SETTINGS, np.zeros(0, bool)))]
    curve = wider_face(truths, [found((*FACE, 0.5)), found((*FAR, 1.0))])["hard"]
    assert (curve.ap, curve.predictions) == (1.0, 1)


def test_an_image_whose_faces_do_not_count_still_has_false_predictions() -> None:
    truths = [truth(FACE), truth(FACE, counted=[False])]
    assert ap(truths, [found((*FACE, 0.5)), found((*FAR, 1.0))]) == 0.5


def test_scores_are_normalised_in_single_precision() -> None:
    # 0.3 as a double is below the threshold 1 - 700 / 1000 = 0.30000000000000004; as a single it
    # is above, so that the official code lets it in one step earlier.
    rows = [(*FACE, 1.0), (*OTHER, 0.3), (500, 500, 9, 9, 0.0)]
    curve = wider_face([truth(FACE, OTHER)], [found(*rows)])["hard"]
    assert curve.recall[[698, 699]].tolist() == [0.5, 1.0]
    assert 0.3 < 1 - 700 / 1000


def test_equal_scores_enter_together() -> None:
    curve = wider_face([truth(FACE, OTHER)], [found((*FACE, 0.7), (*FAR, 0.7))])["hard"]
    assert curve.ap == 0.25
    assert curve.notes == ("all 2 scores are 0.7: the curve has one point",)


def test_no_prediction_at_all() -> None:
    curve = wider_face([truth(FACE)], [found()])["hard"]
    assert (curve.ap, curve.truths, curve.predictions, len(curve.recall)) == (0.0, 1, 0, 0)


def test_no_face_to_find() -> None:
    curve = wider_face([truth(FACE, counted=[False])], [found((*FACE, 1.0))])["hard"]
    assert np.isnan(curve.ap)
    assert curve.notes == ("there is no face to find: average precision is not defined",)


def test_thresholds_are_in_the_detectors_own_scale() -> None:
    curve = wider_face([truth(FACE, OTHER)], [found((*FACE, 40.0), (*OTHER, 20.0))])["hard"]
    assert curve.scores[[0, -1]].tolist() == pytest.approx([39.98, 20.0])
    assert "2 scores lie outside [0, 1], from 20 to 40" in curve.notes[0]


def test_negative_scores_are_normalised_as_the_official_code_does() -> None:
    # Its maximum starts from realmin, so -1 becomes (-1 + 5) / (0 + 5) = 0.8, not 1.
    curve = wider_face([truth(FACE, OTHER)], [found((*FACE, -1.0), (*OTHER, -5.0))])["hard"]
    assert len(curve.recall) == 801
    assert curve.ap == 1.0


def test_a_negative_side_is_a_false_positive_and_said() -> None:
    curve = wider_face([truth(FACE)], [found((30, 30, -20, -20, 1.0), (*FACE, 0.0))])["hard"]
    assert curve.ap == 0.5
    assert curve.notes[0].startswith("1 predicted boxes have a negative side")


def test_a_truth_without_area_is_never_found_by_a_face() -> None:
    # WIDER FACE's .mat has nine boxes of no or negative size; they count nowhere, but are matched.
    curve = wider_face([truth(FACE, (10, 10, 0, 0), (40, 40, -3, 5))], [found((*FACE, 1.0))])[
        "hard"
    ]
    assert curve.ap == pytest.approx(1 / 3)


Break = Callable[[], object]
BAD: dict[str, tuple[Break, str]] = {
    "no image": (lambda: wider_face([], []), "no image to evaluate"),
    "too few predictions": (
        lambda: wider_face([truth(FACE)], []),
        "0 predictions for 1 images: one an image is needed",
    ),
    "a box of NaN": (
        lambda: wider_face([truth(FACE)] * 2, [found(), found((*FACE, 1), (np.nan, 0, 1, 1, 0))]),
        r"image 1: prediction 1 is not of finite numbers: box \[nan, 0.0, nan, 1.0\], score 0.0",
    ),
    "an infinite score": (
        lambda: wider_face([truth(FACE)], [found((*FACE, np.inf))]),
        "image 0: prediction 0 is not of finite numbers",
    ),
    "another number of scores": (
        lambda: wider_face([truth(FACE)], [Found(np.zeros((2, 4)), np.zeros(3))]),
        r"image 0: 2 boxes, but scores of shape \(3,\)",
    ),
    "no boxes": (
        lambda: wider_face([truth(FACE)], [Found(np.zeros((2, 5)), np.zeros(2))]),
        r"image 0: boxes must have shape \(n, 4\), got \(2, 5\)",
    ),
    "a truth of NaN": (lambda: truth((0, 0, np.nan, 1)), "truth: box 0 is not of finite numbers"),
    "a truth of five numbers": (lambda: truth((0, 0, 1, 1, 1)), "boxes must have shape"),
    "too few flags": (
        lambda: truth(FACE, OTHER, counted=[True]),
        r"truth's easy: must be one flag a box, 2, got shape \(1,\)",
    ),
    "indices for flags": (
        lambda: WiderTruth(np.array([FACE]), {"easy": np.array([1])}),
        "truth's easy: must be true or false, got int64",
    ),
    "other settings": (
        lambda: wider_face(
            [truth(FACE), WiderTruth(np.array([FACE]), {"easy": np.array([True])})],
            [found(), found()],
        ),
        "image 1 has the settings easy, but the first has easy, medium, hard",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Break, message: str) -> None:
    with pytest.raises(MetricsError, match=message) as caught:
        call()
    assert isinstance(caught.value, FacekitError)
    assert isinstance(caught.value, ValueError)


def test_detections_are_predictions() -> None:
    x, y, width, height = FACE
    detections = Detections(
        boxes=np.array([[x, y, x + width, y + height]], np.float32),
        scores=np.array([0.5], np.float32),
        image_size=(400, 400),
    )
    assert ap([truth(FACE)], [detections]) == 1.0


def test_settings_by_height() -> None:
    heights = [10, 10.5, 30, 30.1, 50, 50.01, 900]
    boxes = [(0, 0, 5, height) for height in heights]
    truth = WiderTruth.by_height(boxes, ignore=np.array([False] * 6 + [True]))
    assert {name: np.array(heights)[flags].tolist() for name, flags in truth.counted.items()} == {
        "easy": [50.01],
        "medium": [30.1, 50, 50.01],
        "hard": [10.5, 30, 30.1, 50, 50.01],
    }
    assert WiderTruth.by_height([]).counted["easy"].shape == (0,)


@pytest.mark.data
def test_the_official_settings_are_the_faces_of_a_height(data_root: Path, require: Require) -> None:
    """In all 3,226 images, face for face: the settings need nothing but the official boxes."""
    loadmat = require("scipy.io").loadmat
    folder = data_root / "wider" / "ground_truth"
    events = loadmat(folder / "wider_face_val.mat")["face_bbx_list"][:, 0]
    boxes = [np.float64(cell[0]) for event in events for cell in event]
    truths = [WiderTruth.by_height(rows) for rows in boxes]
    assert (len(truths), sum(map(len, truths))) == (3226, 39708)
    for setting, total in zip(SETTINGS, (7211, 13319, 31958), strict=True):
        lists = loadmat(folder / f"wider_{setting}_val.mat")["gt_list"][:, 0]
        official = [cell[0].ravel().astype(int) - 1 for event in lists for cell in event]
        assert sum(map(len, official)) == total
        for truth, numbers in zip(truths, official, strict=True):
            assert np.flatnonzero(truth.counted[setting]).tolist() == sorted(numbers)


# --- against the protocol, written out one prediction at a time


def naive(truths: list[WiderTruth], predictions: list[Found], setting: str) -> float:
    """The official steps as they are described, with Python's own numbers."""
    scores = [float(np.float32(s)) for one in predictions for s in one.scores]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    proposed, found_at, total = [0] * 1000, [0] * 1000, 0
    for one, other in zip(truths, predictions, strict=True):
        counted = one.counted[setting]
        total += int(counted.sum())
        taken: set[int] = set()
        for row in np.argsort(-other.scores, kind="stable"):
            face, overlap = nearest(other.boxes[row].tolist(), one.boxes.tolist())
            if face is None:
                continue
            enters = entry(float(other.scores[row]), low, high)
            if overlap >= 0.5 and not counted[face]:
                continue
            proposed[enters] += 1
            if overlap >= 0.5 and face not in taken:
                taken.add(face)
                found_at[enters] += 1
    area, best, recalls = 0.0, 0.0, np.cumsum(found_at) / max(total, 1)
    precisions = np.cumsum(found_at) / np.maximum(np.cumsum(proposed), 1)
    for step in range(999, -1, -1):
        best = max(best, precisions[step])
        area += best * (recalls[step] - (recalls[step - 1] if step else 0.0))
    return area if total else float("nan")


def entry(score: float, low: float, high: float) -> int:
    if low == high:
        return 0
    single = np.float32(np.float32(score) - np.float32(low)) / np.float32(high - low)
    return next(t for t in range(1000) if float(single) >= 1 - (t + 1) / 1000)


def nearest(box: list[float], faces: list[list[float]]) -> tuple[int | None, float]:
    best: tuple[int | None, float] = (None, -1.0)
    for number, (x, y, width, height) in enumerate(faces):
        across = min(box[2], x + width) - max(box[0], x) + 1
        down = min(box[3], y + height) - max(box[1], y) + 1
        shared = max(across, 0) * max(down, 0)
        own = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
        overlap = shared / (own + (width + 1) * (height + 1) - shared)
        if overlap > best[1]:
            best = (number, overlap)
    return best


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[WiderTruth], list[Found]]:
    """A few images; predictions on a small grid, so that they overlap faces and tie."""
    place = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2)
    truths, predictions = [], []
    for _ in range(draw(st.integers(1, 4))):
        faces = draw(st.lists(place, max_size=5))
        flags = st.lists(st.booleans(), min_size=len(faces), max_size=len(faces))
        counted = {setting: np.array(draw(flags), bool) for setting in SETTINGS}
        truths.append(WiderTruth(np.array(faces, np.float64), counted))
        rows = draw(st.lists(st.tuples(place, st.integers(0, 8)), max_size=8))
        predictions.append(found(*((*map(float, box), score / 8) for box, score in rows)))
    return truths, predictions


Sets = tuple[list[WiderTruth], list[Found]]


@settings(max_examples=150, deadline=None)
@given(sets())
def test_the_same_as_one_prediction_at_a_time(case: Sets) -> None:
    curves = wider_face(*case)
    for setting in SETTINGS:
        expected = naive(*case, setting)
        assert curves[setting].ap == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(sets(), st.randoms(use_true_random=False))
def test_order_of_images_and_predictions_does_not_matter(case: Sets, random: Any) -> None:
    truths, predictions = case
    images = list(range(len(truths)))
    random.shuffle(images)
    shuffled = []
    for image in images:
        rows = list(range(len(predictions[image].scores)))
        random.shuffle(rows)
        one = predictions[image]
        shuffled.append(Found(one.boxes[rows].reshape(-1, 4), one.scores[rows]))
    again = wider_face([truths[i] for i in images], shuffled)
    for setting, curve in wider_face(truths, predictions).items():
        np.testing.assert_equal(again[setting].ap, curve.ap)
        np.testing.assert_equal(again[setting].precision, curve.precision)


@settings(max_examples=60, deadline=None)
@given(sets(), st.sampled_from([0.5, 2.0, 64.0]))
def test_a_stretched_score_scale_changes_nothing(case: Sets, factor: float) -> None:
    truths, predictions = case
    stretched = [Found(one.boxes, one.scores * factor) for one in predictions]
    again = wider_face(truths, stretched)
    for setting, curve in wider_face(truths, predictions).items():
        np.testing.assert_equal(again[setting].ap, curve.ap)


@settings(max_examples=60, deadline=None)
@given(sets())
def test_an_image_where_nothing_is_or_was_found_changes_nothing(case: Sets) -> None:
    truths, predictions = case
    empty = WiderTruth(np.zeros((0, 4)), dict.fromkeys(SETTINGS, np.zeros(0, bool)))
    again = wider_face([*truths, empty], [*predictions, found()])
    for setting, curve in wider_face(truths, predictions).items():
        np.testing.assert_equal(again[setting].ap, curve.ap)
