"""ONNX Runtime on the CPU: the engine of the core install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from facekit.engines import FloatArray
from facekit.engines.graphs import check_names
from facekit.errors import BackendError, WeightsError

__all__ = ["OnnxRuntimeEngine"]

_ERROR_SEVERITY = 3


class OnnxRuntimeEngine:
    """An ``.onnx`` file; ``InferenceSession.run`` is thread safe by itself.

    Attributes:
        metadata: The file's ``metadata_props``.
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
    ) -> None:
        """Load the graph; see :func:`facekit.engines.create_engine`.

        Args:
            path: The ``.onnx`` file.
            inputs: The graph's inputs.
            outputs: The wanted outputs.
            network: Not needed: the file holds the graph.
            threads: CPU threads of one call; 0 means one a core.

        Raises:
            WeightsError: If the file is damaged or of another network.
        """
        del network
        self._path, self._inputs, self._outputs = path, list(inputs), list(outputs)
        try:
            self._session = ort.InferenceSession(
                str(path), _session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # ONNX Runtime has a dozen exceptions of its own without a common base.
            raise WeightsError(path, f"not a readable ONNX file: {_first_line(error)}") from error
        check_names(
            path,
            inputs=inputs,
            outputs=outputs,
            found_inputs=[item.name for item in self._session.get_inputs()],
            found_outputs=[item.name for item in self._session.get_outputs()],
        )
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
        """Run the graph; see :class:`facekit.engines.Engine`."""
        feeds = dict(zip(self._inputs, arrays, strict=True))
        try:
            results = self._session.run(self._outputs, feeds)
        except Exception as error:
            # As above: no common base, and the message is the only thing to go by.
            message = f"{self._path}: ONNX Runtime failed: {_first_line(error)}"
            raise BackendError(message) from error
        return tuple(np.asarray(result, dtype=np.float32) for result in results)


def _session_options(threads: int) -> ort.SessionOptions:
    """Be quiet, and let idle threads sleep.

    By default idle worker threads spin for the next operator: measured on two busy cores, that
    doubles both the CPU time and the time of a run.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ERROR_SEVERITY
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _first_line(error: Exception) -> str:
    """Return the first line of a message that may go on with a stack of C++ frames."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
