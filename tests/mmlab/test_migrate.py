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


def test_training_goes_over(new: dict[str, Any]) -> None:
    trained = new["model"]["train_cfg"]
    assert trained["assigner"]["iou_calculator"] == {"type": "InclusiveBboxOverlaps2D"}
    assert (trained["assigner"]["pos_iou_thr"], trained["neg_pos_ratio"]) == (0.4, 3)
    loader = new["train_dataloader"]
    assert (loader["batch_size"], loader["num_workers"]) == (65, 2)
    assert (loader["dataset"]["type"], loader["dataset"]["times"]) == ("RepeatDataset", 2)
    steps = loader["dataset"]["dataset"]["pipeline"]
    assert [step["type"] for step in steps] == [
        "LoadImageFromFile",
        "LoadAnnotations",
        "PhotoMetricDistortion",
        "MinIoURandomCrop",
        "Resize",
        "RandomFlip",
        "PackDetInputs",
    ]
    assert steps[4] == {"type": "Resize", "scale": (300, 300), "keep_ratio": False}
    assert new["optim_wrapper"]["optimizer"]["lr"] == 0.05
    warmup, dropped = new["param_scheduler"]
    assert (warmup["end"], warmup["by_epoch"]) == (1200, False)
    assert warmup["start_factor"] == pytest.approx(1 / 3)
    assert (dropped["milestones"], dropped["by_epoch"]) == ([40, 55, 65], True)
    assert new["train_cfg"]["max_epochs"] == 70


def test_what_is_not_in_the_new_config_is_named(old: str) -> None:
    assert rewrite(old, "old.py").left_out == (
        "cudnn_benchmark",
        "load_from",
        "workflow",
        "data.train.ann_file",
        "data.train.min_size",
        "model.pretrained",
    )


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("'MinIoURandomCrop'", "'Mosaic'"),
        ("policy='step'", "policy='poly'"),
        ("use_giou=False", "use_giou=True"),
        ("total_epochs = 70", ""),
        ("pipeline=train_pipeline", ""),
    ],
)
def test_a_training_that_is_not_known_is_left_out(old: str, was: str, becomes: str) -> None:
    assert was in old
    migrated = rewrite(old.replace(was, becomes, 1), "old.py")
    assert "train_dataloader" not in read(migrated.text)
    assert "train_cfg" not in read(migrated.text)["model"]
    assert {"train_cfg", "optimizer", "data.train"} <= set(migrated.left_out)


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("'SSDHead'", "'RetinaHead'", "a SingleStageDetector with SSDMobilenetV2 with RetinaHead"),
        ("neck=None", "neck=dict(type='FPN')", "for other models take 3.x's own configs"),
        ("depthwise_heads=True", "depthwise_heads=False", "no depthwise heads"),
        ("flip=False", "flip=True", "flips or keeps the aspect ratio"),
        ("keep_ratio=False)", "keep_ratio=True)", "flips or keeps the aspect ratio"),
        ("loss_balancing=True", "focal=True", "unknown in 1.x's config: focal"),
        ("'WIDERFaceDataset'", "'Mine'", "the classes of Mine are not known"),
        ("iou_thr=0.45", "iou=0.45", "no config of MMDetection 1.x for an SSD: KeyError 'iou_thr'"),
        ("anchor_strides=(16,)", "anchor_generator=dict()", "but of a later one"),
        ("total_epochs = 70", "import os", "old.py:60: cannot be read without running it"),
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
