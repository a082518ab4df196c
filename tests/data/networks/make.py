"""Write the tiny ONNX graphs beside this file: ``python make.py``, with ``onnx`` installed."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

FOLDER = Path(__file__).parent


def tensors(shapes: dict[str, list[str | int]]) -> list[onnx.ValueInfoProto]:
    """Describe float32 tensors; a side that is a word is free."""
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]


def write(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[str | int]],
    outputs: dict[str, list[str | int]],
    metadata: dict[str, str],
) -> None:
    """Write one graph of float32 tensors."""
    graph = helper.make_graph(nodes, name, tensors(inputs), tensors(outputs))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="facekit"
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, FOLDER / f"{name}.onnx")


def pooled(name: str, metadata: dict[str, str]) -> None:
    """Write a graph with every adapter's names, and shapes of none."""
    means = ("logits", "deltas", "landmarks")
    write(
        name,
        [helper.make_node("GlobalAveragePool", ["image"], [output]) for output in means],
        {"image": ["n", "c", "h", "w"]},
        {output: ["n", "c", 1, 1] for output in means},
        metadata,
    )


write(
    "sum_difference",
    [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["diff"])],
    {"a": ["n"], "b": ["n"]},
    {"sum": ["n"], "diff": ["n"]},
    {"facekit.note": "a + b, a - b"},
)
pooled("pooled", {})
pooled("pooled_wflw98", {"facekit.scheme": "wflw98"})
pooled("pooled_crop_scale_wide", {"facekit.crop_scale": "wide"})
