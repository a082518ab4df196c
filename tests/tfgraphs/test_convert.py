"""``facekit export tfod``: a SavedModel of TensorFlow 2 becomes ONNX that the core runs."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import BackendError, MissingDependencyError, OutputError, WeightsError
from facekit.export import export

Make = Callable[[str], Path]
Image = npt.NDArray[np.uint8]


@pytest.fixture
def require_tf2onnx(require: Callable[[str], Any], require_tensorflow: None) -> None:  # noqa: ARG001 - asks for the package
    """Skip where tf2onnx is not installed; fail if FACEKIT_REQUIRE lists it."""
    with warnings.catch_warnings():
        # Of its own making, about itself.
        warnings.simplefilter("ignore")
        require("tf2onnx")


@pytest.mark.usefixtures("require_tf2onnx")
def test_the_core_finds_what_the_saved_model_finds(
    tfod_graph: Make, astronaut: Image, astronaut_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "exported" / "saved_model"
    shutil.copytree(tfod_graph("saved_model_2x"), source)
    (source.parent / "label_map.pbtxt").write_text("item { id: 1 name: 'visage' }\n")
    out = tmp_path / "onnx" / "faces.onnx"
    out.parent.mkdir()
    report = export("tfod", source.parent, out, photo=astronaut_path)
    assert report.passed
    assert set(report.differences) == {"boxes", "scores"}
    # What the graph does not call the face's class, the label map beside it still does.
    detector, own = (facekit.create_detector("tfod", weights=path) for path in (out, source))
    assert detector.class_names == ("visage",)
    for photo in (astronaut, astronaut[:300, 40:]):
        (found,), (want,) = detector.detect([photo]), own.detect([photo])
        assert len(found) == len(want) == 1
        np.testing.assert_allclose(found.boxes, want.boxes, rtol=0, atol=0.02)
        np.testing.assert_allclose(found.scores, want.scores, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("require_tf2onnx")
def test_a_file_that_answers_otherwise_is_not_written(tfod_graph: Make, tmp_path: Path) -> None:
    out = tmp_path / "faces.onnx"
    with pytest.raises(BackendError, match="not written: largest difference"):
        export("tfod", tfod_graph("saved_model_2x"), out, tolerance=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"\x0a\x02hi  ", "a frozen graph is not converted: .* facekit tfod export RUN"),
        (b"\x1c\0\0\0TFL3", "a TFLite model is not converted: export the SavedModel"),
        (b"\x08\x07onnx  ", "is ONNX already"),
    ],
)
def test_what_is_not_converted_says_what_is(head: bytes, match: str, tmp_path: Path) -> None:
    source = tmp_path / "graph"
    source.write_bytes(head)
    with pytest.raises(WeightsError, match=match.replace(" facekit", " 'facekit")):
        export("tfod", source, tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


def test_options_of_other_exports_are_refused(tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [{"with_nms": True}, {"weights_bits": 8}, {"int8": []}]
    for options in others:
        with pytest.raises(OutputError, match=r"tfod is exported to \.onnx, as it is, alone"):
            export("tfod", tmp_path, tmp_path / "out.onnx", **options)
    with pytest.raises(OutputError, match=r"tfod is exported to \.onnx"):
        export("tfod", tmp_path, tmp_path / "out.xml")
    with pytest.raises(WeightsError, match="has no weights of its own"):
        export("tfod", None, tmp_path / "out.onnx")


@pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is not None, reason="it is installed")
def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(MissingDependencyError, match=r"facekit\[tfod"):
        export("tfod", tmp_path, tmp_path / "out.onnx")
