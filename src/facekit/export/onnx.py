"""A torch module as an ONNX file."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnxscript  # noqa: F401 - torch's exporter needs it, and says so less clearly
import torch
from torch import nn

from facekit.engines.spec import NetworkSpec
from facekit.errors import BackendError

__all__ = ["OPSET", "write"]

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
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=spec.inputs,
                output_names=spec.outputs,
                dynamic_shapes=tuple(free for _ in spec.inputs),
                verbose=False,
            )
            program.model.ir_version = min(program.model.ir_version, _IR_VERSION)
            program.model.metadata_props.update(metadata)
            program.save(path, external_data=False)
            _leave_out_traces(path)
            onnx.checker.check_model(path, full_check=True)
    except OSError:
        raise
    except Exception as error:
        # The exporter traces arbitrary modules and raises anything.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackendError(f"torch cannot export {spec.network} to ONNX: {reason}") from error


def _leave_out_traces(path: Path) -> None:
    """Leave out what the exporter notes of its own run: stack traces, with this machine's paths."""
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    path.write_bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's talk of its own internals from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
