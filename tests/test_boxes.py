"""Box arithmetic: conversions, overlap, suppression and transforms, against naive oracles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import boxes
from facekit.boxes import BoxTransform

Boxes = npt.NDArray[np.float64]

_LIMIT = 1000.0
_number = st.floats(-_LIMIT, _LIMIT, width=32)
_side = st.floats(0, _LIMIT, width=32)


@st.composite
def many_boxes(draw: st.DrawFn, max_size: int = 12) -> Boxes:
    """``(n, 4)`` float64 xyxy with sides of at least 0."""
    corner_and_side = st.tuples(_number, _number, _side, _side)
    rows = draw(st.lists(corner_and_side, max_size=max_size))
    return np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float64).reshape(-1, 4)


def naive_iou(one: Any, two: Any, extra: float = 0.0) -> float:
    width = max(min(one[2], two[2]) - max(one[0], two[0]) + extra, 0)
    height = max(min(one[3], two[3]) - max(one[1], two[1]) + extra, 0)
    shared = width * height
    sizes = [(b[2] - b[0] + extra) * (b[3] - b[1] + extra) for b in (one, two)]
    union = sum(sizes) - shared
    return float(shared / union) if union > 0 else 0.0


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (boxes.xyxy_to_xywh, boxes.xywh_to_xyxy),
        (boxes.xyxy_to_cxcywh, boxes.cxcywh_to_xyxy),
    ],
)
@given(xyxy=many_boxes())
def test_conversions_round_trip(
    there: Callable[[Boxes], Boxes], back: Callable[[Boxes], Boxes], xyxy: Boxes
) -> None:
    np.testing.assert_allclose(back(there(xyxy)), xyxy, atol=1e-9)


def test_conversions_by_hand() -> None:
    xyxy = [[10, 20, 40, 80]]
    assert boxes.xyxy_to_xywh(xyxy).tolist() == [[10, 20, 30, 60]]
    assert boxes.xyxy_to_cxcywh(xyxy).tolist() == [[25, 50, 30, 60]]
    assert boxes.xywh_to_xyxy([[10, 20, 30, 60]]).tolist() == [[10, 20, 40, 80]]
    assert boxes.cxcywh_to_xyxy([[25, 50, 30, 60]]).tolist() == [[10, 20, 40, 80]]


def test_double_precision_is_kept_and_integers_become_single() -> None:
    assert boxes.xyxy_to_xywh(np.zeros((1, 4), np.float64)).dtype == np.float64
    assert boxes.xyxy_to_xywh([[0, 0, 1, 1]]).dtype == np.float32


def test_no_boxes_in_any_empty_shape() -> None:
    shapes: list[Any] = [[], np.zeros((0, 4)), np.zeros((0,))]
    for empty in shapes:
        assert boxes.xywh_to_xyxy(empty).shape == (0, 4)
        assert boxes.area(empty).shape == (0,)
        assert boxes.iou(empty, [[0, 0, 1, 1]]).shape == (0, 1)
        assert boxes.nms(empty, [], 0.5).shape == (0,)


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4], [[1, 2, 3]], np.zeros((1, 1, 4))])
def test_other_shapes_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"boxes must have shape \(n, 4\)"):
        boxes.area(wrong)


def test_area_of_pixels_and_of_inclusive_pixels() -> None:
    xyxy = [[0, 0, 2, 3], [5, 5, 4, 9]]
    assert boxes.area(xyxy).tolist() == [6, 0]
    assert boxes.area(xyxy, inclusive=True).tolist() == [12, 0]


@given(xyxy=many_boxes())
def test_clip_leaves_nothing_outside_and_inside_alone(xyxy: Boxes) -> None:
    clipped = boxes.clip(xyxy, (40, 60))
    assert (clipped >= 0).all()
    assert (clipped[:, [0, 2]] <= 60).all()
    assert (clipped[:, [1, 3]] <= 40).all()
    inside = (xyxy >= 0).all(axis=1) & (xyxy <= [60, 40, 60, 40]).all(axis=1)
    assert np.array_equal(clipped[inside], xyxy[inside])


@pytest.mark.parametrize("inclusive", [False, True])
@given(one=many_boxes(6), two=many_boxes(6))
def test_iou_is_that_of_the_naive_oracle(*, inclusive: bool, one: Boxes, two: Boxes) -> None:
    found = boxes.iou(one, two, inclusive=inclusive)
    want = [[naive_iou(a, b, float(inclusive)) for b in two] for a in one]
    np.testing.assert_allclose(found, np.reshape(want, found.shape), atol=1e-9)
    np.testing.assert_allclose(found, boxes.iou(two, one, inclusive=inclusive).T, atol=1e-12)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()


def test_iou_of_two_empty_boxes_is_zero() -> None:
    assert boxes.iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]).tolist() == [[0]]


def naive_nms(xyxy: Boxes, scores: Any, threshold: float, extra: float) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(xyxy)), key=lambda i: (-scores[i], i)):
        if all(naive_iou(xyxy[index], xyxy[other], extra) <= threshold for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("inclusive", [False, True])
@given(data=st.data(), threshold=st.sampled_from([0.0, 0.3, 0.45, 0.7]))
def test_nms_is_that_of_the_naive_oracle(
    *, inclusive: bool, data: st.DataObject, threshold: float
) -> None:
    # Whole pixels, so that both sides of the comparison are exact; many overlap.
    corner = st.integers(0, 12)
    rows = st.lists(st.tuples(corner, corner, st.integers(1, 9), st.integers(1, 9)), max_size=15)
    xyxy = np.array([[x, y, x + w, y + h] for x, y, w, h in data.draw(rows)], float).reshape(-1, 4)
    ties = st.sampled_from([0.1, 0.5, 0.5, 0.9])
    scores = np.array(data.draw(st.lists(ties, min_size=len(xyxy), max_size=len(xyxy))), float)
    found = boxes.nms(xyxy, scores, threshold, inclusive=inclusive)
    assert found.tolist() == naive_nms(xyxy, scores, threshold, float(inclusive))


@settings(max_examples=50)
@given(xyxy=many_boxes(), threshold=st.floats(0, 1))
def test_nms_keeps_no_overlapping_pair_and_the_best(xyxy: Boxes, threshold: float) -> None:
    scores = np.linspace(1, 0, len(xyxy))[::-1]
    kept = boxes.nms(xyxy, scores, threshold)
    assert len(xyxy) == 0 or kept[0] == len(xyxy) - 1
    assert (np.diff(scores[kept]) <= 0).all()
    overlaps = boxes.iou(xyxy[kept], xyxy[kept])
    assert (overlaps[np.triu_indices(len(kept), 1)] <= threshold + 1e-9).all()


def test_nms_wants_a_score_a_box() -> None:
    with pytest.raises(ValueError, match=r"scores must have shape \(1,\), got \(2,\)"):
        boxes.nms([[0, 0, 1, 1]], [0.5, 0.5], 0.5)


def test_scale_by_one_factor_or_two() -> None:
    assert boxes.scale([[1, 2, 3, 4]], 2).tolist() == [[2, 4, 6, 8]]
    assert boxes.scale([[1, 2, 3, 4]], (2, 10)).tolist() == [[2, 20, 6, 40]]


@given(xyxy=many_boxes(), factor=st.floats(0.1, 3))
def test_square_keeps_the_centre_and_has_equal_sides(xyxy: Boxes, factor: float) -> None:
    found = boxes.xyxy_to_cxcywh(boxes.square(xyxy, factor))
    want = boxes.xyxy_to_cxcywh(xyxy)
    np.testing.assert_allclose(found[:, :2], want[:, :2], atol=1e-9)
    side = want[:, 2:].mean(axis=1) * factor
    np.testing.assert_allclose(found[:, 2:], np.stack([side, side], axis=1), atol=1e-9)


def test_transform_by_hand() -> None:
    # 10 wide and 20 high: the centre moves by (1, 10), the side is the mean of 20 and 10.
    found = BoxTransform(dx=0.1, dy=0.5, sw=2.0, sh=0.5).apply([[0, 0, 10, 20]])
    np.testing.assert_allclose(found, [[-1.5, 12.5, 13.5, 27.5]], atol=1e-5)


def test_identity_leaves_squares_alone() -> None:
    assert BoxTransform() == boxes.IDENTITY
    assert boxes.IDENTITY.apply([[5, 6, 15, 16]]).tolist() == [[5, 6, 15, 16]]


@given(
    xyxy=many_boxes(),
    scale=st.floats(0.1, 10),
    transform=st.builds(BoxTransform, *[st.floats(-1, 1)] * 2, *[st.floats(0.2, 3)] * 2),
)
def test_transform_holds_at_every_scale(xyxy: Boxes, scale: float, transform: BoxTransform) -> None:
    found = transform.apply(boxes.scale(xyxy, scale))
    np.testing.assert_allclose(found, transform.apply(xyxy) * scale, rtol=1e-9, atol=1e-6)


@given(xyxy=arrays.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)))
def test_inputs_are_not_changed(xyxy: npt.NDArray[np.float32]) -> None:
    before = xyxy.copy()
    boxes.clip(xyxy, (5, 5))
    boxes.nms(xyxy, [0.1, 0.2, 0.3], 0.5)
    BoxTransform(0.1, 0.1, 2, 2).apply(xyxy)
    assert np.array_equal(xyxy, before)
