"""What Detectron2 found, recorded from Detectron2 itself, as facekit's detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.boxes import IDENTITY
from facekit.detectors._detectron2_instances import class_names, face_class, to_detections
from facekit.errors import BackendError, ConfigError
from facekit.types import Detections

STORED = np.load(Path(__file__).parent / "golden" / "detectron2.npz")
SIZES = {"masks": (256, 256), "points": (200, 200)}


class Recorded:
    """Detectron2's ``Instances`` of a record, whose arrays are numpy's."""

    def __init__(self, kind: str) -> None:
        self.fields: dict[str, Any] = {
            key.removeprefix(f"{kind}_"): STORED[key] for key in STORED if key.startswith(kind)
        }
        if "pred_masks" in self.fields:
            planes = np.unpackbits(self.fields["pred_masks"], axis=2).astype(bool)
            self.fields["pred_masks"] = planes[:, :, : SIZES[kind][1]]

    def __getattr__(self, name: str) -> Any:
        return self.fields[name]

    def get_fields(self) -> dict[str, Any]:
        return self.fields


def detections(kind: str, threshold: float = 0.0, **changes: Any) -> Detections:
    options = {"threshold": threshold, "only": None, "several": False, "box_transform": IDENTITY}
    return to_detections(Recorded(kind), SIZES[kind], **{**options, **changes})


def test_masks_scores_and_order() -> None:
    found, record = detections("masks"), Recorded("masks")
    np.testing.assert_array_equal(found.boxes, record.pred_boxes)
    np.testing.assert_array_equal(found.scores, record.scores)
    assert found.class_ids is None
    assert found.keypoints is None
    assert found.masks is not None
    for mask, plane in zip(found.masks, record.pred_masks, strict=True):
        np.testing.assert_array_equal(mask.to_mask(), plane)
    assert found.masks[0].to_mask().any()


def test_keypoints_and_classes() -> None:
    found, record = detections("points", several=True), Recorded("points")
    np.testing.assert_array_equal(found.keypoints, record.pred_keypoints)
    np.testing.assert_array_equal(found.class_ids, record.pred_classes)
    assert found.masks is None
    assert found.keypoints is not None
    assert found.keypoints.shape == (8, 5, 3)


def test_only_one_class_above_the_threshold() -> None:
    record = Recorded("points")
    level = float(record.scores[3])
    assert len(detections("points", level)) == 3  # above, not from
    assert len(detections("points", only=0)) == 0
    assert detections("points", only=0).keypoints is not None
    assert len(detections("points", only=1)) == 8


def test_rotated_boxes_are_refused() -> None:
    record = Recorded("masks")
    record.fields["pred_boxes"] = np.zeros((4, 5), np.float32)
    with pytest.raises(BackendError, match=r"boxes of shape \(4, 5\)"):
        to_detections(
            record, (256, 256), threshold=0, only=None, several=False, box_transform=IDENTITY
        )


def test_class_names() -> None:
    coco = ("person", "bicycle")
    assert class_names(None, coco, 2) == coco
    assert class_names(("a", "b"), coco, 2) == ("a", "b")
    assert class_names(None, None, 1) == ("face",)
    assert class_names(None, None, 3) == ("0", "1", "2")
    with pytest.raises(ConfigError, match="1 names, the model 2"):
        class_names(("a",), coco, 2)
    assert face_class("bicycle", coco) == face_class(1, coco) == 1
    assert face_class(None, coco) is None
    for wrong in ("face", 2, -1):
        with pytest.raises(ConfigError, match="none of the 2 classes: person, bicycle"):
            face_class(wrong, coco)
