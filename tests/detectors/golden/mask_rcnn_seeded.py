"""Weights of Detectron2's R-CNNs that are the same everywhere, for its code and for facekit's.

Checkpoints of the model zoo are too large to ship, so parity is shown on these: each tensor is
drawn by numpy from its own name, residual branches are small, and heads are scaled so that some
regions are confident. `CONFIG` is a narrow R50-FPN for which a test takes no time.
"""

from __future__ import annotations

import math
import pickle
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CONFIG = """\
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  MASK_ON: True
  BACKBONE: {NAME: "build_resnet_fpn_backbone"}
  RESNETS:
    OUT_FEATURES: ["res2", "res3", "res4", "res5"]
    DEPTH: 50
    STEM_OUT_CHANNELS: 8
    RES2_OUT_CHANNELS: 16
    NUM_GROUPS: 2
    WIDTH_PER_GROUP: 4
  FPN: {IN_FEATURES: ["res2", "res3", "res4", "res5"], OUT_CHANNELS: 16}
  ANCHOR_GENERATOR:
    SIZES: [[32], [64], [128], [256], [512]]
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TEST: 200
    POST_NMS_TOPK_TEST: 100
  ROI_HEADS:
    NAME: "StandardROIHeads"
    IN_FEATURES: ["p2", "p3", "p4", "p5"]
    NUM_CLASSES: 8
  ROI_BOX_HEAD: {NAME: "FastRCNNConvFCHead", NUM_FC: 2, FC_DIM: 32, POOLER_RESOLUTION: 7}
  ROI_MASK_HEAD:
    NAME: "MaskRCNNConvUpsampleHead"
    NUM_CONV: 4
    CONV_DIM: 8
    POOLER_RESOLUTION: 14
INPUT: {MIN_SIZE_TEST: 192, MAX_SIZE_TEST: 320}
TEST: {DETECTIONS_PER_IMAGE: 60}
VERSION: 2
"""

# What a layer's weights are multiplied by, beside He's deviation.
_SCALES = {
    "fpn_output": 0.1,
    "objectness_logits": 1.5,
    "anchor_deltas": 0.2,
    "cls_score": 0.6,
    "bbox_pred": 0.7,
    "mask_head.predictor": 4.0,
}


def weights(shapes: Mapping[str, Sequence[int]], pixels: float = 60.0) -> dict[str, Array]:
    """Draw every tensor of a state dict.

    Args:
        shapes: By Detectron2's names.
        pixels: How large the network's input is: 60 with ``PIXEL_STD`` 1, else 1.
    """
    return {name: _draw(name, tuple(shape), pixels) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], pixels: float) -> Array:
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    noise = generator.standard_normal(shape, dtype=np.float32)
    if name.endswith("running_var"):
        return np.float32(1) + np.abs(noise) / np.float32(10)
    if name.endswith(("running_mean", "bias")):
        return noise / np.float32(20)
    if ".norm." in name:
        size = 0.3 if ".conv3." in name else 1.0
        size = size / pixels if ".stem." in name else size
        return np.float32(size) * (1 + noise / np.float32(10))
    if "cls_score" in name:
        # Features are positive: without it one class would have every region.
        noise -= noise.mean(axis=1, keepdims=True)
    scale = next((scale for part, scale in _SCALES.items() if part in name), 1.0)
    fan_in = math.prod(shape[1:])
    if "deconv" in name:
        fan_in = shape[0]
    return noise * np.float32(scale * np.sqrt(2 / fan_in))


def write(folder: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Path]:
    """Write `CONFIG` and its weights, as the model zoo does; return the adapter's options."""
    config, path = folder / "narrow.yaml", folder / "narrow.pkl"
    config.write_text(CONFIG, encoding="utf-8")
    zoo = {"model": weights(shapes), "__author__": "seeded"}
    path.write_bytes(pickle.dumps(zoo, protocol=4))
    return {"config": config, "weights": path}
