"""Landmark errors: by hand, against integration on a fine grid, and stated rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit.errors import MetricsError
from facekit.metrics.landmarks import (
    REGIONS,
    landmark_scores,
    nme,
    normalising_lengths,
    point_errors,
)

Floats = npt.NDArray[np.float64]


MOVED = np.array([3.0, 4.0])


def face() -> Floats:
    """68 points: all at (50, 80), the eyes 40 px apart at their outer corners."""
    points = np.full((68, 2), (50.0, 80.0))
    points[36:42] = (34.0, 40.0)
    points[42:48] = (66.0, 40.0)
    points[36], points[45] = (30.0, 40.0), (70.0, 40.0)
    return points


def test_regions_are_the_68_points_once_each() -> None:
    numbers = [number for part in REGIONS.values() for number in range(68)[part]]
    assert numbers == list(range(68))
    assert {name: len(range(68)[part]) for name, part in REGIONS.items()} == {
        "jaw": 17,
        "brows": 10,
        "nose": 9,
        "eyes": 12,
        "mouth": 20,
    }


def test_by_hand() -> None:
    truth = face()[None]
    # 3 px right and 4 px down is 5 px; the outer corners are 40 px apart.
    assert nme(truth + MOVED, truth) == pytest.approx(0.125)
    # The pupils: means of six points, 30 + 5 x 34 over 6 and the mirror image.
    assert nme(truth + MOVED, truth, normalise="interpupil") == pytest.approx(5 / (100 / 3))
    # The box around the points is 40 x 40 px.
    assert nme(truth + MOVED, truth, normalise="box_diagonal") == pytest.approx(5 / 3200**0.5)
    box = [[0, 0, 30, 40]]
    assert nme(truth + MOVED, truth, normalise="box_diagonal", boxes=box) == pytest.approx(0.1)


def test_a_point_of_a_face() -> None:
    truth = face()[None]
    predicted = truth.copy()
    predicted[0, 8] += (0, 40)
    errors = point_errors(predicted, truth)
    assert errors[0, 8] == 1.0
    assert errors.sum() == 1.0
    scores = landmark_scores(errors)
    assert scores.per_region == {"jaw": 1 / 17, "brows": 0, "nose": 0, "eyes": 0, "mouth": 0}
    assert scores.nme == pytest.approx(1 / 68)


def test_scores_by_hand() -> None:
    scores = landmark_scores([0.02, 0.04, 0.08, 0.1])
    assert scores.nme == pytest.approx(0.06)
    assert scores.auc == pytest.approx((0.75 + 0.5 + 0 + 0) / 4)
    assert scores.failure_rate == 0.25, "an error of the threshold itself is no failure"
    assert (scores.faces, scores.missing, scores.per_region) == (4, 0, {})
    assert scores.ced_y[0] == 0
    assert scores.ced_y[-1] == 1
    assert np.interp(0.05, scores.ced_x, scores.ced_y) == pytest.approx(0.5)


def test_a_face_that_was_not_found_has_failed() -> None:
    truth = np.stack([face(), face()])
    predicted = truth + MOVED
    predicted[1] = np.nan
    errors = point_errors(predicted, truth)
    assert np.isnan(errors[1]).all()
    scores = landmark_scores(errors, threshold=0.25)
    assert (scores.nme, scores.missing, scores.faces) == (0.125, 1, 2)
    assert (scores.auc, scores.failure_rate, scores.ced_y[-1]) == (0.25, 0.5, 0.5)
    assert scores.per_region["nose"] == 0.125


def test_no_face_found() -> None:
    scores = landmark_scores([np.nan, np.nan])
    assert np.isnan(scores.nme)
    assert (scores.auc, scores.failure_rate, scores.missing) == (0, 1, 2)


errors_of_faces = st.lists(st.floats(0, 0.5), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(errors_of_faces, st.sampled_from([0.05, 0.08, 0.1]))
def test_the_area_is_that_under_the_curve_on_a_fine_grid(
    errors: list[float], threshold: float
) -> None:
    grid = (np.arange(100_000) + 0.5) / 100_000 * threshold
    ced = np.searchsorted(np.sort(errors), grid, side="right") / len(errors)
    scores = landmark_scores(errors, threshold=threshold)
    assert scores.auc == pytest.approx(ced.mean(), abs=1e-5)
    assert scores.failure_rate == pytest.approx(np.mean(np.array(errors) > threshold))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.floats(-100, 100))
def test_scale_and_place_do_not_matter(seed: int, factor: float, shift: float) -> None:
    random = np.random.default_rng(seed)
    truth = random.uniform(0, 100, (3, 68, 2))
    predicted = truth + random.normal(0, 2, truth.shape)
    for normalise in ("interocular", "interpupil", "box_diagonal"):
        before = nme(predicted, truth, normalise=normalise)
        after = nme(predicted * factor + shift, truth * factor + shift, normalise=normalise)
        np.testing.assert_allclose(after, before, rtol=1e-9)


@pytest.mark.parametrize("normalise", ["interocular", "interpupil", "box_diagonal"])
def test_against_one_point_at_a_time(normalise: Any) -> None:
    random = np.random.default_rng(5)
    truth, predicted = random.uniform(0, 100, (2, 4, 68, 2))
    expected = []
    for one, other in zip(truth.tolist(), predicted.tolist(), strict=True):
        if normalise == "interocular":
            (ax, ay), (bx, by) = one[36], one[45]
        elif normalise == "interpupil":
            ax, ay = (sum(p[i] for p in one[36:42]) / 6 for i in (0, 1))
            bx, by = (sum(p[i] for p in one[42:48]) / 6 for i in (0, 1))
        else:
            ax, ay = (min(p[i] for p in one) for i in (0, 1))
            bx, by = (max(p[i] for p in one) for i in (0, 1))
        length = ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5
        distances = [
            ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) ** 0.5
            for p, q in zip(one, other, strict=True)
        ]
        expected.append(sum(distances) / len(distances) / length)
    np.testing.assert_allclose(nme(predicted, truth, normalise=normalise), expected, rtol=1e-12)


TRUTH = face()[None]
FLAT = np.full((1, 68, 2), 3.0)
BAD: dict[str, tuple[Any, str]] = {
    "other shapes": (lambda: nme(TRUTH[:, :5], TRUTH), r"\(1, 5, 2\) predicted points do not"),
    "one face without its axis": (lambda: nme(face(), face()), r"must have shape \(n, k, 2\)"),
    "a point of NaN": (
        lambda: nme(np.where(TRUTH == 80, np.nan, TRUTH), TRUTH),
        "predicted: face 0 has a point that is not finite",
    ),
    "a truth of NaN": (lambda: nme(TRUTH, TRUTH * np.nan), "truth: face 0 has a point"),
    "an infinite point": (lambda: nme(TRUTH * np.inf, TRUTH), "predicted: face 0"),
    "eyes of five points": (
        lambda: nme(TRUTH[:, :5], TRUTH[:, :5]),
        "interocular needs 68 points, got 5: use box_diagonal",
    ),
    "eyes at one place": (lambda: nme(FLAT, FLAT), "face 0: its interocular length is 0"),
    "an unknown length": (
        lambda: nme(TRUTH, TRUTH, normalise="pupils"),  # type: ignore[arg-type]
        "normalise must be interocular or interpupil or box_diagonal, got 'pupils'",
    ),
    "other boxes": (
        lambda: nme(TRUTH, TRUTH, normalise="box_diagonal", boxes=[1, 2, 3, 4]),
        r"boxes must have shape \(1, 4\), got \(4,\)",
    ),
    "a box of no size": (
        lambda: nme(TRUTH, TRUTH, normalise="box_diagonal", boxes=[[5, 5, 0, 0]]),
        "box 0 has no size",
    ),
    "no face": (lambda: landmark_scores([]), "errors must be of at least one face"),
    "a negative error": (lambda: landmark_scores([-0.1]), "none is negative"),
    "no threshold": (lambda: landmark_scores([0.1], threshold=0), "must be above 0, got 0"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        call()


def test_no_face_has_no_error() -> None:
    none = np.zeros((0, 68, 2))
    assert nme(none, none).shape == (0,)
    assert normalising_lengths(none, normalise="box_diagonal").shape == (0,)
