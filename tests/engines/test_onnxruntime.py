"""ONNX Runtime: order of inputs and outputs, wrong and damaged files, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facekit.engines.onnxruntime import OnnxRuntimeEngine
from facekit.errors import BackendError, WeightsError

SUM = Path(__file__).parents[1] / "data" / "networks" / "sum_difference.onnx"
A = np.array([3, 5], dtype=np.float32)
B = np.array([1, 7], dtype=np.float32)


def test_inputs_and_outputs_in_the_declared_order() -> None:
    engine = OnnxRuntimeEngine(SUM, inputs=["b", "a"], outputs=["diff", "sum"], threads=1)
    difference, total = engine(B, A)
    assert difference.tolist() == [2, -2]
    assert total.tolist() == [4, 12]
    assert difference.dtype == np.float32


def test_metadata() -> None:
    engine = OnnxRuntimeEngine(SUM, inputs=["a", "b"], outputs=["sum"])
    assert engine.metadata == {"facekit.note": "a + b, a - b"}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["image"], ["logits"]),
        (["a", "b"], ["logits"]),
        (["a"], ["sum"]),
        (["a", "b", "c"], ["sum"]),
    ],
)
def test_another_network_is_told_by_its_names(inputs: list[str], outputs: list[str]) -> None:
    with pytest.raises(
        WeightsError, match=r"of another network: .* the file has \(a, b\) -> \(sum"
    ):
        OnnxRuntimeEngine(SUM, inputs=inputs, outputs=outputs)


def test_many_names_are_cut_short() -> None:
    many = [f"in{i}" for i in range(9)]
    with pytest.raises(WeightsError, match=r"expected \(in0, in1, in2, in3, \.\.\.\) -> \(sum\)"):
        OnnxRuntimeEngine(SUM, inputs=many, outputs=["sum"])


@pytest.mark.parametrize("cut", [0, 1, 40, 120])
def test_damaged_file(tmp_path: Path, cut: int, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "cut.onnx"
    damaged.write_bytes(SUM.read_bytes()[:cut])
    with pytest.raises(WeightsError, match=r"cut\.onnx: not a readable ONNX file"):
        OnnxRuntimeEngine(damaged, inputs=["a", "b"], outputs=["sum"])
    assert capfd.readouterr() == ("", "")


def test_arrays_of_another_shape_are_a_backend_error(capfd: pytest.CaptureFixture[str]) -> None:
    engine = OnnxRuntimeEngine(SUM, inputs=["a", "b"], outputs=["sum"])
    with pytest.raises(
        BackendError, match=r"sum_difference\.onnx: ONNX Runtime failed: "
    ) as caught:
        engine(A[None], B)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert "Traceback" not in capfd.readouterr().err


def test_wrong_number_of_arrays() -> None:
    engine = OnnxRuntimeEngine(SUM, inputs=["a", "b"], outputs=["sum"])
    with pytest.raises(ValueError, match="zip"):
        engine(A)


def test_many_threads_get_their_own_answers() -> None:
    engine = OnnxRuntimeEngine(SUM, inputs=["a", "b"], outputs=["sum", "diff"])

    def run(number: int) -> bool:
        total, difference = engine(A + number, B)
        return bool((total == A + number + B).all() and (difference == A + number - B).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(200)))
