"""Checkpoints with everything that mmengine puts in them, and with what nobody should run."""

from __future__ import annotations

import importlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from facekit.errors import WeightsError


@pytest.fixture(autouse=True)
def torch(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_mmdet")
    return importlib.import_module("torch")


def read(path: Path) -> Any:
    from facekit.mmlab import checkpoints

    return checkpoints.read(path)


def saved(torch: Any, path: Path, **entries: Any) -> Path:
    state = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), count=torch.tensor(4))
    state["half"] = torch.ones(2, dtype=torch.float16)
    torch.save({"state_dict": state, **entries}, path)
    return path


class Harmful:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_mmengines_log_is_no_hindrance(torch: Any, tmp_path: Path, zipped: bool) -> None:
    from mmengine.logging import HistoryBuffer

    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    meta = {"epoch": 3, "dataset_meta": {"classes": ("face", "hand"), "palette": [(1, 2, 3)]}}
    hub = {"log_scalars": OrderedDict(loss=buffer)}
    state = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.nn.Parameter(torch.ones(3))}
    path = tmp_path / "epoch_3.pth"
    entries = {"state_dict": state, "meta": meta, "message_hub": hub}
    torch.save(entries, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)
    checkpoint = read(path)
    assert checkpoint.state["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert checkpoint.state["bias"].tolist() == [1, 1, 1]
    assert checkpoint.classes == ("face", "hand")


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_run(torch: Any, tmp_path: Path, zipped: bool) -> None:
    folder, path = tmp_path / "made", tmp_path / "bad.pth"
    entries = {
        "state_dict": {"w": torch.ones(2)},
        "meta": {"CLASSES": ["face"]},
        "extra": Harmful(folder),
    }
    torch.save(entries, path, _use_new_zipfile_serialization=zipped)
    assert read(path).classes == ("face",)
    assert not folder.exists()
    torch.load(path, weights_only=False)
    assert folder.exists(), "the file is harmless after all, and the test shows nothing"


def test_a_harmful_weight_is_no_weight(torch: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    torch.save({"state_dict": {"w": Harmful(tmp_path / "made")}}, path)
    with pytest.raises(WeightsError, match="some of its entries are no tensors"):
        read(path)
    assert not (tmp_path / "made").exists()


def test_dtypes_versions_and_prefixes(torch: Any, tmp_path: Path) -> None:
    checkpoint = read(saved(torch, tmp_path / "w.pth", meta={"CLASSES": "face"}))
    assert checkpoint.classes == ("face",)
    assert checkpoint.state["half"].dtype == torch.float16
    state = torch.nn.Sequential(torch.nn.BatchNorm2d(2)).state_dict()
    versions = dict(state._metadata)
    renamed = OrderedDict((f"module.{key}", one) for key, one in state.items())
    renamed._metadata = versions  # type: ignore[attr-defined]
    torch.save(renamed, tmp_path / "bare.pth")
    found = read(tmp_path / "bare.pth")
    assert list(found.state) == list(state)
    assert found.state._metadata == versions
    assert found.classes is None


def test_safetensors(torch: Any, tmp_path: Path, require: Any) -> None:
    require("safetensors.torch").save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    assert read(tmp_path / "w.safetensors").state["w"].tolist() == [1, 1]
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="damaged, or not a safetensors file"):
        read(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged"), (b"hello", "damaged"), (None, "holds no state dict")],
)
def test_damaged(torch: Any, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "w.pth"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read(path)
