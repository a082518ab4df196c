"""Which engine reads which file, and what is said of files that none reads."""

from __future__ import annotations

import subprocess
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
    ("missing", "engine", "suffix", "extra"),
    [
        ("torch", "torch", ".pth", "torch"),
        ("safetensors", "torch", ".pth", "torch"),
        ("openvino", "openvino", ".onnx", "openvino"),
    ],
)
def test_missing_package_names_the_line_that_installs_it(
    tmp_path: Path, missing: str, engine: str, suffix: str, extra: str
) -> None:
    # A fresh interpreter in which exactly this package cannot be imported, installed or not.
    if missing == "safetensors":
        pytest.importorskip("torch", reason="torch is imported first")
    weights = tmp_path / f"w{suffix}"
    weights.write_bytes(b"x")
    code = f"""
import sys
sys.modules[{missing!r}] = None
from pathlib import Path
from facekit.engines import create_engine
from facekit.errors import MissingDependencyError
try:
    create_engine(Path({str(weights)!r}), engine={engine!r}, inputs=["a"], outputs=["b"],
                  network="facekit.networks.tiny_ssd:TinySSD")
except MissingDependencyError as error:
    assert error.package in {{{missing!r}, "safetensors"}}, error.package
    assert error.__cause__ is not None
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert f"""pip install "facekit[{extra}]\"""" in done.stdout
    assert f"engine {engine!r} needs " in done.stdout


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
