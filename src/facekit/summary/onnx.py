"""The layers of an ONNX file, with nothing but ONNX Runtime.

Shapes are not inferred by rules but seen: the graph runs once with every tensor as an output.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from facekit.engines.spec import NetworkSpec
from facekit.errors import WeightsError
from facekit.summary.layers import Layer
from facekit.summary.wire import Graph, Node, read_graph, with_outputs

__all__ = ["onnx_layers"]

_ERROR_SEVERITY = 3

# Which inputs of an operator are learned; of all others, none.
_LEARNED: Mapping[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "Gemm": (1, 2),
    "QGemm": (3, 6),
    "MatMul": (0, 1),
    "MatMulInteger": (1,),
    "QLinearMatMul": (3,),
    "BatchNormalization": (1, 2),
    "PRelu": (1,),
    "Add": (0, 1),
    "Mul": (0, 1),
}

# Where a product's weights are: a convolution's factor, and what a matrix product sums over.
_CONVOLUTION_WEIGHTS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_MATRIX_FACTORS = {"Gemm": 0, "QGemm": 0, "MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0}

_BOOKKEEPING = frozenset(
    {"DequantizeLinear", "DynamicQuantizeLinear", "Identity", "QuantizeLinear"}
)

_LABEL = re.compile(r"(.+)\.(?:weight|bias|slope)")
"""Constants that are named as torch names parameters, whatever a quantiser appends."""


def onnx_layers(path: Path, spec: NetworkSpec) -> tuple[Layer, ...]:
    """Return the layers of an ONNX file.

    Shape arithmetic and the steps between float and quantised numbers are left out; a quantised
    weight counts as one parameter.

    Args:
        path: The file.
        spec: What goes in.

    Raises:
        WeightsError: If the file is damaged or of another network.
    """
    data = path.read_bytes()
    graph = read_graph(data, path)
    return _Reader(graph, _seen(data, graph, path, spec)).layers()


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """What is known of a tensor: its shape and whether it computes or counts."""

    shape: tuple[int, ...]
    floating: bool


def _seen(data: bytes, graph: Graph, path: Path, spec: NetworkSpec) -> dict[str, _Tensor]:
    """Run the graph on zeros, a batch of one, and look at every tensor.

    Raises:
        WeightsError: If ONNX Runtime refuses the file or the spec's input.
    """
    made = dict.fromkeys(name for node in graph.nodes for name in node.outputs if name)
    options = ort.SessionOptions()
    options.log_severity_level = _ERROR_SEVERITY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    hidden = [name for name in made if name not in graph.outputs]
    zeros = np.zeros((1, *spec.input_shape), dtype=np.float32)
    try:
        session = ort.InferenceSession(
            with_outputs(data, hidden), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(list(made), dict.fromkeys(spec.inputs, zeros))
    except Exception as error:
        # ONNX Runtime has a dozen exceptions of its own without a common base.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(path, f"cannot be run on {spec.inputs[0]!r}: {reason}") from error
    tensors = {name: _tensor(result) for name, result in zip(made, results, strict=True)}
    return tensors | dict.fromkeys(spec.inputs, _tensor(zeros))


def _tensor(array: npt.NDArray[Any]) -> _Tensor:
    # ONNX keeps int64 for shapes and indices; quantised features have 8 bits, or 32 as sums.
    return _Tensor(array.shape, array.dtype != np.int64)


class _Reader:
    """Counts each constant once, in the order of the nodes."""

    def __init__(self, graph: Graph, tensors: Mapping[str, _Tensor]) -> None:
        self._graph = graph
        self._tensors = tensors
        self._behind = _constants_behind(graph)
        self._counted: set[str] = set()

    def layers(self) -> tuple[Layer, ...]:
        return tuple(self._layer(node) for node in self._graph.nodes if self._computes(node))

    def _computes(self, node: Node) -> bool:
        """Whether a node works on features, not on shapes or on constants alone."""
        output = node.outputs[0]
        computes = output not in self._behind and self._tensors[output].floating
        return computes and node.operator not in _BOOKKEEPING

    def _layer(self, node: Node) -> Layer:
        learned = list(self._learned(node))
        labels = [match[1] for name in learned if (match := _LABEL.match(name))]
        new = [name for name in dict.fromkeys(learned) if name not in self._counted]
        self._counted.update(new)
        return Layer(
            name=labels[0] if labels else node.name or node.outputs[0],
            kind=node.operator,
            output_shape=self._shape(node.outputs[0]),
            parameters=sum(math.prod(self._graph.constants[name].shape) for name in new),
            macs=self._macs(node),
        )

    def _learned(self, node: Node) -> Iterable[str]:
        """Yield the stored constants that a node learns; single numbers are settings."""
        for position in _LEARNED.get(node.operator, ()):
            name = node.inputs[position] if position < len(node.inputs) else ""
            # The largest are the values; a scale or a shape beside them is how they are stored.
            stored = [self._graph.constants[one] for one in self._behind.get(name, ())]
            values = max(stored, key=lambda constant: math.prod(constant.shape), default=None)
            if values is not None and values.shape:
                yield values.name

    def _shape(self, name: str) -> tuple[int, ...]:
        constant = self._graph.constants.get(name)
        return constant.shape if constant is not None else self._tensors[name].shape

    def _macs(self, node: Node) -> int:
        """Multiply-adds: each output times what it sums over; 0 for all but products."""
        outputs = math.prod(self._shape(node.outputs[0]))
        if node.operator in _CONVOLUTION_WEIGHTS:
            weights = self._shape(node.inputs[_CONVOLUTION_WEIGHTS[node.operator]])
            return outputs * math.prod(weights[1:])
        if node.operator == "ConvTranspose":
            inputs = math.prod(self._shape(node.inputs[0]))
            return inputs * math.prod(self._shape(node.inputs[1])[1:])
        if node.operator in _MATRIX_FACTORS:
            return outputs * self._shape(node.inputs[0])[-1]
        return 0


def _constants_behind(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return, for each tensor that no input of the graph reaches, the constants it is made of.

    Quantised weights are: an exporter writes them as 8-bit constants and nodes that decode them.
    """
    behind: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.constants}
    for node in graph.nodes:
        inputs = [name for name in node.inputs if name]
        if all(name in behind for name in inputs):
            made_of = tuple(one for name in inputs for one in behind[name])
            behind.update(dict.fromkeys(node.outputs, made_of))
    return behind
