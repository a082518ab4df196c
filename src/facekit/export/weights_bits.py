"""ONNX files with weights in 8 bits: a quarter of the size, the arithmetic as it was.

Each weight of two or more dimensions is stored as 8-bit levels and a scale for each output channel,
and comes back as float32 by a Cast and a Mul of constants, which every runtime folds when it loads
the file. So nothing but the rounding of the weights costs accuracy, and nothing is calibrated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

__all__ = ["LEVELS", "SCALE", "rounded", "store_in_8_bits"]

LEVELS: Final = ".levels"
SCALE: Final = ".scale"
"""What is put behind a weight's name for its two parts."""

_LARGEST: Final = 127
_CLIPPINGS: Final = np.linspace(0.7, 1.0, 13)
_LEAST_DIMENSIONS: Final = 2
"""Biases are few, and stay."""


def store_in_8_bits(path: Path) -> None:
    """Store a file's weights in 8 bits, in place.

    Args:
        path: An ONNX file with float32 weights.
    """
    model = onnx.load(path)
    restored: list[Any] = []
    for tensor in list(model.graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.ndim < _LEAST_DIMENSIONS or weights.dtype != np.float32:
            continue
        levels, scale = rounded(weights)
        model.graph.initializer.remove(tensor)
        restored += _restoring(model.graph, tensor.name, levels, scale)
    for node in reversed(restored):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _restoring(
    graph: Any,  # noqa: ANN401 - onnx has no types
    name: str,
    levels: npt.NDArray[np.int8],
    scale: npt.NDArray[np.float32],
) -> list[Any]:
    """Add a weight's two parts to a graph, and return the nodes that join them."""
    graph.initializer.append(numpy_helper.from_array(levels, name + LEVELS))
    graph.initializer.append(numpy_helper.from_array(scale, name + SCALE))
    cast = name + ".cast"
    return [
        helper.make_node("Cast", [name + LEVELS], [cast], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [cast, name + SCALE], [name]),
    ]


def rounded(
    weights: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round weights to 8 bits with a scale for each output channel.

    Args:
        weights: ``(C, ...)`` float32, output channels first.

    Returns:
        ``(C, ...)`` int8 from -127 to 127, and ``(C, 1, ...)`` float32; their product is the
        weight. Of a few places to clip the largest at, each channel has the one that leaves the
        least squared error.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    largest = np.maximum(np.abs(rows).max(axis=1, initial=0), 1e-12)
    best, scale = np.full(len(rows), np.inf), largest / _LARGEST
    for clipping in _CLIPPINGS:
        trial = clipping * largest / _LARGEST
        error = ((_levels(rows, trial) * trial[:, None] - rows) ** 2).sum(axis=1)
        scale, best = np.where(error < best, trial, scale), np.minimum(error, best)
    shape = (len(rows),) + (1,) * (weights.ndim - 1)
    levels = _levels(rows, scale).astype(np.int8).reshape(weights.shape)
    return levels, scale.astype(np.float32).reshape(shape)


def _levels(
    rows: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return rows in whole steps of their scales."""
    levels: npt.NDArray[np.float64] = np.round(rows / scale[:, None])
    return levels.clip(-_LARGEST, _LARGEST)
