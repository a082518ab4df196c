"""The layers of TensorFlow's graphs, against those of the ONNX file that they were made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from facekit.errors import WeightsError
from facekit.summary import summary

pytestmark = pytest.mark.usefixtures("require_tensorflow")


@pytest.mark.parametrize("name", ["frozen_inference_graph.pb", "saved_model_2x", "float.tflite"])
def test_kernels_and_their_cost_are_tiny_ssds(name: str, tfod_graph: Callable[[str], Path]) -> None:
    convolutions = [layer for layer in summary("tiny_ssd").layers if layer.kind == "Conv"]
    found = summary("tfod", tfod_graph(name))
    assert len([layer for layer in found.layers if "onv" in layer.kind.lower()]) == 55
    assert found.macs == sum(layer.macs for layer in convolutions)
    # Biases are additions of TensorFlow's here, which only TFLite makes part of the layer.
    biases = sum(layer.output_shape[1] for layer in convolutions) if ".tflite" not in name else 0
    assert found.parameters == sum(layer.parameters for layer in convolutions) - biases


def test_what_has_no_summary(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"\x08\x08\x12\x04test")
    with pytest.raises(WeightsError, match="a summary reads SavedModels"):
        summary("tfod", path)
