"""SavedModels that detect as ONNX, by tf2onnx."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Final

from facekit.coexistence import make_peace
from facekit.errors import BackendError
from facekit.quiet import errors_only
from facekit.tfgraphs.tensorflow import SavedModel

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
make_peace()

import tensorflow as tf  # noqa: E402
import tf2onnx  # noqa: E402

__all__ = ["OPSET", "write"]

OPSET: Final = 18


def write(graph: SavedModel, path: Path) -> None:
    """Convert a loaded SavedModel; its input and outputs keep their names.

    Args:
        graph: Of its outputs those are kept that mean something to a detector.
        path: The ``.onnx`` to be written.

    Raises:
        BackendError: If tf2onnx fails.
    """
    image, function, kept = graph.image, graph.function, list(graph.outputs.values())

    def detect(pixels: Any) -> Any:  # noqa: ANN401 - tensors
        found = function(**{image.name: pixels})
        return {name: found[name] for name in kept}

    spec = tf.TensorSpec(image.shape, image.dtype, name=image.name)
    try:
        # It tells of every function that it cannot fold away, and of TensorFlow's version.
        with errors_only("tf2onnx"), warnings.catch_warnings(action="ignore"):
            tf2onnx.convert.from_function(
                tf.function(detect, autograph=False),
                input_signature=[spec],
                opset=OPSET,
                output_path=str(path),
            )
    except Exception as error:
        # A graph may hold any operation, and tf2onnx fails in its own ways on those it lacks.
        text = (str(error).strip().splitlines() or [""])[0]
        message = f"tf2onnx {tf2onnx.__version__} failed: {type(error).__name__}: {text}"
        raise BackendError(message) from error
