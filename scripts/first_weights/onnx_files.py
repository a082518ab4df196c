"""Networks as bare ONNX files: what both export scripts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import onnx
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

OPSET: Final = 18
IR_VERSION: Final = 9
"""Every ONNX Runtime since 1.17 reads it."""


def exported(
    network: nn.Module, image: Tensor, outputs: Sequence[str], free_axes: Mapping[int, Any]
) -> onnx.ModelProto:
    """Return the graph of a network, without what the exporter notes of its own run.

    Args:
        network: In evaluation mode; its one input becomes ``image``.
        image: An example of the input.
        outputs: The outputs' names.
        free_axes: Axes of the input that may have any length, as ``torch.export.Dim``.
    """
    program = torch.onnx.export(
        network,
        (image,),
        input_names=["image"],
        output_names=list(outputs),
        dynamic_shapes=(dict(free_axes),),
        opset_version=OPSET,
        dynamo=True,
    )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    return _bare(program.model_proto)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without stack traces, paths and intermediate shapes."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    model.ir_version = IR_VERSION
    return model


def write(model: onnx.ModelProto, path: Path) -> None:
    """Check a model and write it as one file."""
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
