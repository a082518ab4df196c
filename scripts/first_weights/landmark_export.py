"""The landmark network as one small ONNX file: batch norms folded, weights in 8 bits."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_files
import onnxruntime
import torch
from landmark_augment import CROP_SCALE
from onnx import helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facekit.networks.resnet18 import INPUT_SIZE, ResNet18Landmarks

if TYPE_CHECKING:
    from pathlib import Path

    from landmark_measure import Predictor
    from numpy.typing import NDArray

LEVELS = 127
"""Symmetric 8-bit levels on either side of zero."""


def fold_batch_norms(network: ResNet18Landmarks) -> ResNet18Landmarks:
    """Return a copy in evaluation mode, each batch norm folded into its convolution."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        for conv_name, norm_name in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return folded


def export_onnx(network: ResNet18Landmarks, path: Path, *, quantise: bool = True) -> None:
    """Write ``image`` -> ``landmarks`` with any batch, in one file.

    Args:
        network: The trained network.
        path: Where to.
        quantise: Whether weights are stored in 8 bits (a quarter of the size).
    """
    free = {0: torch.export.Dim("n", min=1)}
    image = torch.rand(2, 1, INPUT_SIZE, INPUT_SIZE)
    model = onnx_files.exported(fold_batch_norms(network), image, ["landmarks"], free)
    if quantise:
        _quantise_weights(model.graph)
    metadata = {"facekit.scheme": "ibug68", "facekit.crop_scale": str(CROP_SCALE)}
    helper.set_model_props(model, metadata)
    onnx_files.write(model, path)


def _quantise_weights(graph: onnx.GraphProto) -> None:
    """Store each convolution's and the last layer's weights in 8 bits with a scale per output.

    They come back as float32 by a Cast and a Mul of constants, which every runtime folds when it
    loads the file: the arithmetic stays in float32, so only the weights' rounding costs accuracy.
    """
    restored = []
    for tensor in list(graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.ndim < 2 or weights.dtype != np.float32:  # noqa: PLR2004 - biases stay
            continue
        levels, scale = _rounded(weights)
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(levels, f"{name}.levels"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        restored += [
            helper.make_node(
                "Cast", [f"{name}.levels"], [f"{name}.cast"], to=onnx.TensorProto.FLOAT
            ),
            helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]),
        ]
    for node in reversed(restored):
        graph.node.insert(0, node)


def _rounded(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return 8-bit levels and the scale of each output channel (axis 0).

    The scale is the one of a few clipping points that leaves the least squared error.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    largest = np.maximum(np.abs(rows).max(axis=1), 1e-12)
    best, scale = np.full(len(rows), np.inf), np.zeros(len(rows))
    for clipping in np.linspace(0.7, 1.0, 13):
        trial = clipping * largest / LEVELS
        levels = np.clip(np.round(rows / trial[:, None]), -LEVELS, LEVELS)
        error = ((levels * trial[:, None] - rows) ** 2).sum(axis=1)
        scale, best = np.where(error < best, trial, scale), np.minimum(error, best)
    levels = np.clip(np.round(rows / scale[:, None]), -LEVELS, LEVELS).astype(np.int8)
    shape = (len(rows),) + (1,) * (weights.ndim - 1)
    return levels.reshape(weights.shape), scale.astype(np.float32).reshape(shape)


def session_predictor(path: Path) -> Predictor:
    """Return what runs an exported file in ONNX Runtime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        (points,) = session.run(None, {"image": crops})
        return np.asarray(points, dtype=np.float32)

    return run
