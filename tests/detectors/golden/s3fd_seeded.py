"""Weights of S3FD that are the same everywhere, for upstream's code and for facekit's.

The published weights cannot be shipped, so parity is shown on these: He's normal, each tensor drawn
by numpy from its own name, and heads scaled so that some cells of every map are faces.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

# How large a layer's cells are, over the three by three of them that a head sees; measured.
_HEAD_INPUTS = {
    "conv3_3": 10.0,
    "conv4_3": 8.0,
    "conv5_3": 5.0,
    "fc7": 6e3,
    "conv6_2": 5e3,
    "conv7_2": 4e3,
}
_SCALES = {"3_3": 10.0, "4_3": 8.0, "5_3": 5.0}
# By the first map, the others: large, so that only some cells are faces.
_MARGINS = (3.75, 2.0)


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, npt.NDArray[np.float32]]:
    """Draw every tensor of a state dict, in clcarwin's names or in those of ``sfd_face.pth``."""
    return {name: _draw(name, tuple(shape)).astype(np.float32) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    noise = generator.standard_normal(shape)
    for layer, scale in _SCALES.items():
        if name in {f"conv{layer}_norm.weight", f"L2Norm{layer}.weight"}:
            return scale * (1 + noise / 10)
    head, kind = _head(name)
    if kind == "conf" and name.endswith("bias"):
        margin = _MARGINS[shape[0] == 2]
        return np.array([margin] * (shape[0] - 1) + [-margin]) + noise / 10
    if head and name.endswith("weight"):
        return noise / _HEAD_INPUTS[head]
    if name.endswith("bias"):
        return noise / 10
    scaled: npt.NDArray[np.float64] = noise * np.sqrt(2 / np.prod(shape[1:]))
    return scaled


def _head(name: str) -> tuple[str, str]:
    """Return the layer that a head reads and the head's kind, or nothing."""
    parts = name.split(".")
    if parts[0] in {"conf", "loc"}:
        return list(_HEAD_INPUTS)[int(parts[1])], parts[0]
    if "_mbox_" in parts[0]:
        layer, _, kind = parts[0].partition("_mbox_")
        return layer.removesuffix("_norm"), kind
    return "", ""
