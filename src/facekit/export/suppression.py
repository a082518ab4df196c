"""Decoding and suppression attached to a network's file, so that it answers with boxes.

What follows a network is its adapter's: a module that the network's spec names, with ``INPUTS``,
``graph()``, an ONNX graph whose outputs are :data:`OUTPUTS`, and ``reference(*answers)``, which
does the same in numpy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.compose

from facekit.engines import FloatArray, create_engine
from facekit.engines.spec import NetworkSpec
from facekit.errors import BackendError, ConfigError

__all__ = ["OUTPUTS", "add"]

OUTPUTS: Final = ("boxes", "scores", "images")
"""Of all images of a batch together: ``(k, 4)``, ``(k,)`` and whose they are ``(k,)``."""

_TOLERANCE: Final = 1e-3
"""Of pixels and scores."""


def add(path: Path, spec: NetworkSpec, trial: FloatArray) -> float:
    """Attach what follows a network to its file, in place; the input gets its declared size.

    Args:
        path: An ``.onnx`` file, or an ``.xml`` file with its ``.bin`` beside it.
        spec: What the backend declares.
        trial: What the file is asked with and without, ``(n, *spec.input_shape)``.

    Returns:
        The largest difference of its answers from the reference.

    Raises:
        ConfigError: If nothing is known to follow this network.
        BackendError: If the two do not fit together, or the file answers otherwise.
    """
    if spec.suppression is None:
        raise ConfigError(f"{path.name}: suppression is known of the detector tiny_ssd alone")
    after: Any = importlib.import_module(spec.suppression)
    wanted = after.reference(*_answers(path, spec, spec.outputs, trial))
    ends = dict(zip(spec.outputs, after.INPUTS, strict=True))
    try:
        _attach(path, spec, after.graph(), ends)
    except (ModuleNotFoundError, OSError):
        raise
    except Exception as error:
        # ONNX and OpenVINO raise anything for graphs that do not fit.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise BackendError(f"{path.name}: suppression cannot be attached: {reason}") from error
    have = _answers(path, spec, OUTPUTS, trial)
    worst = max(map(_difference, wanted, have))
    if not worst <= _TOLERANCE:
        message = f"not written: with suppression inside it answers otherwise, by {worst:.2g}"
        raise BackendError(f"{path.name}: {message}")
    return worst


def _answers(
    path: Path, spec: NetworkSpec, outputs: tuple[str, ...], trial: FloatArray
) -> tuple[FloatArray, ...]:
    engine = create_engine(path, engine=None, inputs=spec.inputs, outputs=outputs, network=None)
    return engine(*[trial for _ in spec.inputs])


def _difference(wanted: FloatArray, have: FloatArray) -> float:
    if wanted.shape != have.shape:
        return float("inf")
    return float(np.max(np.abs(wanted - have), initial=0))


def _attach(path: Path, spec: NetworkSpec, graph: onnx.ModelProto, ends: Mapping[str, str]) -> None:
    if path.suffix.lower() == ".xml":
        from facekit.export import openvino  # noqa: PLC0415 - which .onnx does not need

        openvino.attach(path, spec, graph.SerializeToString(), ends)
        return
    network = onnx.load(path)
    for value in network.graph.input:
        sides = value.type.tensor_type.shape.dim[1:]
        for side, length in zip(sides, spec.input_shape, strict=True):
            side.dim_value = length
    for value in network.graph.output:
        # Its free lengths have the input's names.
        value.type.tensor_type.ClearField("shape")
    graph.ir_version = network.ir_version
    both = onnx.compose.merge_models(network, graph, io_map=list(ends.items()))
    del both.metadata_props[:]
    both.metadata_props.extend(network.metadata_props)
    onnx.checker.check_model(both, full_check=True)
    path.write_bytes(both.SerializeToString())
