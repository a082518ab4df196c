"""Graphs of TensorFlow that were converted to ONNX, run by ONNX Runtime: the core alone will do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from facekit.errors import BackendError, ConfigError, WeightsError
from facekit.tfgraphs.signature import (
    Array,
    Role,
    Settings,
    TensorInfo,
    by_stem,
    find_image,
    find_outputs,
    real,
)

__all__ = ["Onnx"]

_ERRORS_ONLY: Final = 3
_TYPES: Final = {
    "tensor(float)": "float32",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(string)": "string",
}


class Onnx:
    """A converted graph; its tensors keep TensorFlow's names.

    Attributes:
        image: The tensor that the image goes into.
        first_class: As in the SavedModel or frozen graph that it was.
        pixel_range: Likewise.
        class_count: Unknown.
        outputs: The tensors that come out, by what they mean.
    """

    first_class = 1
    pixel_range = (0.0, 1.0)
    class_count = None

    def __init__(self, path: Path, settings: Settings) -> None:
        """Load the graph, and find its tensors.

        Raises:
            ConfigError: If the settings ask for another device than the CPU.
            WeightsError: If the graph is damaged or no detector.
        """
        if settings.device not in {None, "cpu"}:
            message = f"detector 'tfod': {path} runs on the cpu, not on {settings.device!r}"
            raise ConfigError(message)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # ONNX Runtime's own exceptions have no common base.
            text = " ".join(str(error).split())
            reason = f"damaged, or not an ONNX file that ONNX Runtime reads: {text[:200]}"
            raise WeightsError(path, reason) from error
        inputs = _infos(self._session.get_inputs())
        outputs = _infos(self._session.get_outputs())
        self.outputs = find_outputs(
            outputs, settings, path, known=by_stem(outputs), inputs=inputs.values()
        )
        self.image = find_image(inputs, settings, path)

    def __call__(self, batch: Array) -> dict[Role, npt.NDArray[np.float32]]:
        """Run the graph; see :class:`facekit.tfgraphs.signature.Graph`."""
        try:
            answers = self._session.run(list(self.outputs.values()), {self.image.name: batch})
        except Exception as error:
            # ONNX Runtime's own exceptions have no common base.
            text = (str(error).strip().splitlines() or [""])[0]
            message = f"detector 'tfod': ONNX Runtime failed: {type(error).__name__}: {text}"
            raise BackendError(message) from error
        plain = TensorInfo("", None, "")
        return {
            role: real(np.asarray(answer), plain)
            for role, answer in zip(self.outputs, answers, strict=True)
        }


def _infos(tensors: Iterable[Any]) -> dict[str, TensorInfo]:
    """Describe tensors as ONNX Runtime does; a side of any length has a name, or none."""
    return {
        tensor.name: TensorInfo(
            name=tensor.name,
            shape=tuple(side if isinstance(side, int) else None for side in tensor.shape),
            dtype=_TYPES.get(tensor.type, tensor.type),
        )
        for tensor in tensors
    }
