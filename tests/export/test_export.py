from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facekit import weights
from facekit.engines import create_engine
from facekit.engines.spec import find_spec
from facekit.errors import (
    BackendError,
    MissingDependencyError,
    OutputError,
    UnknownNameError,
    WeightsError,
)
from facekit.export import export
from facekit.export.packages import load_exporter
from facekit.export.parity import trial_input
from facekit.export.target import beside

Require = Callable[[str], ModuleType]

NAMES = ["tiny_ssd", "resnet18"]


@pytest.fixture
def exporter(require: Require) -> ModuleType:
    require("onnxscript")
    require("onnx")
    return require("torch")


def checkpoint(name: str, torch: ModuleType, require: Require, path: Path) -> Path:
    """Random weights, with batch norms that do something."""
    _, spec = find_spec(name)
    module, _, network = spec.network.partition(":")
    torch.manual_seed(0)
    state = getattr(require(module), network)().state_dict()
    for key, value in state.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif key.endswith("running_mean"):
            value.normal_(std=0.1)
    if path.suffix == ".safetensors":
        metadata = {"facekit.scheme": "ibug68", "facekit.crop_scale": "1.25"}
        require("safetensors.torch").save_file(state, path, metadata=metadata)
    else:
        torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_torch_to_onnx_answers_the_same(
    name: str, exporter: ModuleType, require: Require, tmp_path: Path, astronaut_path: Path
) -> None:
    source = checkpoint(name, exporter, require, tmp_path / "net.pth")
    target = tmp_path / "net.onnx"
    report = export(name, source, target, photo=astronaut_path)
    assert report.passed
    assert 0 < report.worst < 1e-4
    assert str(astronaut_path) in str(report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.pth"]
    model = require("onnx").load(target)
    assert model.ir_version <= 10
    assert b"site-packages" not in target.read_bytes(), "no paths of this machine"
    assert str(Path(__file__).parents[2]).encode() not in target.read_bytes()
    assert [opset.version for opset in model.opset_import if not opset.domain] == [18]
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param
    assert not batch.dim_value


def test_torch_to_openvino_keeps_answers_and_metadata(
    exporter: ModuleType, require: Require, tmp_path: Path
) -> None:
    require("openvino")
    require("safetensors")
    source = checkpoint("resnet18", exporter, require, tmp_path / "net.safetensors")
    target = tmp_path / "net.xml"
    assert export("resnet18", source, target).passed
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["net.bin", "net.safetensors", "net.xml"]
    _, spec = find_spec("resnet18")
    engine = create_engine(
        target, engine=None, inputs=spec.inputs, outputs=spec.outputs, network=None
    )
    assert engine.metadata["facekit.scheme"] == "ibug68"
    assert engine.metadata["facekit.crop_scale"] == "1.25"


def test_an_export_of_another_network_is_refused(
    exporter: ModuleType, require: Require, tmp_path: Path
) -> None:
    source = checkpoint("resnet18", exporter, require, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="weights of another network"):
        export("tiny_ssd", source, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("name", NAMES)
def test_onnx_to_openvino_answers_the_same(name: str, require: Require, tmp_path: Path) -> None:
    require("openvino")
    target = tmp_path / "net.xml"
    report = export(name, None, target)
    assert report.passed
    assert "synthetic" in str(report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.bin", "net.xml"]
    _, spec = find_spec(name)
    assert tuple(report.differences) == spec.outputs
    trial, _ = trial_input(spec)
    exported, shipped = (
        create_engine(path, engine=None, inputs=spec.inputs, outputs=spec.outputs, network=None)
        for path in (target, weights.fetch(name))
    )
    for have, want in zip(exported(trial), shipped(trial), strict=True):
        np.testing.assert_allclose(have, want, atol=1e-5)
    assert shipped.metadata.items() <= exported.metadata.items()


def test_an_export_above_the_tolerance_leaves_nothing(require: Require, tmp_path: Path) -> None:
    require("openvino")
    target = tmp_path / "net.xml"
    target.write_text("the old file")
    with pytest.raises(BackendError, match=r"net\.xml: not written: largest .* above the tol"):
        export("tiny_ssd", None, target, tolerance=0)
    assert [path.name for path in tmp_path.iterdir()] == ["net.xml"]
    assert target.read_text() == "the old file"


def test_an_odd_name_is_written_as_it_is(require: Require, tmp_path: Path) -> None:
    require("openvino")
    export("tiny_ssd", "tiny_ssd", tmp_path / "net [1].v2.xml")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["net [1].v2.bin", "net [1].v2.xml"]


def test_onnx_to_onnx_is_a_copy_that_nobody_needs(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"only \.pth, \.pt, \.safetensors can be exported to"):
        export("tiny_ssd", None, tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["net.tflite", "net"])
def test_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"exported to \.onnx or \.xml"):
        export("tiny_ssd", None, tmp_path / name)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it"):
        export("tiny_ssd", None, tmp_path / "none" / "net.xml")


def test_an_unknown_backend_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny_ssd'"):
        export("tinyssd", None, tmp_path / "net.xml")


def test_a_damaged_source_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    source.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="not a readable ONNX file"):
        export("tiny_ssd", source, tmp_path / "net.xml")


@pytest.mark.parametrize(
    ("missing", "install"),
    [("openvino", "facekit[openvino]"), ("onnx", "facekit[export]")],
)
def test_a_missing_package_is_named_with_what_installs_it(
    missing: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"facekit.export.{missing}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=f"export needs '{missing}'") as caught:
        load_exporter(missing)
    assert caught.value.install == f'pip install "{install}"'


def test_a_fault_of_our_own_is_no_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"facekit\.export\.nothing"):
        load_exporter("nothing")


def test_a_graph_that_openvino_cannot_read_is_a_backend_error(
    require: Require, tmp_path: Path
) -> None:
    require("openvino")
    graph = tmp_path / "net.onnx"
    graph.write_bytes(b"damaged")
    with pytest.raises(BackendError, match=r"net\.onnx: OpenVINO cannot convert it: "):
        load_exporter("openvino").write(graph, tmp_path / "net.xml")


def test_a_module_that_torch_cannot_trace_is_a_backend_error(
    exporter: ModuleType, tmp_path: Path
) -> None:
    class Wrong(exporter.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, image: Any) -> Any:
            return image.reshape(7, -1)

    _, spec = find_spec("tiny_ssd")
    with pytest.raises(BackendError, match="torch cannot export"):
        load_exporter("onnx").write(Wrong(), spec, tmp_path / "net.onnx", {})


def test_a_folder_that_refuses_files_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"net\.xml: cannot be written: No such file"),
        beside(tmp_path / "gone" / "net.xml"),
    ):
        pytest.fail("there is no such folder")
