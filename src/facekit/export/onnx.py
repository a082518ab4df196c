"""A torch module as an ONNX file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxscript  # noqa: F401 - torch's exporter needs it, and says so less clearly
import torch
from torch import nn

from facekit.engines.spec import NetworkSpec
from facekit.errors import BackendError
from facekit.quiet import errors_only

__all__ = ["OPSET", "finish", "traced", "write"]

OPSET = 18
"""The oldest opset that torch's exporter writes without converting down."""

_IR_VERSION = 10
"""The newest file version that ONNX Runtime 1.20, the oldest supported, reads."""

_EXAMPLE_BATCH = 2

_AXIS_NAMES = ("channels", "height", "width")

_LEAST_SIDE = 16
"""Shorter sides would be cases of their own to the tracer, which asks whether a map is 1 px."""


def write(network: nn.Module, spec: NetworkSpec, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an ONNX file with any batch size, and any length of the spec's free axes.

    Args:
        network: In evaluation mode.
        spec: The names of inputs and outputs, and the inputs' shape.
        path: The file to be written.
        metadata: What the file shall say of itself (``metadata_props``).

    Raises:
        BackendError: If torch's exporter or ONNX's checker fails.
    """
    # An example batch of 1 would be taken for a constant.
    example = tuple(torch.zeros(_EXAMPLE_BATCH, *spec.input_shape) for _ in spec.inputs)
    free = {0: torch.export.Dim("batch")}
    for axis in spec.free_axes:
        free[axis + 1] = torch.export.Dim(_AXIS_NAMES[axis], min=_LEAST_SIDE)
    model = traced(
        network,
        example,
        tuple(free for _ in spec.inputs),
        inputs=spec.inputs,
        outputs=spec.outputs,
        name=spec.network,
    )
    model.metadata_props.extend(
        onnx.StringStringEntryProto(key=key, value=value) for key, value in metadata.items()
    )
    finish(model, path, spec.network)


def traced(
    network: nn.Module,
    example: tuple[torch.Tensor, ...],
    free: Any,  # noqa: ANN401 - as torch.export's dynamic_shapes
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    name: str,
) -> onnx.ModelProto:
    """Return a torch module as an ONNX graph, without notes of the exporter's own run.

    Args:
        network: In evaluation mode.
        example: What it is run on.
        free: For each input, the axes of any length.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        name: Of the module, for messages.

    Raises:
        BackendError: If torch's exporter fails.
    """
    try:
        with errors_only("torch.onnx"), warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=free,
                verbose=False,
            )
            return _without_traces(program.model_proto)
    except OSError:
        raise
    except Exception as error:
        # The exporter traces arbitrary modules and raises anything.
        raise _failed(name, error) from error


def finish(model: onnx.ModelProto, path: Path, name: str) -> None:
    """Write a graph that ONNX's checker accepts.

    Args:
        model: The graph.
        path: The file to be written.
        name: Of the module, for messages.

    Raises:
        BackendError: If the checker does not accept it.
    """
    model.ir_version = min(model.ir_version, _IR_VERSION)
    path.write_bytes(model.SerializeToString())
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:
        # The checker has several errors of its own, without a common base.
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> BackendError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BackendError(f"torch cannot export {name} to ONNX: {reason}")


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out what the exporter notes of its own run: stack traces, with this machine's paths."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return model
