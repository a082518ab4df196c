"""Detectron2's YAML configurations, as far as they say how a Faster or Mask R-CNN answers.

Keys that only training reads are passed over; what facekit's network cannot do is refused. Defaults
are those of ``detectron2/config/defaults.py`` (commit 02b5c4e).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facekit.detectors._coco_names import COCO_NAMES
from facekit.errors import ConfigError
from facekit.networks.mask_rcnn_settings import (
    BoxHeadSettings,
    FpnSettings,
    MaskHeadSettings,
    MaskRCNNSettings,
    Norm,
    PoolerSettings,
    ResNetSettings,
    RpnSettings,
)

__all__ = [
    "FPN_BASE",
    "Detectron2Config",
    "laid_over",
    "parse_config",
    "read_config",
    "read_values",
]

SUPPORTED: Final = "supported are Faster and Mask R-CNN with a ResNet or ResNeXt of depth 50 to 152"
_BASE: Final = "_BASE_"
_LEVELS: Final = ("p2", "p3", "p4", "p5", "p6")
_TRUNK: Final = ("res2", "res3", "res4", "res5")

Quad = tuple[float, float, float, float]
Triple = tuple[float, float, float]
PoolerType = Literal["ROIAlignV2", "ROIAlign"]


class _Section(BaseModel):
    """A section; keys that are not of interest are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)


class _Input(_Section):
    MIN_SIZE_TEST: int = Field(default=800, ge=0)
    MAX_SIZE_TEST: int = Field(default=1333, ge=1)
    FORMAT: Literal["BGR", "RGB"] = "BGR"


class _Backbone(_Section):
    NAME: str = "build_resnet_backbone"


class _ResNets(_Section):
    DEPTH: Literal[50, 101, 152] = 50
    OUT_FEATURES: tuple[str, ...] = ("res4",)
    NUM_GROUPS: int = Field(default=1, ge=1)
    WIDTH_PER_GROUP: int = Field(default=64, ge=1)
    STEM_OUT_CHANNELS: int = Field(default=64, ge=1)
    RES2_OUT_CHANNELS: int = Field(default=256, ge=1)
    STRIDE_IN_1X1: bool = True
    NORM: Norm = "FrozenBN"
    RES5_DILATION: int = 1
    DEFORM_ON_PER_STAGE: tuple[bool, ...] = (False,) * 4


class _Fpn(_Section):
    IN_FEATURES: tuple[str, ...] = ()
    OUT_CHANNELS: int = Field(default=256, ge=1)
    NORM: Norm = ""
    FUSE_TYPE: Literal["sum", "avg"] = "sum"


class _ProposalGenerator(_Section):
    NAME: str = "RPN"
    MIN_SIZE: float = 0


class _AnchorGenerator(_Section):
    NAME: str = "DefaultAnchorGenerator"
    SIZES: tuple[tuple[float, ...], ...] = ((32, 64, 128, 256, 512),)
    ASPECT_RATIOS: tuple[tuple[float, ...], ...] = ((0.5, 1.0, 2.0),)
    OFFSET: float = Field(default=0.0, ge=0, lt=1)


class _Rpn(_Section):
    HEAD_NAME: str = "StandardRPNHead"
    IN_FEATURES: tuple[str, ...] = ("res4",)
    BBOX_REG_WEIGHTS: Quad = (1.0, 1.0, 1.0, 1.0)
    PRE_NMS_TOPK_TEST: int = Field(default=6000, ge=1)
    POST_NMS_TOPK_TEST: int = Field(default=1000, ge=1)
    NMS_THRESH: float = 0.7
    CONV_DIMS: tuple[int, ...] = Field(default=(-1,), min_length=1)


class _RoiHeads(_Section):
    NAME: str = "Res5ROIHeads"
    IN_FEATURES: tuple[str, ...] = ("res4",)
    NUM_CLASSES: int = Field(default=80, ge=1)
    SCORE_THRESH_TEST: float = Field(default=0.05, ge=0, le=1)
    NMS_THRESH_TEST: float = 0.5


class _BoxHead(_Section):
    NAME: str = ""
    POOLER_TYPE: PoolerType = "ROIAlignV2"
    POOLER_RESOLUTION: int = Field(default=14, ge=1)
    POOLER_SAMPLING_RATIO: int = 0
    NUM_CONV: int = Field(default=0, ge=0)
    CONV_DIM: int = Field(default=256, ge=1)
    NORM: Norm = ""
    NUM_FC: int = Field(default=0, ge=0)
    FC_DIM: int = Field(default=1024, ge=1)
    CLS_AGNOSTIC_BBOX_REG: bool = False
    BBOX_REG_WEIGHTS: Quad = (10.0, 10.0, 5.0, 5.0)
    USE_SIGMOID_CE: bool = False


class _MaskHead(_Section):
    NAME: str = "MaskRCNNConvUpsampleHead"
    POOLER_TYPE: PoolerType = "ROIAlignV2"
    POOLER_RESOLUTION: int = Field(default=14, ge=1)
    POOLER_SAMPLING_RATIO: int = 0
    NUM_CONV: int = Field(default=0, ge=0)
    CONV_DIM: int = Field(default=256, ge=1)
    NORM: Norm = ""
    CLS_AGNOSTIC_MASK: bool = False


class _Model(_Section):
    META_ARCHITECTURE: str = "GeneralizedRCNN"
    LOAD_PROPOSALS: bool = False
    MASK_ON: bool = False
    KEYPOINT_ON: bool = False
    PIXEL_MEAN: Triple = (103.530, 116.280, 123.675)
    PIXEL_STD: Triple = (1.0, 1.0, 1.0)
    BACKBONE: _Backbone = _Backbone()
    RESNETS: _ResNets = _ResNets()
    FPN: _Fpn = _Fpn()
    PROPOSAL_GENERATOR: _ProposalGenerator = _ProposalGenerator()
    ANCHOR_GENERATOR: _AnchorGenerator = _AnchorGenerator()
    RPN: _Rpn = _Rpn()
    ROI_HEADS: _RoiHeads = _RoiHeads()
    ROI_BOX_HEAD: _BoxHead = _BoxHead()
    ROI_MASK_HEAD: _MaskHead = _MaskHead()


class _Test(_Section):
    DETECTIONS_PER_IMAGE: int = 100


class _Datasets(_Section):
    TRAIN: tuple[str, ...] = ()
    TEST: tuple[str, ...] = ()


class Detectron2Config(_Section):
    """The keys of a configuration that inference reads, under Detectron2's own names."""

    DATASETS: _Datasets = _Datasets()
    INPUT: _Input = _Input()
    MODEL: _Model = _Model()
    TEST: _Test = _Test()

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes: COCO's by its name, ``face`` for one, or numbers."""
        count = self.MODEL.ROI_HEADS.NUM_CLASSES
        named = (*self.DATASETS.TEST, *self.DATASETS.TRAIN)
        if count == len(COCO_NAMES) and any(name.startswith("coco_20") for name in named):
            return COCO_NAMES
        return ("face",) if count == 1 else tuple(str(index) for index in range(count))

    def settings(self) -> MaskRCNNSettings:
        """Return what the network is built from."""
        model = self.MODEL
        resnet, fpn, mask = model.RESNETS, model.FPN, model.ROI_MASK_HEAD
        return MaskRCNNSettings(
            classes=model.ROI_HEADS.NUM_CLASSES,
            pixel_mean=model.PIXEL_MEAN,
            pixel_std=model.PIXEL_STD,
            resnet=ResNetSettings(
                depth=resnet.DEPTH,
                groups=resnet.NUM_GROUPS,
                width_per_group=resnet.WIDTH_PER_GROUP,
                stem_channels=resnet.STEM_OUT_CHANNELS,
                res2_channels=resnet.RES2_OUT_CHANNELS,
                stride_in_1x1=resnet.STRIDE_IN_1X1,
                norm=resnet.NORM,
            ),
            fpn=FpnSettings(channels=fpn.OUT_CHANNELS, norm=fpn.NORM, fuse=fpn.FUSE_TYPE),
            rpn=self._rpn(),
            box=self._box(),
            mask=MaskHeadSettings(
                pooler=_pooler(mask),
                convs=mask.NUM_CONV,
                conv_dim=mask.CONV_DIM,
                norm=mask.NORM,
                agnostic=mask.CLS_AGNOSTIC_MASK,
            )
            if model.MASK_ON
            else None,
        )

    def _rpn(self) -> RpnSettings:
        """Return the settings of what proposes regions."""
        model, anchors = self.MODEL, self.MODEL.ANCHOR_GENERATOR
        sizes, ratios = anchors.SIZES, anchors.ASPECT_RATIOS
        return RpnSettings(
            sizes=sizes * len(_LEVELS) if len(sizes) == 1 else sizes,
            ratios=ratios * len(_LEVELS) if len(ratios) == 1 else ratios,
            offset=anchors.OFFSET,
            conv_dims=model.RPN.CONV_DIMS,
            box_weights=model.RPN.BBOX_REG_WEIGHTS,
            before_nms=model.RPN.PRE_NMS_TOPK_TEST,
            after_nms=model.RPN.POST_NMS_TOPK_TEST,
            nms_threshold=model.RPN.NMS_THRESH,
            min_size=model.PROPOSAL_GENERATOR.MIN_SIZE,
        )

    def _box(self) -> BoxHeadSettings:
        """Return the settings of what scores regions."""
        heads, box = self.MODEL.ROI_HEADS, self.MODEL.ROI_BOX_HEAD
        return BoxHeadSettings(
            pooler=_pooler(box),
            convs=box.NUM_CONV,
            conv_dim=box.CONV_DIM,
            norm=box.NORM,
            fcs=box.NUM_FC,
            fc_dim=box.FC_DIM,
            agnostic=box.CLS_AGNOSTIC_BBOX_REG,
            box_weights=box.BBOX_REG_WEIGHTS,
            score_threshold=heads.SCORE_THRESH_TEST,
            nms_threshold=heads.NMS_THRESH_TEST,
            detections=self.TEST.DETECTIONS_PER_IMAGE,
        )


def _pooler(head: _BoxHead | _MaskHead) -> PoolerSettings:
    return PoolerSettings(
        resolution=head.POOLER_RESOLUTION,
        sampling_ratio=head.POOLER_SAMPLING_RATIO,
        aligned=head.POOLER_TYPE == "ROIAlignV2",
    )


FPN_BASE: Final[Mapping[str, Any]] = {
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone"},
        "RESNETS": {"OUT_FEATURES": list(_TRUNK)},
        "FPN": {"IN_FEATURES": list(_TRUNK)},
        "ANCHOR_GENERATOR": {
            "SIZES": [[32], [64], [128], [256], [512]],
            "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
        },
        "RPN": {
            "IN_FEATURES": list(_LEVELS),
            "PRE_NMS_TOPK_TEST": 1000,
            "POST_NMS_TOPK_TEST": 1000,
        },
        "ROI_HEADS": {"NAME": "StandardROIHeads", "IN_FEATURES": list(_LEVELS[:-1])},
        "ROI_BOX_HEAD": {"NAME": "FastRCNNConvFCHead", "NUM_FC": 2, "POOLER_RESOLUTION": 7},
        "ROI_MASK_HEAD": {"NUM_CONV": 4, "POOLER_RESOLUTION": 14},
    },
    "VERSION": 2,
}
"""What makes Detectron2's defaults an R-CNN of depth 50 with an FPN."""


def read_config(path: Path) -> Detectron2Config:
    """Read a configuration and the ones that it is based on.

    Args:
        path: A YAML file, as written by hand, found in the model zoo or dumped by Detectron2.

    Raises:
        ConfigError: If a file is missing or no YAML, a value has a wrong type, or the model is one
            that facekit's network cannot be.
    """
    return parse_config(read_values(path), str(path))


def read_values(path: Path) -> dict[str, Any]:
    """Return the values of a configuration and the ones that it is based on, unchecked.

    Args:
        path: See `read_config`.

    Raises:
        ConfigError: If a file is missing or no YAML.
    """
    return _merged(path, ())


def parse_config(values: Mapping[str, Any], source: str) -> Detectron2Config:
    """Check a configuration's values.

    Args:
        values: Sections like ``MODEL``.
        source: Where they came from, for messages.

    Raises:
        ConfigError: If a value has a wrong type, or the model is one that facekit's network
            cannot be.
    """
    try:
        config = Detectron2Config.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        got = "" if isinstance(first["input"], Mapping) else f", got {first['input']!r}"
        raise ConfigError(f"{source}: {place}: {first['msg']}{got}") from error
    reason = _refusal(config)
    if reason:
        raise ConfigError(f"{source}: {reason}; {SUPPORTED} and an FPN, from p2 to p6")
    return config


def _merged(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return a file's values over those of its base.

    Raises:
        ConfigError: See `read_config`.
    """
    if path.resolve() in above:
        raise ConfigError(f"{path}: {_BASE} leads in a circle")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: no Detectron2 configuration") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        lines = str(error).splitlines()
        raise ConfigError(f"{path}: not plain YAML: {lines[0]}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: no Detectron2 configuration: expected sections like MODEL")
    values = {key: _decoded(value) for key, value in values.items()}
    bases = values.pop(_BASE, [])
    merged: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        folder = path.parent / Path(str(base)).expanduser()
        merged = laid_over(merged, _merged(folder, (*above, path.resolve())))
    return laid_over(merged, values)


def laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Merge sections; the second's values win.

    Args:
        base: A configuration's values.
        top: Those that win.
    """
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = laid_over(old, value) if both else value  # type: ignore[arg-type] # both are dicts
    return merged


def _decoded(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Return a value with its texts read as Python literals where they are: ``"(1, 2)"``."""
    if isinstance(value, dict):
        return {key: _decoded(inner) for key, inner in value.items()}
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError):
        return value


def _refusal(config: Detectron2Config) -> str:
    """Say what of a configuration the network cannot do; empty if it can do all of it."""
    model = config.MODEL
    anchors = model.ANCHOR_GENERATOR
    rotated = {model.PROPOSAL_GENERATOR.NAME, model.ROI_HEADS.NAME, anchors.NAME}
    ratios = {len(own) for own in anchors.ASPECT_RATIOS}
    counts = {len(own) for own in anchors.SIZES}
    checks = (
        (model.META_ARCHITECTURE != "GeneralizedRCNN", f"{model.META_ARCHITECTURE} is no R-CNN"),
        (bool(rotated & _ROTATED), "it finds rotated boxes"),
        ("Cascade" in model.ROI_HEADS.NAME, "it is a Cascade R-CNN"),
        (model.RESNETS.RES5_DILATION != 1, "it has a dilated C5 (DC5) trunk"),
        (model.ROI_HEADS.NAME == "Res5ROIHeads", "it is a C4 model, without an FPN"),
        (model.KEYPOINT_ON, "it finds keypoints (MODEL.KEYPOINT_ON)"),
        (any(model.RESNETS.DEFORM_ON_PER_STAGE), "it has deformable convolutions"),
        (model.LOAD_PROPOSALS, "it reads its proposals from files"),
        (model.ROI_BOX_HEAD.USE_SIGMOID_CE, "its scores are sigmoids (USE_SIGMOID_CE)"),
        *_names(model),
        (
            len(anchors.SIZES) not in (1, 5) or len(anchors.ASPECT_RATIOS) not in (1, 5),
            "MODEL.ANCHOR_GENERATOR: SIZES and ASPECT_RATIOS are for one level or for five",
        ),
        (len(ratios) > 1 or len(counts) > 1, "its levels have different numbers of anchors"),
        (
            model.ROI_BOX_HEAD.NUM_CONV + model.ROI_BOX_HEAD.NUM_FC == 0,
            "MODEL.ROI_BOX_HEAD has no layers",
        ),
    )
    return next((reason for refused, reason in checks if refused), "")


_ROTATED: Final = {"RRPN", "RROIHeads", "RotatedAnchorGenerator"}


def _names(model: _Model) -> list[tuple[bool, str]]:
    """Compare the names of parts with those that the network has."""
    wanted: dict[str, tuple[object, object]] = {
        "BACKBONE.NAME": (model.BACKBONE.NAME, "build_resnet_fpn_backbone"),
        "FPN.IN_FEATURES": (model.FPN.IN_FEATURES, _TRUNK),
        "PROPOSAL_GENERATOR.NAME": (model.PROPOSAL_GENERATOR.NAME, "RPN"),
        "ANCHOR_GENERATOR.NAME": (model.ANCHOR_GENERATOR.NAME, "DefaultAnchorGenerator"),
        "RPN.HEAD_NAME": (model.RPN.HEAD_NAME, "StandardRPNHead"),
        "RPN.IN_FEATURES": (model.RPN.IN_FEATURES, _LEVELS),
        "ROI_HEADS.NAME": (model.ROI_HEADS.NAME, "StandardROIHeads"),
        "ROI_HEADS.IN_FEATURES": (model.ROI_HEADS.IN_FEATURES, _LEVELS[:-1]),
        "ROI_BOX_HEAD.NAME": (model.ROI_BOX_HEAD.NAME, "FastRCNNConvFCHead"),
    }
    if model.MASK_ON:
        wanted["ROI_MASK_HEAD.NAME"] = (model.ROI_MASK_HEAD.NAME, "MaskRCNNConvUpsampleHead")
    return [
        (have != want, f"MODEL.{place} is {have!r}, not {want!r}")
        for place, (have, want) in wanted.items()
    ]
