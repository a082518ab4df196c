"""The parts of MMDetection 1.x against facekit's own decoding, which is checked against 1.x's."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from facekit.detectors import tiny_ssd

WIDTHS = ([9.4, 25.1, 14.7, 34.7, 143.0, 77.4, 128.8, 51.1, 75.6],)
HEIGHTS = ([15.0, 39.6, 25.5, 63.2, 227.5, 162.9, 124.5, 105.1, 72.6],)
STDS = (0.1, 0.1, 0.2, 0.2)


@pytest.fixture(autouse=True)
def legacy(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_mmdet")
    return importlib.import_module("facekit.mmlab.legacy")


@pytest.fixture
def anchors(legacy: Any) -> Any:
    (found,) = legacy.ClusteredAnchorGenerator((16,), WIDTHS, HEIGHTS).grid_priors(
        [(19, 19)], device="cpu"
    )
    return found


def test_anchors_are_those_of_tiny_ssd(anchors: Any) -> None:
    np.testing.assert_array_equal(anchors.numpy(), tiny_ssd.anchors())


def test_decoding_is_that_of_tiny_ssd(legacy: Any, anchors: Any) -> None:
    import torch

    deltas = np.random.default_rng(3).normal(0, 4, (len(anchors), 4)).astype(np.float32)
    coder = legacy.InclusiveDeltaXYWHBBoxCoder(target_stds=STDS)
    got = coder.decode(anchors, torch.from_numpy(deltas), max_shape=(300, 300))
    want = tiny_ssd._decode(deltas, tiny_ssd.anchors())
    np.testing.assert_allclose(got.numpy(), want, atol=1e-3)
    assert coder.decode(anchors, torch.from_numpy(deltas)).min() < 0


def test_encoding_is_undone_by_decoding(legacy: Any, anchors: Any) -> None:
    import torch

    boxes = anchors[::50] + torch.tensor([1.0, -2.0, 4.0, 3.0])
    coder = legacy.InclusiveDeltaXYWHBBoxCoder(target_stds=STDS)
    again = coder.decode(anchors[::50], coder.encode(anchors[::50], boxes))
    np.testing.assert_allclose(again.numpy(), boxes.numpy(), atol=1e-3)


def test_the_background_comes_last_of_each_anchor(legacy: Any) -> None:
    import torch

    anchors = {"type": "ClusteredAnchorGenerator", "strides": (16,), "widths": WIDTHS}
    head = legacy.ClusteredSSDHead(
        num_classes=2, in_channels=(4,), anchor_generator={**anchors, "heights": HEIGHTS}
    )
    scores = torch.arange(27.0)[None, :, None, None]
    moved = head._background_last(scores)[0, :, 0, 0]
    assert moved[:6].tolist() == [1, 2, 0, 4, 5, 3]
    assert (moved.shape, sorted(moved.tolist())) == ((27,), list(range(27)))


@pytest.mark.parametrize("form", [{"width_mult": 1.0}, {"scales": 6}, {"activation_type": "relu6"}])
def test_unpublished_backbones_are_refused(legacy: Any, form: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"of width 0\.75 with relu and one scale"):
        legacy.SSDMobilenetV2(**form)


def test_overlaps_count_the_last_pixel(legacy: Any) -> None:
    import torch

    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [5.0, 0.0, 14.0, 9.0]])
    found = legacy.InclusiveBboxOverlaps2D()(boxes, boxes)
    np.testing.assert_allclose(found.numpy(), [[1, 1 / 3], [1 / 3, 1]], atol=1e-6)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_loss_of_a_perfect_answer_is_nothing(legacy: Any, anchors: Any, balanced: bool) -> None:
    import torch
    from mmengine.structures import InstanceData

    generator = {"type": "ClusteredAnchorGenerator", "strides": (16,), "widths": WIDTHS}
    head = legacy.ClusteredSSDHead(
        in_channels=(8,),
        num_classes=1,
        loss_balancing=balanced,
        anchor_generator={**generator, "heights": HEIGHTS},
        bbox_coder={"type": "InclusiveDeltaXYWHBBoxCoder", "target_stds": STDS},
        train_cfg={
            "assigner": {
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.4,
                "neg_iou_thr": 0.4,
                "iou_calculator": {"type": "InclusiveBboxOverlaps2D"},
            },
            "smoothl1_beta": 1.0,
            "allowed_border": -1,
            "pos_weight": -1,
            "neg_pos_ratio": 3,
        },
    )
    # Continuous, as mmdet's pipeline gives it: pixels 100 to 169 and 90 to 199.
    face = torch.tensor([[100.0, 90.0, 170.0, 200.0]])
    inclusive = face - torch.tensor([0.0, 0.0, 1.0, 1.0])
    deltas = head.bbox_coder.encode(anchors, inclusive.expand(len(anchors), 4))
    overlaps = legacy.InclusiveBboxOverlaps2D()(inclusive, anchors)[0]
    margin = torch.where(overlaps > 0.4, 30.0, -30.0)
    scores = torch.stack([margin, -margin], dim=1)

    def losses(moved: float) -> dict[str, float]:
        maps = [
            (values.reshape(1, 19, 19, -1).permute(0, 3, 1, 2))
            for values in (scores, deltas + moved)
        ]
        truth = InstanceData(bboxes=face.clone(), labels=torch.zeros(1, dtype=torch.long))
        meta = {"img_shape": (300, 300), "pad_shape": (300, 300)}
        found = head.loss_by_feat([maps[0]], [maps[1]], [truth], [meta])
        parts = {name: one if isinstance(one, list) else [one] for name, one in found.items()}
        return {name: sum(part.sum().item() for part in one) for name, one in parts.items()}

    assert losses(0.0) == pytest.approx({"loss_cls": 0, "loss_bbox": 0}, abs=1e-5)
    # Smooth L1 of 0.5 is 0.125, in each of four numbers.
    assert losses(0.5) == pytest.approx({"loss_cls": 0, "loss_bbox": 0.5}, abs=1e-3)
    if balanced:
        with torch.no_grad():
            head.loss_weights.copy_(torch.tensor([0.2, 0.6]))
        wanted = {"loss_cls": 0.1, "loss_bbox": 0.5 * np.exp(-0.6) + 0.3}
        assert losses(0.5) == pytest.approx(wanted, abs=1e-3)
