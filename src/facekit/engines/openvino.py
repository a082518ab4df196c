"""OpenVINO on the CPU: its own ``.xml`` and ``.bin`` pairs, and ONNX files."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from facekit.engines import FloatArray
from facekit.engines.graphs import check_names
from facekit.errors import BackendError, WeightsError
from facekit.protocols import Precision

__all__ = ["OpenVinoEngine"]


class OpenVinoEngine:
    """An OpenVINO IR or an ONNX file, in float32 unless bfloat16 is asked for.

    A request is OpenVINO's unit of concurrency and serves one thread at a time, so each thread
    has its own.

    Attributes:
        metadata: The text entries of the IR's runtime information, or the ONNX file's
            ``metadata_props``.
    """

    metadata: Mapping[str, str]

    def __init__(
        self,
        path: Path,
        *,
        inputs: Sequence[str],
        outputs: Sequence[str],
        network: str | None = None,
        threads: int = 0,
        precision: Precision = "f32",
    ) -> None:
        """Compile the graph; see :func:`facekit.engines.create_engine`.

        Args:
            path: The ``.xml`` file, its ``.bin`` beside it, or an ``.onnx`` file.
            inputs: The graph's inputs.
            outputs: The wanted outputs.
            network: Not needed: the file holds the graph.
            threads: CPU threads of one call; 0 means one a core.
            precision: What the graph computes in.

        Raises:
            WeightsError: If the file is damaged or of another network.
        """
        del network
        self._path, self._inputs, self._outputs = path, tuple(inputs), tuple(outputs)
        core = ov.Core()
        try:
            model = core.read_model(path)
        except Exception as error:
            # OpenVINO raises RuntimeError for anything that its readers find.
            reason = f"not a readable OpenVINO or ONNX file: {_last_line(error)}"
            raise WeightsError(path, reason) from error
        check_names(
            path,
            inputs=inputs,
            outputs=outputs,
            found_inputs=_names(model.inputs),
            found_outputs=_names(model.outputs),
        )
        self.metadata = _metadata(model)
        hints: dict[str, Any] = {
            # OpenVINO computes in bfloat16 where the CPU has it: an error of 3e-4 in the scores.
            "INFERENCE_PRECISION_HINT": precision,
            # Of 8-bit weights it also rounds the activations to 8 bits: 2e-4 of the crop's side.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        if threads:
            hints["INFERENCE_NUM_THREADS"] = threads
        self._compiled = core.compile_model(model, "CPU", hints)
        self._local = threading.local()

    def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
        """Run the graph; see :class:`facekit.engines.Engine`."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        feeds = dict(zip(self._inputs, arrays, strict=True))
        self._check_shapes(feeds)
        try:
            results = self._local.request.infer(feeds)
        except Exception as error:
            # OpenVINO raises RuntimeError for anything that its plug-in finds.
            message = f"{self._path}: OpenVINO failed: {_last_line(error)}"
            raise BackendError(message) from error
        return tuple(np.array(results[name], dtype=np.float32) for name in self._outputs)

    def _check_shapes(self, feeds: Mapping[str, FloatArray]) -> None:
        """Check the inputs: on one thread OpenVINO 2026.4 answers wrong shapes with noise.

        Raises:
            BackendError: If an array has another shape than the graph's input.
        """
        for name, array in feeds.items():
            expected = self._compiled.input(name).partial_shape
            if not expected.compatible(ov.PartialShape(list(array.shape))):
                message = (
                    f"{self._path}: OpenVINO failed: input {name!r} has shape {array.shape}, "
                    f"expected {expected}"
                )
                raise BackendError(message)


def _names(ports: Sequence[Any]) -> list[str]:
    """Return every name of every port; OpenVINO gives a tensor all the names it ever had."""
    return [name for port in ports for name in sorted(port.names)]


def _metadata(model: Any) -> dict[str, str]:  # noqa: ANN401 - openvino has no types
    """Return the model's runtime information as flat text."""
    information = dict(model.get_rt_info().items())
    # OpenVINO's ONNX reader puts the file's metadata_props here, and a saved IR keeps them here.
    information |= information.pop("framework", {})
    values = {key: getattr(value, "value", None) for key, value in information.items()}
    return {key: value for key, value in values.items() if isinstance(value, str)}


def _last_line(error: Exception) -> str:
    """Return the last line of a message, which names the cause; the C++ frames come first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
