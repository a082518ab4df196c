"""ONNX files as arrays, for whatever network shall be trained on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import MissingDependencyError, WeightsError

__all__ = ["stored_arrays"]

_LEVELS, _SCALE = ".levels", ".scale"  # as facekit.export.weights_bits names them
_WITH_BIAS = 3


def _read_model(path: Path) -> tuple[Any, Any]:
    """Read an ONNX file.

    Args:
        path: The file.

    Returns:
        The model, and onnx's ``numpy_helper``.

    Raises:
        WeightsError: If it is damaged.
        MissingDependencyError: If onnx is not installed.
    """
    try:
        import onnx  # noqa: PLC0415 - only going on from an exported file needs it
        from onnx import numpy_helper  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("training", "onnx", 'pip install "facekit[export]"') from error
    try:
        model = onnx.load(path)
    except Exception as error:
        # protobuf's and onnx's own exceptions have no common base.
        raise WeightsError(path, f"not a readable ONNX file: {error}") from error
    return model, numpy_helper


def stored_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read an ONNX file's weights, those in 8 bits restored.

    Args:
        path: The file.

    Returns:
        Arrays in the graph's order by the names that torch's exporter gave them, a convolution's
        bias as ``<convolution>.bias``; and the file's metadata.

    Raises:
        WeightsError: If it is damaged.
        MissingDependencyError: If onnx is not installed.
    """
    model, numpy_helper = _read_model(path)
    found = {one.name: np.array(numpy_helper.to_array(one)) for one in model.graph.initializer}
    for name in [one for one in found if one.endswith(_LEVELS)]:
        whole = name.removesuffix(_LEVELS)
        found[whole] = found[name].astype(np.float32) * found[whole + _SCALE]
    for node in model.graph.node:
        # An exporter may call a folded bias anything; its convolution's weight has the name.
        if node.op_type == "Conv" and len(node.input) == _WITH_BIAS:
            found[f"{node.input[1].removesuffix('.weight')}.bias"] = found[node.input[2]]
    return found, {one.key: one.value for one in model.metadata_props}
