"""Detectron2's YAML: bases, defaults, wrong types, and models that the network cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from facekit.detectors._mask_rcnn_config import read_config
from facekit.errors import ConfigError

# The model zoo's Base-RCNN-FPN.yaml and mask_rcnn_X_101_32x8d_FPN_3x.yaml, as far as they matter.
BASE = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE: {NAME: "build_resnet_fpn_backbone"}
  RESNETS: {OUT_FEATURES: ["res2", "res3", "res4", "res5"]}
  FPN: {IN_FEATURES: ["res2", "res3", "res4", "res5"]}
  ANCHOR_GENERATOR: {SIZES: [[32], [64], [128], [256], [512]], ASPECT_RATIOS: [[0.5, 1.0, 2.0]]}
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS: {NAME: "StandardROIHeads", IN_FEATURES: ["p2", "p3", "p4", "p5"]}
  ROI_BOX_HEAD: {NAME: "FastRCNNConvFCHead", NUM_FC: 2, POOLER_RESOLUTION: 7}
  ROI_MASK_HEAD: {NAME: "MaskRCNNConvUpsampleHead", NUM_CONV: 4, POOLER_RESOLUTION: 14}
SOLVER: {STEPS: (60000, 80000), IMS_PER_BATCH: 16}
VERSION: 2
"""
X101 = """
_BASE_: "../Base-RCNN-FPN.yaml"
MODEL:
  MASK_ON: True
  WEIGHTS: "detectron2://ImageNetPretrained/FAIR/X-101-32x8d.pkl"
  PIXEL_STD: [57.375, 57.120, 58.395]
  RESNETS: {STRIDE_IN_1X1: False, NUM_GROUPS: 32, WIDTH_PER_GROUP: 8, DEPTH: 101}
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Any]:
    """Read X101 with more on top of it, as text or as values."""
    (tmp_path / "Base-RCNN-FPN.yaml").write_text(BASE)
    folder = tmp_path / "COCO"
    folder.mkdir()
    (folder / "x101.yaml").write_text(X101)

    def on_top(top: Any = None) -> Any:
        path = folder / "mine.yaml"
        path.write_text(
            top if isinstance(top, str) else yaml.safe_dump({"_BASE_": "x101.yaml"} | (top or {}))
        )
        return read_config(path)

    return on_top


def test_the_zoos_x101(read: Any) -> None:
    config = read()
    settings = config.settings()
    assert settings.classes == 80
    assert (settings.resnet.depth, settings.resnet.groups, settings.resnet.width_per_group) == (
        101,
        32,
        8,
    )
    assert not settings.resnet.stride_in_1x1
    assert settings.pixel_std == (57.375, 57.120, 58.395)
    assert settings.rpn.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert settings.rpn.ratios == ((0.5, 1.0, 2.0),) * 5
    assert (settings.rpn.before_nms, settings.rpn.after_nms) == (1000, 1000)
    assert settings.box.pooler.aligned
    assert (settings.box.fcs, settings.box.detections, settings.mask.convs) == (2, 100, 4)
    assert (config.INPUT.MIN_SIZE_TEST, config.INPUT.MAX_SIZE_TEST) == (800, 1333)


def test_texts_are_read_as_python_and_bases_from_the_top(read: Any) -> None:
    weights = "(1.0, 2.0, 3.0, 4.0)"
    settings = read({"MODEL": {"RPN": {"BBOX_REG_WEIGHTS": weights}, "MASK_ON": False}}).settings()
    assert settings.rpn.box_weights == (1, 2, 3, 4)
    assert settings.rpn.before_nms == 1000
    assert settings.mask is None


def test_classes_are_cocos_where_the_datasets_are(read: Any) -> None:
    coco = {"DATASETS": {"TRAIN": ("coco_2017_train",), "TEST": ["coco_2017_val"]}}
    names = read(coco).class_names()
    assert (len(names), names[0], names[10], names[-1]) == (
        80,
        "person",
        "fire hydrant",
        "toothbrush",
    )
    assert read().class_names()[:2] == ("0", "1")
    one = {"MODEL": {"ROI_HEADS": {"NUM_CLASSES": 1}}}
    assert read(coco | one).class_names() == ("face",)
    three = {"MODEL": {"ROI_HEADS": {"NUM_CLASSES": 3}}}
    assert read(coco | three).class_names() == ("0", "1", "2")


REFUSED = [
    ({"META_ARCHITECTURE": "RetinaNet"}, "RetinaNet is no R-CNN"),
    ({"ROI_HEADS": {"NAME": "Res5ROIHeads"}}, "C4 model"),
    ({"RESNETS": {"RES5_DILATION": 2}}, "DC5"),
    ({"PROPOSAL_GENERATOR": {"NAME": "RRPN"}}, "rotated boxes"),
    ({"ANCHOR_GENERATOR": {"NAME": "RotatedAnchorGenerator"}}, "rotated boxes"),
    ({"ROI_HEADS": {"NAME": "RROIHeads"}}, "rotated boxes"),
    ({"ROI_HEADS": {"NAME": "CascadeROIHeads"}}, "Cascade R-CNN"),
    ({"KEYPOINT_ON": True}, "keypoints"),
    ({"RESNETS": {"DEFORM_ON_PER_STAGE": [False, True, True, True]}}, "deformable"),
    ({"LOAD_PROPOSALS": True}, "proposals from files"),
    ({"ROI_BOX_HEAD": {"USE_SIGMOID_CE": True}}, "sigmoids"),
    ({"BACKBONE": {"NAME": "build_retinanet_resnet_fpn_backbone"}}, r"MODEL\.BACKBONE\.NAME is"),
    ({"FPN": {"IN_FEATURES": ["res3", "res4", "res5"]}}, r"MODEL\.FPN\.IN_FEATURES is"),
    ({"PROPOSAL_GENERATOR": {"NAME": "MyRPN"}}, r"MODEL\.PROPOSAL_GENERATOR\.NAME is"),
    ({"ANCHOR_GENERATOR": {"NAME": "Mine"}}, r"MODEL\.ANCHOR_GENERATOR\.NAME is"),
    ({"RPN": {"HEAD_NAME": "MyHead"}}, r"MODEL\.RPN\.HEAD_NAME is"),
    ({"RPN": {"IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"]}}, r"MODEL\.RPN\.IN_FEATURES is"),
    ({"ROI_HEADS": {"NAME": "PointRendROIHeads"}}, r"MODEL\.ROI_HEADS\.NAME is"),
    ({"ROI_HEADS": {"IN_FEATURES": ["p3", "p4", "p5"]}}, r"MODEL\.ROI_HEADS\.IN_FEATURES is"),
    ({"ROI_BOX_HEAD": {"NAME": "MyHead"}}, r"MODEL\.ROI_BOX_HEAD\.NAME is"),
    ({"ROI_MASK_HEAD": {"NAME": "PointRendMaskHead"}}, r"MODEL\.ROI_MASK_HEAD\.NAME is"),
    ({"ANCHOR_GENERATOR": {"SIZES": [[32], [64]]}}, "for one level or for five"),
    ({"ANCHOR_GENERATOR": {"ASPECT_RATIOS": [[0.5], [1.0]]}}, "for one level or for five"),
    ({"ANCHOR_GENERATOR": {"SIZES": [[32, 40], [64], [128], [256], [512]]}}, "different numbers"),
    ({"ANCHOR_GENERATOR": {"ASPECT_RATIOS": [[1.0]] * 4 + [[1.0, 2.0]]}}, "different numbers"),
    ({"ROI_BOX_HEAD": {"NUM_FC": 0}}, "has no layers"),
]


@pytest.mark.parametrize(("model", "word"), REFUSED, ids=[word for _, word in REFUSED])
def test_models_that_the_network_cannot_be(read: Any, model: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=f"{word}.*; supported are Faster and Mask R-CNN"):
        read({"MODEL": model})


# What the model zoo's Base-RCNN-C4.yaml and Base-RCNN-DilatedC5.yaml have of their own.
C4 = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  RPN: {PRE_NMS_TOPK_TEST: 6000, POST_NMS_TOPK_TEST: 1000}
  ROI_HEADS: {NAME: "Res5ROIHeads"}
VERSION: 2
"""
DC5 = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  RESNETS: {OUT_FEATURES: ["res5"], RES5_DILATION: 2}
  RPN: {IN_FEATURES: ["res5"], PRE_NMS_TOPK_TEST: 6000, POST_NMS_TOPK_TEST: 1000}
  ROI_HEADS: {NAME: "StandardROIHeads", IN_FEATURES: ["res5"]}
  ROI_BOX_HEAD: {NAME: "FastRCNNConvFCHead", NUM_FC: 2, POOLER_RESOLUTION: 7}
VERSION: 2
"""


@pytest.mark.parametrize(("text", "word"), [(C4, "C4 model, without an FPN"), (DC5, r"\(DC5\)")])
def test_the_zoos_other_bases_are_refused(read: Any, text: str, word: str) -> None:
    with pytest.raises(ConfigError, match=rf"mine\.yaml: .*{word}.*; supported are"):
        read(text)


def test_a_chain_of_bases_ends(read: Any, tmp_path: Path) -> None:
    folder = tmp_path / "COCO"
    (folder / "a.yaml").write_text("_BASE_: b.yaml\n")
    (folder / "b.yaml").write_text("_BASE_: a.yaml\n")
    with pytest.raises(ConfigError, match=r"a\.yaml: _BASE_ leads in a circle"):
        read("_BASE_: a.yaml")
    for step in range(20):
        (folder / f"{step}.yaml").write_text(f"_BASE_: {step + 1}.yaml\n")
    (folder / "20.yaml").write_text(BASE)
    assert read("_BASE_: 0.yaml") == read(BASE)


@pytest.mark.parametrize(
    ("top", "word"),
    [
        ({"MODEL": {"RPN": {"NMS_THRESH": "high"}}}, r"MODEL\.RPN\.NMS_THRESH: .* got 'high'"),
        ({"MODEL": {"RESNETS": {"DEPTH": 18}}}, r"MODEL\.RESNETS\.DEPTH: .* got 18"),
        ({"MODEL": {"RESNETS": 7}}, r"MODEL\.RESNETS: .* got 7"),
        ({"INPUT": {"FORMAT": "YUV"}}, r"INPUT\.FORMAT: .* got 'YUV'"),
        ("- a list", "expected sections like MODEL"),
        ("a: [", "not plain YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not plain YAML"),
        ("_BASE_: mine.yaml", "leads in a circle"),
        ("_BASE_: other.yaml", "other.yaml: No such file"),
    ],
)
def test_what_is_malformed_is_named(read: Any, top: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        read(top)
