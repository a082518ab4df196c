"""Layers of ONNX files, against the onnx package's shape inference and counts by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import weights
from facekit.engines.spec import NetworkSpec, find_spec
from facekit.errors import WeightsError
from facekit.summary.layers import Layer
from facekit.summary.onnx import onnx_layers

SPEC = NetworkSpec("nowhere:Nothing", ("x",), ("y",), (3, 8, 8))
FLOAT, INT8, UINT8, INT64 = 1, 3, 2, 7

Constants = dict[str, npt.NDArray[Any]]


class Builder:
    """Writes small ONNX files."""

    def __init__(self, require: Callable[[str], ModuleType], folder: Path) -> None:
        self.onnx, self.helper = require("onnx"), require("onnx.helper")
        self.numpy_helper = require("onnx.numpy_helper")
        self.folder = folder

    def node(self, operator: str, inputs: str, output: str, **attributes: Any) -> Any:
        return self.helper.make_node(operator, inputs.split(), [output], **attributes)

    def write(self, nodes: list[Any], constants: Constants, domain: str = "") -> Path:
        graph = self.helper.make_graph(
            nodes,
            "graph",
            [self.helper.make_tensor_value_info("x", FLOAT, ["n", *SPEC.input_shape])],
            [self.onnx.ValueInfoProto(name="y")],
            [self.numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        opsets = [self.helper.make_opsetid("", 18)]
        opsets += [self.helper.make_opsetid(domain, 1)] if domain else []
        model = self.helper.make_model(graph, opset_imports=opsets, ir_version=10)
        path = self.folder / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    def layers(self, nodes: list[Any], constants: Constants) -> tuple[Layer, ...]:
        return onnx_layers(self.write(nodes, constants), SPEC)


@pytest.fixture
def build(require: Callable[[str], ModuleType], tmp_path: Path) -> Builder:
    return Builder(require, tmp_path)


def ones(*shape: int, dtype: Any = np.float32) -> npt.NDArray[Any]:
    return np.ones(shape, dtype=dtype)


def test_convolutions_count_their_outputs_times_what_they_sum(build: Builder) -> None:
    layers = build.layers(
        [
            build.node("Conv", "x stem.weight stem.bias", "a", pads=[1] * 4, strides=[2, 2]),
            build.node("Relu", "a", "b", name="act"),
            build.node("Conv", "b deep.weight", "c", group=6, pads=[1] * 4),
            build.node("ConvTranspose", "c up.weight", "y", strides=[2, 2]),
        ],
        {
            "stem.weight": ones(6, 3, 3, 3),
            "stem.bias": ones(6),
            "deep.weight": ones(6, 1, 3, 3),
            "up.weight": ones(6, 5, 2, 2),
        },
    )
    assert layers == (
        Layer("stem", "Conv", (1, 6, 4, 4), 6 * 27 + 6, 6 * 16 * 27),
        Layer("act", "Relu", (1, 6, 4, 4)),
        Layer("deep", "Conv", (1, 6, 4, 4), 54, 6 * 16 * 9),
        Layer("up", "ConvTranspose", (1, 5, 8, 8), 120, 6 * 16 * 5 * 4),
    )


def test_matrix_products_count_what_they_sum_over(build: Builder) -> None:
    layers = build.layers(
        [
            build.node("Flatten", "x", "a", name="flat"),
            build.node("Gemm", "a fc.weight fc.bias", "b", transB=1),
            build.node("PRelu", "b act.slope", "c"),
            build.node("MatMul", "c out.weight", "d"),
            build.node("Add", "d out.bias", "e"),
            build.node("Mul", "e two", "y", name="scale"),
        ],
        {
            "fc.weight": ones(10, 192),
            "fc.bias": ones(10),
            "act.slope": ones(10),
            "out.weight": ones(10, 4),
            "out.bias": ones(4),
            "two": np.float32(2) * ones(),
        },
    )
    assert [(layer.name, layer.parameters, layer.macs) for layer in layers] == [
        ("flat", 0, 0),
        ("fc", 1930, 1920),
        ("act", 10, 0),
        ("out", 40, 40),
        ("out", 4, 0),
        ("scale", 0, 0),
    ]


def test_running_statistics_are_not_learned(build: Builder) -> None:
    names = ("norm.weight", "norm.bias", "norm.mean", "norm.var")
    (layer,) = build.layers(
        [build.node("BatchNormalization", "x " + " ".join(names), "y")],
        {name: ones(3) for name in names},
    )
    assert layer == Layer("norm", "BatchNormalization", (1, 3, 8, 8), 6)


def test_shared_weights_count_once(build: Builder) -> None:
    layers = build.layers(
        [build.node("Conv", "x both.weight", "a"), build.node("Conv", "a both.weight", "y")],
        {"both.weight": ones(3, 3, 1, 1)},
    )
    assert [layer.parameters for layer in layers] == [9, 0]
    assert [layer.macs for layer in layers] == [576, 576]


def test_quantised_weights_count_as_they_are_stored(build: Builder) -> None:
    layers = build.layers(
        [
            build.node("QuantizeLinear", "x scale zero", "q"),
            build.node("DequantizeLinear", "q scale zero", "a"),
            build.node("DequantizeLinear", "conv.weight_q w_scale w_zero", "w"),
            build.node("Conv", "a w", "b"),
            build.node("QuantizeLinear", "b scale zero", "c"),
            build.node(
                "QLinearConv",
                "c scale zero next.weight w_scale w_zero scale zero next.bias",
                "d",
            ),
            build.node("DequantizeLinear", "d scale zero", "y"),
        ],
        {
            "scale": np.array(0.02, np.float32),
            "zero": np.array(128, np.uint8),
            "conv.weight_q": ones(4, 3, 3, 3, dtype=np.int8),
            "w_scale": np.array(0.1, np.float32),
            "w_zero": np.array(0, np.int8),
            "next.weight": ones(2, 4, 1, 1, dtype=np.int8),
            "next.bias": ones(2, dtype=np.int32),
        },
    )
    assert layers == (
        Layer("conv", "Conv", (1, 4, 6, 6), 108, 4 * 36 * 27),
        Layer("next", "QLinearConv", (1, 2, 6, 6), 10, 2 * 36 * 4),
    )


def test_weights_that_nodes_decode_count_as_they_are_stored(build: Builder) -> None:
    (layer,) = build.layers(
        [
            build.node("Constant", "", "to", value_ints=[4, 3, 1, 1]),
            build.node("Cast", "n.conv.weight.levels", "cast", to=FLOAT),
            build.node("Mul", "cast scale", "flat"),
            build.node("Reshape", "flat to", "w"),
            build.node("Conv", "x w n.conv.bias", "y"),
        ],
        {
            "n.conv.weight.levels": ones(4, 3, dtype=np.int8),
            "scale": ones(4, 1),
            "n.conv.bias": ones(4),
        },
    )
    assert layer == Layer("n.conv", "Conv", (1, 4, 8, 8), 16, 4 * 64 * 3)


def test_shape_arithmetic_is_left_out(build: Builder) -> None:
    layers = build.layers(
        [
            build.node("Shape", "x", "s"),
            build.node("Gather", "s first", "n"),
            build.node("Concat", "n rest", "t", axis=0),
            build.node("Constant", "", "k", value_float=1.0),
            build.node("Identity", "k", "one"),
            build.node("Add", "one one", "two", name="constant"),
            build.node("Reshape", "x t", "r", name="flat"),
            build.node("Mul", "r two", "y", name="scale"),
        ],
        {"first": np.array([0]), "rest": np.array([-1])},
    )
    assert [(layer.name, layer.output_shape) for layer in layers] == [
        ("flat", (1, 192)),
        ("scale", (1, 192)),
    ]


def test_a_node_without_any_name_is_called_by_its_output(build: Builder) -> None:
    (layer,) = build.layers([build.node("Relu", "x", "y")], {})
    assert layer.name == "y"


def test_an_input_of_another_name_or_shape_is_an_error(build: Builder) -> None:
    path = build.write([build.node("Relu", "x", "y")], {})
    for spec in (
        NetworkSpec("a:B", ("image",), ("y",), (3, 8, 8)),
        NetworkSpec("a:B", ("x",), ("y",), (4, 8, 8)),
    ):
        with pytest.raises(WeightsError, match="cannot be run on"):
            onnx_layers(path, spec)


@pytest.mark.parametrize("name", ["tiny_ssd", "resnet18"])
def test_shapes_are_those_of_the_onnx_packages_inference(
    name: str, require: Callable[[str], ModuleType]
) -> None:
    onnx = require("onnx")
    _, spec = find_spec(name)
    path = weights.fetch(name)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    for axis, side in enumerate(spec.input_shape, start=1):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in inferred.value_info
    }
    layers = onnx_layers(path, spec)
    named = {node.name: node.output[0] for node in model.graph.node if node.name}
    checked = [layer for layer in layers if layer.name in named]
    compared = [
        layer
        for layer in checked
        if named[layer.name] in shapes and math.prod(shapes[named[layer.name]])
    ]
    assert len(compared) > 10
    for layer in compared:
        assert layer.output_shape == shapes[named[layer.name]], layer.name
