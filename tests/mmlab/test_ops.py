"""The stand-in for mmcv's compiled ops, through mmcv's own functions."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest

from facekit import boxes as box_maths


@pytest.fixture(autouse=True)
def ops(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_mmdet")
    return importlib.import_module("facekit.mmlab.ops")


@pytest.fixture
def stand_in(ops: Any) -> Any:
    if not ops.provide():
        pytest.skip("this mmcv has its compiled ops")
    return sys.modules[ops.NAME]


def crowd(count: int = 400) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    corners = rng.uniform(0, 80, (count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(5, 40, (count, 2))]).astype(np.float32)
    return boxes, rng.permutation(count).astype(np.float32) / count


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_keeps_what_facekits_own_keeps(offset: int) -> None:
    from mmcv.ops import nms

    boxes, scores = crowd()
    dets, kept = nms(boxes, scores, 0.45, offset=offset)
    assert kept.tolist() == box_maths.nms(boxes, scores, 0.45, inclusive=bool(offset)).tolist()
    assert len(kept) not in {0, len(boxes)}
    np.testing.assert_array_equal(dets[:, 4], scores[kept])


def test_roi_align_of_a_ramp_is_its_middles() -> None:
    import torch
    from mmcv.ops import RoIAlign

    ramp = torch.arange(32.0).repeat(32, 1)[None, None]
    pooled = RoIAlign((2, 2), 1.0, 0)(ramp, torch.tensor([[0.0, 8, 4, 16, 20]]))
    # Two bins of 4 px each from x = 8 on, whose middles are 10 and 14; pixel i is at i + 0.5.
    np.testing.assert_allclose(pooled[0, 0].numpy(), [[9.5, 13.5]] * 2, atol=1e-5)


def test_other_ops_say_that_they_are_missing(stand_in: Any, ops: Any) -> None:
    with pytest.raises(NotImplementedError, match="compiled op 'three_nn_forward'") as caught:
        stand_in.three_nn_forward(1, x=2)
    assert ops.COMPILE in str(caught.value)
    assert not hasattr(stand_in, "__path__")


def test_the_largest_value_is_not_the_average(stand_in: Any) -> None:
    import torch
    from mmcv.ops import roi_align

    assert stand_in is not None
    with pytest.raises(NotImplementedError, match="of the largest value"):
        roi_align(torch.ones(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]), (2, 2), 1.0, 0, "max")


def test_it_is_put_in_place_once_and_told(
    ops: Any, stand_in: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ops.provide()
    assert sys.modules[ops.NAME] is stand_in
    assert caplog.messages == []
    monkeypatch.delitem(sys.modules, ops.NAME)
    assert ops.provide()
    assert caplog.messages == [
        "mmcv has no compiled ops: nms and roi_align are torchvision's, the others raise"
    ]
    monkeypatch.undo()


def test_compiled_ops_are_left_alone(ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, ops.NAME, np)
    assert not ops.provide()
    assert sys.modules[ops.NAME] is np
