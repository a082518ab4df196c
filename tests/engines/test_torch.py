"""PyTorch: state dicts in every wrapping, files that are refused, keys of another network."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.engines import create_engine
from facekit.engines.spec import NetworkSpec, sized
from facekit.errors import BackendError, WeightsError

NETWORK = """
import torch

TRAINING_KEYS = ("loss_weights",)

class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, a, b):
        return self.norm(a) * self.weight, a + b

class Alone(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 1, bias=False)

class Wide(torch.nn.Linear):
    @classmethod
    def from_metadata(cls, metadata):
        width = metadata.get("width", "2")
        if not width.isdecimal():
            raise ValueError(f"metadata width is not a number: {width!r}")
        made = cls(int(width), 1, bias=False)
        made.input_shape = (int(width),)
        return made
"""
A = np.array([[3, 5]], dtype=np.float32)
B = np.array([[1, 7]], dtype=np.float32)

Create = Callable[..., Any]


@pytest.fixture(autouse=True)
def scale_network(
    require: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    require("torch")
    require("safetensors")
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "scale_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("scale_network", None)


def state() -> dict[str, Any]:
    import torch

    return {
        "norm.weight": torch.tensor([2.0, 1.0]),
        "norm.bias": torch.zeros(2),
        "norm.running_mean": torch.tensor([1.0, 1.0]),
        "norm.running_var": torch.ones(2) - 1e-5,
        "norm.num_batches_tracked": torch.tensor(7),
        "weight": torch.tensor([1.0, 10.0]),
    }


def create(path: Path, network: str | None = "scale_network:Scale", **changes: Any) -> Any:
    options: dict[str, Any] = {"inputs": ["a", "b"], "outputs": ["scaled", "sum"], "engine": None}
    return create_engine(path, network=network, **(options | changes))


def save(path: Path, content: Any) -> Path:
    import torch

    torch.save(content, path)
    return path


def check(engine: Any) -> None:
    scaled, total = engine(A, B)
    assert scaled.tolist() == [[4, 40]], "evaluation mode: running statistics, not the batch's"
    assert total.tolist() == [[4, 12]]
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("name", ["w.pth", "w.pt"])
def test_a_state_dict(tmp_path: Path, name: str) -> None:
    engine = create(save(tmp_path / name, state()))
    check(engine)
    assert engine.metadata == {}


def test_a_checkpoint_with_training_keys_and_without_counters(tmp_path: Path) -> None:
    import torch

    kept = {key: value for key, value in state().items() if "num_batches" not in key}
    kept["loss_weights"] = torch.zeros(2)
    meta = {"facekit.crop_scale": "1.2", "epoch": 70}
    engine = create(save(tmp_path / "w.pth", {"state_dict": kept, "meta": meta, "optimizer": {}}))
    check(engine)
    assert engine.metadata == {"facekit.crop_scale": "1.2"}


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    import safetensors.torch

    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state(), path, metadata={"facekit.crop_scale": "1.2"})
    engine = create(path)
    check(engine)
    assert engine.metadata == {"facekit.crop_scale": "1.2"}


def test_one_output(tmp_path: Path) -> None:
    import torch

    path = save(tmp_path / "w.pth", {"weight": torch.tensor([[1.0, 2.0]])})
    engine = create(path, "scale_network:Alone", inputs=["a"], outputs=["sum"])
    assert engine(A)[0].tolist() == [[13]]


def test_threads_are_set_for_the_process(tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        create(save(tmp_path / "w.pth", state()), threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_no_gradients_are_kept_and_the_caller_keeps_theirs(tmp_path: Path) -> None:
    import torch

    create(save(tmp_path / "w.pth", state()))(A, B)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_pickle_that_runs_code_is_refused_unrun(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "pwned"),)

    path = save(tmp_path / "w.pth", {"state_dict": state(), "extra": Evil()})
    with pytest.raises(WeightsError, match=r"could run code: save them as safetensors") as caught:
        create(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    import torch

    with pytest.raises(WeightsError, match="could run code"):
        create(save(tmp_path / "w.pth", torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02X", b"PK\x03\x04 cut"])
def test_damaged_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged, or not a \w+ file") as caught:
        create(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_truncated_checkpoint(tmp_path: Path) -> None:
    path = save(tmp_path / "w.pth", state())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="damaged, or not a PyTorch file"):
        create(path)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 3}, {"weight": 1.5}])
def test_a_file_without_state_dict(tmp_path: Path, content: Any) -> None:
    with pytest.raises(WeightsError, match="holds no state dict"):
        create(save(tmp_path / "w.pth", content))


def test_another_network_is_told_by_its_keys(tmp_path: Path) -> None:
    import torch

    wrong = {f"layer{i}.weight": torch.zeros(1) for i in range(5)} | {"weight": torch.zeros(3)}
    with pytest.raises(WeightsError) as caught:
        create(save(tmp_path / "w.pth", wrong))
    assert str(caught.value).endswith(
        "weights of another network: "
        "4 missing (norm.weight, norm.bias, norm.running_mean, ...); "
        "5 unexpected (layer0.weight, layer1.weight, layer2.weight, ...); "
        "1 of another shape (weight (3,) for (2,))"
    )


def test_weights_without_a_torch_network(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no torch network reads these weights"):
        create(save(tmp_path / "w.pth", state()), None)


def test_arrays_of_another_shape_are_a_backend_error(tmp_path: Path) -> None:
    engine = create(save(tmp_path / "w.pth", state()))
    with pytest.raises(BackendError, match=r"w\.pth: PyTorch failed: ") as caught:
        engine(np.zeros((1, 3), np.float32), B)
    assert "\n" not in str(caught.value)


def test_many_threads_get_their_own_answers(tmp_path: Path) -> None:
    engine = create(save(tmp_path / "w.pth", state()))
    with ThreadPoolExecutor(8) as pool:
        totals = list(pool.map(lambda n: engine(A + n, B)[1].tolist(), range(100)))
    assert totals == [[[4 + n, 12 + n]] for n in range(100)]


def save_wide(path: Path, width: int, metadata: dict[str, str]) -> Path:
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"weight": torch.ones(1, width)}, path, metadata)
    return path


def test_a_network_of_several_forms_takes_its_own_from_the_metadata(tmp_path: Path) -> None:
    path = save_wide(tmp_path / "wide.safetensors", 5, {"width": "5"})
    engine = create(path, "scale_network:Wide", inputs=["x"], outputs=["y"])
    (answer,) = engine(np.full((1, 5), 2, dtype=np.float32))
    assert answer.tolist() == [[10]]
    spec = NetworkSpec("scale_network:Wide", ("x",), ("y",), (2,))
    assert sized(spec, engine).input_shape == (5,)


def test_metadata_that_ask_for_no_form_are_told(tmp_path: Path) -> None:
    path = save_wide(tmp_path / "wide.safetensors", 5, {"width": "many"})
    with pytest.raises(WeightsError, match=r"wide\.safetensors: metadata width .* 'many'"):
        create(path, "scale_network:Wide", inputs=["x"], outputs=["y"])
