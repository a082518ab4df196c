"""Masks of boxes, laid onto a photo: by hand, and as TensorFlow's own operation lays them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facekit
from facekit.tfgraphs.masks import reframed

BOX = np.array([[0.125, 0.25, 0.75, 1.0], [0.5, -0.25, 1.25, 0.5]], np.float32)
"""Two of ymin xmin ymax xmax; the second reaches out of the photo."""

POINTS = np.array([[[0.25, 0.5], [0.5, 0.75]], [[0.75, 0.0], [1.0, 0.25]]], np.float32)
SURE = np.array([[0.5, 0.25], [1.0, 0.75]], np.float32)
MASKS = np.random.default_rng(0).random((2, 5, 7)).astype(np.float32)


def test_a_full_mask_is_its_box() -> None:
    full = np.ones((1, 3, 3), np.float32)
    (mask,) = reframed(full, np.array([[1, 2, 7, 5]], np.float32), (9, 9))
    # Of nine pixels the first lies on the photo's edge and the last on the other.
    down, across = np.nonzero(mask.to_mask())
    assert (down.min(), down.max()) == (2, 4)
    assert (across.min(), across.max()) == (1, 6)
    assert mask.to_mask().sum() == 3 * 6


def test_what_is_likelier_than_not_is_the_object() -> None:
    half = np.array([[[0.0, 1.0]] * 2], np.float32)
    (mask,) = reframed(half, np.array([[0, 0, 11, 11]], np.float32), (11, 11))
    assert mask.to_mask()[:, 6:].all()
    assert not mask.to_mask()[:, :6].any(), "half is not more than half"


@pytest.mark.parametrize("box", [[3, 3, 3, 8], [20, 20, 30, 30], [-9, -9, -2, -2]])
def test_a_box_of_nothing_has_an_empty_mask(box: list[float]) -> None:
    (mask,) = reframed(np.ones((1, 3, 3), np.float32), np.array([box], np.float32), (9, 9))
    assert not mask.to_mask().any()
    assert mask.size == (9, 9)


@pytest.fixture
def graph(require_tensorflow: None, tmp_path: Path) -> Path:  # noqa: ARG001 - asks for the package
    """A SavedModel that finds the same two faces everywhere, with masks and keypoints."""
    tf: Any = importlib.import_module("tensorflow")
    module = tf.Module()

    def serve(input_tensor: Any) -> dict[str, Any]:
        faint = tf.reduce_mean(tf.cast(input_tensor, tf.float32)) / 1e6
        found = {
            "detection_boxes": BOX,
            "detection_scores": np.array([0.6, 0.8], np.float32),
            "detection_classes": np.ones(2, np.float32),
            "detection_masks": MASKS,
            "detection_keypoints": POINTS,
            "detection_keypoint_scores": SURE,
        }
        return {name: tf.constant(values)[None] + 0 * faint for name, values in found.items()}

    spec = tf.TensorSpec((1, None, None, 3), tf.uint8, name="input_tensor")
    module.serve = tf.function(serve, autograph=False, input_signature=[spec])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    return tmp_path / "model"


def test_masks_and_keypoints_of_a_graph_are_passed_on(
    graph: Path, require: Callable[[str], Any]
) -> None:
    detector = facekit.create_detector("tfod", weights=graph, face_class=1, score_threshold=0)
    size = (60, 80)
    (found,) = detector.detect([np.zeros((*size, 3), np.uint8)])
    np.testing.assert_allclose(found.scores, [0.8, 0.6])
    boxes = [[-20.0, 30.0, 40.0, 75.0], [20.0, 7.5, 80.0, 45.0]]
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-4)
    assert found.keypoints is not None
    points = np.array(
        [[[0.0, 45.0, 1.0], [20.0, 60.0, 0.75]], [[40.0, 15.0, 0.5], [60.0, 30.0, 0.25]]]
    )
    np.testing.assert_allclose(found.keypoints, points, atol=1e-4)
    assert found.masks is not None
    own = _by_tensorflow(require("tensorflow"), size)[::-1]
    for mask, likely in zip(found.masks, own, strict=True):
        sure = np.abs(likely - 0.5) > 1e-5
        assert 0.03 < (likely[sure] > 0.5).mean() < 0.97
        np.testing.assert_array_equal(mask.to_mask()[sure], likely[sure] > 0.5)


def _by_tensorflow(tf: Any, size: tuple[int, int]) -> Any:
    """The photo's corners, as parts of each box, cut out of its mask."""
    low, sides = BOX[:, :2], BOX[:, 2:] - BOX[:, :2]
    corners = np.concatenate([-low / sides, (1 - low) / sides], axis=1)
    cut = tf.image.crop_and_resize(MASKS[..., None], corners, [0, 1], size, extrapolation_value=0)
    return cut.numpy()[..., 0]
