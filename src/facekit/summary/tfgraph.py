"""The layers of TensorFlow's graphs, as :mod:`facekit.tfgraphs` tells them apart."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from facekit.errors import MissingDependencyError, WeightsError
from facekit.summary.layers import Layer
from facekit.tfgraphs import INSTALL_LITERT, INSTALL_TENSORFLOW, kind_of

__all__ = ["graph_layers"]

Shape = tuple[int, ...]

_TFLITE_PRODUCTS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_PRODUCTS: Final = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
_LEARNED: Final = {
    **dict.fromkeys(_PRODUCTS, (1,)),
    "BiasAdd": (1,),
    "FusedBatchNormV3": (1, 2),
}
"""Which inputs of an operation are learned; all others' constants are left out."""


def graph_layers(path: Path) -> tuple[tuple[Layer, ...], Shape]:
    """Return the layers that have learned numbers, and the shape of the input.

    Where a side may have any length it is given as 0, and so are the multiply-adds that would
    depend on it; behind a resizer of fixed size none do.

    Args:
        path: A SavedModel, frozen graph or TFLite model.

    Raises:
        WeightsError: If it is damaged, or of another kind.
        MissingDependencyError: If TensorFlow or LiteRT is not installed.
    """
    kind, place = kind_of(path)
    if kind == "tflite":
        return _of_tflite(place)
    if kind == "onnx":
        raise WeightsError(path, "a summary reads SavedModels, frozen graphs and TFLite models")
    return _of_tensorflow(kind, place)


def _of_tflite(path: Path) -> tuple[tuple[Layer, ...], Shape]:
    interpreter = _vendor("litert", "ai_edge_litert", INSTALL_LITERT).interpreter(path)
    details = {int(one["index"]): one for one in interpreter.get_tensor_details()}
    layers = []
    for operation in interpreter._get_ops_details():  # noqa: SLF001 - there is no public list
        if operation["op_name"] not in _TFLITE_PRODUCTS:
            continue
        _, *learned = (int(index) for index in operation["inputs"] if index >= 0)
        out = details[int(operation["outputs"][0])]
        sizes = [_sides(details[index]["shape"]) for index in learned]
        kind, shape = operation["op_name"], _sides(out["shape"])
        layers.append(
            Layer(
                name=out["name"].partition(";")[0],
                kind=kind,
                output_shape=shape,
                parameters=sum(map(math.prod, sizes)),
                macs=_macs(kind == "FULLY_CONNECTED", sizes[0], shape),
            )
        )
    (given,) = interpreter.get_input_details()
    return tuple(layers), _sides(given["shape"])


def _of_tensorflow(kind: str, path: Path) -> tuple[tuple[Layer, ...], Shape]:
    vendor = _vendor("tensorflow", "tensorflow", INSTALL_TENSORFLOW)
    graph = vendor.constant_graph(kind, path)
    given = next(one for one in graph.get_operations() if one.type == "Placeholder")
    return tuple(_layers(graph.get_operations())), _static(given.outputs[0])


def _layers(operations: Sequence[Any]) -> Iterator[Layer]:
    for operation in operations:
        inputs = list(operation.inputs)
        learned = [
            _static(inputs[place])
            for place in _LEARNED.get(operation.type, ())
            if _is_constant(inputs[place])
        ]
        if not learned:
            continue
        shape = _static(operation.outputs[0])
        product = operation.type in _PRODUCTS
        yield Layer(
            name=operation.name,
            kind=operation.type,
            output_shape=shape,
            parameters=sum(map(math.prod, learned)),
            macs=_macs(operation.type == "MatMul", learned[0], shape) if product else 0,
        )


def _macs(matrix: bool, weights: Shape, output: Shape) -> int:  # noqa: FBT001 - internal
    """Return the multiply-adds: a kernel's once a place, a matrix's once."""
    return math.prod(weights) * (1 if matrix else math.prod(output[1:3]))


def _is_constant(tensor: Any) -> bool:  # noqa: ANN401 - a tensor
    """Whether a tensor is stored in the graph, behind identities perhaps."""
    operation = tensor.op
    while operation.type in {"Identity", "ReadVariableOp"} and operation.inputs:
        operation = operation.inputs[0].op
    return bool(operation.type == "Const")


def _static(tensor: Any) -> Shape:  # noqa: ANN401 - a tensor
    return _sides(tensor.shape.as_list() if tensor.shape.rank is not None else ())


def _sides(sides: Sequence[int | None]) -> Shape:
    """Return sides as numbers, 0 where any length will do."""
    return tuple(max(int(side or 0), 0) for side in sides)


def _vendor(module: str, package: str, install: str) -> Any:  # noqa: ANN401 - a module
    """Import what reads a kind of graph.

    Raises:
        MissingDependencyError: If its package is not installed.
    """
    try:
        return importlib.import_module(f"facekit.tfgraphs.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingDependencyError("a summary", package, install) from error
