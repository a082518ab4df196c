"""OpenVINO: the same answers as ONNX Runtime, wrong and damaged files, threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.engines import create_engine
from facekit.errors import BackendError, WeightsError

SUM = Path(__file__).parents[1] / "data" / "networks" / "sum_difference.onnx"
A = np.array([3, 5], dtype=np.float32)
B = np.array([1, 7], dtype=np.float32)

Create = Callable[..., Any]


@pytest.fixture(scope="module")
def create(require: Callable[[str], Any]) -> Create:
    require("openvino")

    def build(path: Path = SUM, **changes: Any) -> Any:
        options: dict[str, Any] = {"engine": "openvino", "network": None, "threads": 1}
        names = {"inputs": ["a", "b"], "outputs": ["sum", "diff"]}
        return create_engine(path, **(options | names | changes))

    return build


def test_inputs_and_outputs_in_the_declared_order(create: Create) -> None:
    difference, total = create(inputs=["b", "a"], outputs=["diff", "sum"])(B, A)
    assert difference.tolist() == [2, -2]
    assert total.tolist() == [4, 12]


def test_results_are_not_overwritten_by_the_next_call(create: Create) -> None:
    engine = create(threads=0)
    first, _ = engine(A, B)
    engine(A + 100, B)
    assert first.tolist() == [4, 12]


def test_metadata_of_onnx_and_of_an_ir(create: Create, tmp_path: Path) -> None:
    import openvino as ov

    assert create().metadata == {"facekit.note": "a + b, a - b"}
    model = ov.Core().read_model(SUM)
    model.set_rt_info("1.2", "facekit.crop_scale")
    ov.save_model(model, tmp_path / "sum.xml")
    ir = create(tmp_path / "sum.xml", engine=None)
    assert ir.metadata["facekit.note"] == "a + b, a - b"
    assert ir.metadata["facekit.crop_scale"] == "1.2"


def test_another_network_is_told_by_its_names(create: Create) -> None:
    with pytest.raises(WeightsError, match=r"of another network: expected \(image\) -> \(logits\)"):
        create(inputs=["image"], outputs=["logits"])


@pytest.mark.parametrize("name", ["cut.onnx", "cut.xml"])
def test_damaged_file(create: Create, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SUM.read_bytes()[:40])
    with pytest.raises(WeightsError, match="not a readable OpenVINO or ONNX file") as caught:
        create(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_arrays_of_another_shape_are_a_backend_error(create: Create) -> None:
    with pytest.raises(BackendError, match=r"OpenVINO failed: input 'b' has shape \(1, 2\)"):
        create()(A, B[None])


def test_what_openvino_itself_finds_is_a_backend_error(create: Create) -> None:
    with pytest.raises(BackendError, match=r"sum_difference\.onnx: OpenVINO failed: ") as caught:
        create(threads=2)(A, np.zeros(3, dtype=np.float32))
    assert "\n" not in str(caught.value)


def test_many_threads_get_their_own_answers(create: Create) -> None:
    engine = create()

    def run(number: int) -> bool:
        total, difference = engine(A + number, B)
        return bool((total == A + number + B).all() and (difference == A + number - B).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(200)))
