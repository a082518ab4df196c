"""The layers of an ONNX file, with nothing but ONNX Runtime.

Shapes are not inferred by rules but seen: the graph runs once with every tensor as an output.
"""

from __future__ import annotations

import dataclasses
import math
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

# A constant behind these is the constant itself, stored in another form.
_STORAGE = frozenset({"Cast", "DequantizeLinear", "Identity", "Reshape", "Transpose"})
_BOOKKEEPING = frozenset(
    {"Constant", "DequantizeLinear", "DynamicQuantizeLinear", "Identity", "QuantizeLinear"}
)


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
        self._makers = {name: node for node in graph.nodes for name in node.outputs}
        self._counted: set[str] = set()

    def layers(self) -> tuple[Layer, ...]:
        return tuple(self._layer(node) for node in self._graph.nodes if self._computes(node))

    def _computes(self, node: Node) -> bool:
        """Whether a node works on features, not on shapes or storage."""
        output = self._tensors[node.outputs[0]]
        stored = all(self._stored(name) for name in node.inputs if name)
        return node.operator not in _BOOKKEEPING and output.floating and not stored

    def _layer(self, node: Node) -> Layer:
        learned = list(self._learned(node))
        label = next((name for name in learned if "." in name and "::" not in name), "")
        new = [name for name in dict.fromkeys(learned) if name not in self._counted]
        self._counted.update(new)
        return Layer(
            name=label.rpartition(".")[0] or node.name or node.outputs[0],
            kind=node.operator,
            output_shape=self._shape(node.outputs[0]),
            parameters=sum(math.prod(self._graph.constants[name].shape) for name in new),
            macs=self._macs(node),
        )

    def _learned(self, node: Node) -> Iterable[str]:
        """Yield the stored constants that a node learns; single numbers are settings."""
        for position in _LEARNED.get(node.operator, ()):
            name = node.inputs[position] if position < len(node.inputs) else ""
            stored = self._stored(name)
            if stored and self._graph.constants[stored].shape:
                yield stored

    def _stored(self, name: str) -> str:
        """Return the constant that a tensor is another form of; empty if it is none."""
        while name not in self._graph.constants:
            maker = self._makers.get(name)
            if maker is None or maker.operator not in _STORAGE:
                return ""
            name = maker.inputs[0]
        return name

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
