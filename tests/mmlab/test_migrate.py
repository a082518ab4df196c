"""The tiny SSD's config of MMDetection 1.x for 3.x: what it says then, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facekit.errors import ConfigError, OutputError
from facekit.mmlab.literal import code_in, read
from facekit.mmlab.migrate import migrate, rewrite


@pytest.fixture
def old(old_mmdet_config: Path) -> str:
    return old_mmdet_config.read_text()


@pytest.fixture
def new(old: str) -> dict[str, Any]:
    return read(rewrite(old, "old.py").text)


def test_the_new_config_is_plain_and_short(old: str) -> None:
    text = rewrite(old, "configs/old.py").text
    assert code_in(text) == []
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("# For MMDetection 3.x; written by 'facekit mmdet migrate' from old.py.")


def test_background_is_no_class_and_anchors_are_an_object(new: dict[str, Any]) -> None:
    head = new["model"]["bbox_head"]
    assert (head["type"], head["num_classes"]) == ("ClusteredSSDHead", 1)
    assert head["in_channels"] == (360,)
    assert head["loss_balancing"] is True
    anchors = head["anchor_generator"]
    assert anchors["strides"] == (16,)
    assert [len(one) for one in (*anchors["widths"], *anchors["heights"])] == [9, 9]
    assert head["bbox_coder"]["target_stds"] == (0.1, 0.1, 0.2, 0.2)
    assert new["model"]["backbone"]["width_mult"] == 0.75


def test_normalisation_moves_into_the_model(new: dict[str, Any]) -> None:
    preprocessor = new["model"]["data_preprocessor"]
    assert preprocessor == {
        "type": "DetDataPreprocessor",
        "mean": [0.0, 0.0, 0.0],
        "std": [255.0, 255.0, 255.0],
        "bgr_to_rgb": True,
    }
    steps = new["test_dataloader"]["dataset"]["pipeline"]
    assert [step["type"] for step in steps] == ["LoadImageFromFile", "Resize", "PackDetInputs"]
    assert (steps[1]["scale"], steps[1]["keep_ratio"]) == ((300, 300), False)


def test_thresholds_count_pixels_as_before(new: dict[str, Any]) -> None:
    assert new["model"]["test_cfg"] == {
        "nms_pre": 1_000_000,
        "nms": {"type": "nms", "iou_threshold": 0.45, "offset": 1},
        "score_thr": 0.02,
        "max_per_img": 200,
    }
    assert new["test_dataloader"]["dataset"]["metainfo"] == {"classes": ("face",)}


def test_what_only_training_reads_is_named(old: str) -> None:
    assert rewrite(old, "old.py").left_out == (
        "cudnn_benchmark",
        "train_cfg",
        "optimizer",
        "total_epochs",
        "load_from",
        "workflow",
        "data.imgs_per_gpu",
        "data.workers_per_gpu",
        "data.train",
    )


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("'SSDHead'", "'RetinaHead'", "a SingleStageDetector with SSDMobilenetV2 with RetinaHead"),
        ("neck=None", "neck=dict(type='FPN')", "for other models take 3.x's own configs"),
        ("depthwise_heads=True", "depthwise_heads=False", "no depthwise heads"),
        ("flip=False", "flip=True", "flips or keeps the aspect ratio"),
        ("keep_ratio=False", "keep_ratio=True", "flips or keeps the aspect ratio"),
        ("loss_balancing=True", "focal=True", "unknown in 1.x's config: focal"),
        ("'WIDERFaceDataset'", "'Mine'", "the classes of Mine are not known"),
        ("iou_thr=0.45", "iou=0.45", "no config of MMDetection 1.x for an SSD: KeyError 'iou_thr'"),
        ("anchor_strides=(16,)", "anchor_generator=dict()", "but of a later one"),
        ("total_epochs = 70", "import os", "old.py:39: cannot be read without running it"),
    ],
)
def test_other_configs_are_refused(old: str, was: str, becomes: str, message: str) -> None:
    assert was in old
    with pytest.raises(ConfigError, match=r"^old\.py") as caught:
        rewrite(old.replace(was, becomes, 1), "old.py")
    assert message in str(caught.value)


def test_files(old_mmdet_config: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.py"
    assert migrate(old_mmdet_config, new).text == new.read_text()
    with pytest.raises(ConfigError, match=r"none\.py: cannot be read"):
        migrate(tmp_path / "none.py", new)
    with pytest.raises(OutputError):
        migrate(old_mmdet_config, tmp_path / "none" / "new.py")
