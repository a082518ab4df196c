"""A graph of TensorFlow's that became ONNX: the core alone runs it, from Python and the shell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import BackendError, ConfigError, WeightsError

Image = npt.NDArray[np.uint8]


@pytest.fixture
def graph(require: Callable[[str], ModuleType], tmp_path: Path) -> Path:
    """Two boxes, the score of one is the photo's mean brightness; named as a converter does."""
    onnx: Any = require("onnx")
    h, t = onnx.helper, onnx.TensorProto
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1]]], np.float32)
    low = np.array([[0.1]], np.float32)
    nodes = [
        h.make_node("Cast", ["input_tensor"], ["pixels"], to=t.FLOAT),
        h.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        h.make_node("Div", ["mean", "most"], ["bright"]),
        h.make_node("Unsqueeze", ["bright", "last"], ["one"]),
        h.make_node("Concat", ["low", "one"], ["detection_scores:0"], axis=1),
        h.make_node("Identity", ["corners"], ["detection_boxes:0"]),
        h.make_node("Identity", ["ones"], ["detection_classes:0"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3]),
        "most": np.float32(255),
        "last": np.array([1]),
        "low": low,
        "corners": boxes,
        "ones": np.ones((1, 2), np.float32),
    }
    model = h.make_model(
        h.make_graph(
            nodes,
            "detector",
            [h.make_tensor_value_info("input_tensor", t.UINT8, [1, None, None, 3])],
            [
                h.make_tensor_value_info("detection_boxes:0", t.FLOAT, [1, 2, 4]),
                h.make_tensor_value_info("detection_scores:0", t.FLOAT, [1, 2]),
                h.make_tensor_value_info("detection_classes:0", t.FLOAT, [1, 2]),
            ],
            [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        ),
        opset_imports=[h.make_opsetid("", 18)],
        ir_version=8,
    )
    path = tmp_path / "graph.onnx"
    onnx.save(model, path)
    return path


def test_the_core_runs_it(graph: Path, astronaut: Image) -> None:
    detector = facekit.create_detector("tfod", weights=graph, face_class=1, score_threshold=0)
    (found,) = detector.detect([astronaut[:, :256]])
    np.testing.assert_allclose(found.scores, [astronaut[:, :256].mean() / 255, 0.1], atol=1e-4)
    np.testing.assert_allclose(found.boxes[0], [0, 0, 256, 512], atol=1e-4)
    np.testing.assert_allclose(found.boxes[1], [51.2, 51.2, 153.6, 256], atol=1e-4)
    assert detector.class_names == ("face",)


def test_the_command_line_runs_it(graph: Path, astronaut_path: Path, tmp_path: Path) -> None:
    words = ["detect", astronaut_path, "--detector", "tfod", "--weights", graph]
    words += ["--option", "face_class=1", "--score-threshold", "0.2", "--landmarker", "none"]
    command = [sys.executable, "-m", "facekit", *map(str, words), "--json"]
    subprocess.run([*command, str(tmp_path / "faces.json")], check=True, capture_output=True)
    (record,) = json.loads((tmp_path / "faces.json").read_text())["images"]
    assert len(record["faces"]) == 1


def test_what_it_cannot_do_is_told(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="runs on the cpu, not on 'gpu'"):
        facekit.create_detector("tfod", weights=graph, face_class=1, device="gpu")
    with pytest.raises(ConfigError, match=r"which class of .* is the face\?"):
        facekit.create_detector("tfod", weights=graph)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(graph.read_bytes()[:150])
    with pytest.raises(WeightsError, match="damaged, or not an ONNX file"):
        facekit.create_detector("tfod", weights=cut, face_class=1)
    detector: Any = facekit.create_detector("tfod", weights=graph, face_class=1)
    with pytest.raises(BackendError, match="ONNX Runtime failed"):
        detector._forward(np.zeros((1, 8, 8, 3), np.float32))


def test_a_network_of_something_else_is_no_detector() -> None:
    shipped = Path(facekit.__file__).parent / "bundled" / "tiny_ssd.onnx"
    with pytest.raises(WeightsError, match=r"no detector: it takes image float32.*gives logits"):
        facekit.create_detector("tfod", weights=shipped)
