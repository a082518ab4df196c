"""A trained tiny SSD as one ONNX file, its batch norms folded into its convolutions."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Final

import onnx_files
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facekit.networks.tiny_ssd import TinySSD

FREE_AXES: Final = ((0, "n", 1), (2, "height", 16), (3, "width", 16))
"""Axis of the input, its name and its least length."""


def fold_batch_norms(network: TinySSD) -> TinySSD:
    """A copy in evaluation mode, each batch norm after a convolution folded into it.

    The batch norm on the input stays: before zero padding it cannot be folded exactly.
    """
    folded = copy.deepcopy(network).eval()
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for (name, child), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(child, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, norm))
                setattr(parent, after, nn.Identity())
    return folded


def export_onnx(network: TinySSD, path: Path) -> None:
    """Write `image` -> `logits`, `deltas` with any batch, height and width, in one file."""
    free = {axis: torch.export.Dim(name, min=least) for axis, name, least in FREE_AXES}
    image = torch.rand(2, 3, 300, 300)
    model = onnx_files.exported(fold_batch_norms(network), image, ["logits", "deltas"], free)
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = "anchors"
    onnx_files.write(model, path)


def largest_difference(network: TinySSD, path: Path, images: Tensor) -> float:
    """How far the file's outputs are from the network's own over a batch (n, 3, h, w)."""
    with torch.no_grad():
        expected = network.eval()(images)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": images.numpy()})
    return max(
        float((torch.from_numpy(a) - b).abs().max()) for a, b in zip(found, expected, strict=True)
    )
