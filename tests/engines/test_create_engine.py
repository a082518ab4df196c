"""Which engine reads which file, and what is said of files that none reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from facekit.engines import create_engine
from facekit.engines.onnxruntime import OnnxRuntimeEngine
from facekit.errors import MissingDependencyError, WeightsError

SUM = Path(__file__).parents[1] / "data" / "networks" / "sum_difference.onnx"


def create(path: Path, **changes: Any) -> Any:
    options = {"engine": None, "inputs": ["a", "b"], "outputs": ["sum"], "network": None}
    return create_engine(path, **(options | changes))


def test_the_suffix_names_the_engine() -> None:
    assert isinstance(create(SUM), OnnxRuntimeEngine)


def test_upper_case_suffix(tmp_path: Path) -> None:
    shouted = tmp_path / "SUM.ONNX"
    shouted.write_bytes(SUM.read_bytes())
    assert isinstance(create(shouted), OnnxRuntimeEngine)


def test_missing_file() -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.onnx: no such file"):
        create(Path("nowhere.onnx"))


@pytest.mark.parametrize("name", ["weights.h5", "weights"])
def test_unknown_suffix_lists_the_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"no engine reads .*\.onnx, \.xml, \.pth"):
        create(tmp_path / name)


def test_an_engine_that_does_not_read_the_suffix_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"x")
    with pytest.raises(
        WeightsError, match=r"'onnxruntime' reads \.onnx: .*facekit export.*'torch'"
    ):
        create(tmp_path / "w.pth", engine="onnxruntime")


@pytest.mark.parametrize(
    ("missing", "engine", "suffix"),
    [
        ("torch", "torch", ".pth"),
        ("safetensors", "torch", ".pth"),
        ("openvino", "openvino", ".onnx"),
    ],
)
def test_missing_package_names_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    missing: str,
    engine: str,
    suffix: str,
) -> None:
    # Python's own way to make an import fail, whether the package is installed or not.
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"facekit.engines.{engine}", raising=False)
    weights = tmp_path / f"w{suffix}"
    weights.write_bytes(b"x")
    with pytest.raises(MissingDependencyError) as caught:
        create(weights, engine=engine)
    assert str(caught.value).startswith(f"engine {engine!r} needs ")
    assert str(caught.value).endswith(f'run: pip install "facekit[{engine}]"')
    assert caught.value.__cause__ is not None


def test_a_broken_engine_package_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # openvino is there but imports something that is not.
    (tmp_path / "openvino.py").write_text("import no_such_module_of_openvino\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("openvino", "facekit.engines.openvino"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_openvino") as caught:
        create(SUM, engine="openvino")
    assert not isinstance(caught.value, MissingDependencyError)
    monkeypatch.delitem(sys.modules, "facekit.engines.openvino", raising=False)
