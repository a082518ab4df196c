"""An ONNX file as OpenVINO's ``.xml`` and ``.bin``."""

from __future__ import annotations

from pathlib import Path

import openvino as ov

from facekit.errors import BackendError

__all__ = ["write"]


def write(graph: Path, path: Path) -> None:
    """Convert an ONNX file, in float32; its metadata goes along.

    Args:
        graph: The ``.onnx`` file.
        path: The ``.xml`` file to be written; its ``.bin`` goes beside it.

    Raises:
        BackendError: If OpenVINO cannot convert the graph.
    """
    try:
        model = ov.Core().read_model(graph)
        # By default OpenVINO halves the weights to float16, at a cost of 1e-3 in the outputs.
        ov.save_model(model, path, compress_to_fp16=False)
    except Exception as error:
        # OpenVINO raises RuntimeError for anything that its converters find.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise BackendError(f"{graph}: OpenVINO cannot convert it: {reason}") from error
