"""The wire reader against the onnx package's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facekit.errors import WeightsError
from facekit.summary.wire import read_graph, with_outputs

HERE = Path("net.onnx")


@pytest.fixture
def model(require: Callable[[str], ModuleType]) -> Any:
    """A small graph with named and unnamed nodes, attributes of every wire type, and a gap."""
    helper, numpy_helper = require("onnx.helper"), require("onnx.numpy_helper")
    floats = 1
    weights = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3)
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], name="n0", pads=[1] * 4),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1),
        helper.make_node("Clip", ["b", "", "top"], ["y"], name="Ünïcode"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", floats, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", floats, ["n", 4, 8, 8])],
        [
            numpy_helper.from_array(weights, "conv.weight"),
            numpy_helper.from_array(np.zeros(4, np.float32), "conv.bias"),
            numpy_helper.from_array(np.float32(6), "top"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def assert_same(data: bytes, model: Any) -> None:
    graph = read_graph(data, HERE)
    assert [
        (node.operator, node.name, list(node.inputs), list(node.outputs)) for node in graph.nodes
    ] == [(n.op_type, n.name, list(n.input), list(n.output)) for n in model.graph.node]
    assert {name: constant.shape for name, constant in graph.constants.items()} == {
        tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer
    }
    assert list(graph.outputs) == [output.name for output in model.graph.output]


def test_a_graph_reads_as_the_onnx_package_reads_it(model: Any) -> None:
    assert_same(model.SerializeToString(), model)


@pytest.mark.parametrize("name", ["tiny_ssd", "resnet18"])
def test_shipped_weights_read_as_the_onnx_package_reads_them(
    name: str, require: Callable[[str], ModuleType]
) -> None:
    from facekit import weights

    path = weights.fetch(name)
    assert_same(path.read_bytes(), require("onnx").load(path))


def test_numbers_packed_into_one_field_are_read(model: Any) -> None:
    # The onnx package writes repeated numbers one a field; other writers pack them into one.
    # Padded with a zero group, which varints allow, both take eight bytes.
    loose = b"\x08\x04\x08\x03\x08\x03\x08\x03"
    packed = b"\x0a\x06\x04\x03\x83\x00\x83\x00"
    data = model.SerializeToString()
    assert data.count(loose) == 1
    assert_same(data.replace(loose, packed), model)


def test_more_outputs_can_be_asked_for(model: Any, require: Callable[[str], ModuleType]) -> None:
    onnx = require("onnx")
    data = with_outputs(model.SerializeToString(), ["a", "b" * 200])
    again = onnx.load_model_from_string(data)
    assert [output.name for output in again.graph.output] == ["y", "a", "b" * 200]
    assert again.graph.node == model.graph.node
    assert_same(data, again)


def complaint(data: bytes) -> str:
    try:
        read_graph(data, HERE)
    except WeightsError as error:
        return str(error)
    return ""


def test_every_truncation_is_one_clear_error(model: Any) -> None:
    data = model.SerializeToString()
    complaints = [complaint(data[:size]) for size in range(len(data))]
    # What is cut between two fields of the model itself reads as a shorter model.
    heard = [text for text in complaints if text]
    assert len(heard) > 0.9 * len(data)
    assert all("not an ONNX file" in text for text in heard)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "there is no graph in it"),
        (b"\x3a\x00", "there is no graph in it"),
        (b"<html>", "wire type 4"),
        (b"\x3a\x7f", "127 bytes are missing at the end"),
        (b"\xff\xff", "a number is cut off at the end"),
        (b"\x3a\x04\x0a\x02\x1a\x05", "5 bytes are missing"),
        (b"\x3a\x07\x0a\x05\x22\x03\xff\xfe\xfd", "can't decode"),
    ],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read_graph(data, HERE)


def test_fixed_size_fields_are_stepped_over(model: Any) -> None:
    data = b"\x09" + bytes(8) + b"\x15" + bytes(4) + model.SerializeToString()
    assert_same(data, model)
