from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facekit.engines.spec import find_spec
from facekit.errors import MissingDependencyError, UnknownNameError, WeightsError
from facekit.summary import Layer, Summary, summary

TINY_SSD_MACS = 480_132_828
RESNET18_MACS = 1_734_955_008


def test_shipped_tiny_ssd_costs_what_its_paper_trail_says() -> None:
    # Batch norms are folded into the shipped file: 1.02 M of the network's 1.03 M parameters.
    shipped = summary("tiny_ssd")
    assert shipped.macs == TINY_SSD_MACS
    assert 1_005_000 < shipped.parameters <= 1_033_668
    assert shipped.source.endswith("tiny_ssd.onnx")
    assert "0.480 GMAC for one input of 1 x 3 x 300 x 300" in str(shipped)


def test_shipped_resnet18_costs_no_more_than_torchvisions() -> None:
    # The graph may shrink its input by itself, and then costs a part of the whole.
    shipped = summary("resnet18")
    assert RESNET18_MACS / 5 < shipped.macs <= RESNET18_MACS
    assert 11_200_000 < shipped.parameters <= 11_240_008


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("tiny_ssd", 1_033_668, TINY_SSD_MACS), ("resnet18", 11_240_008, RESNET18_MACS)],
)
def test_a_torch_checkpoint_is_summarised_as_its_module_has_it(
    name: str,
    parameters: int,
    macs: int,
    require: Callable[[str], ModuleType],
    tmp_path: Path,
) -> None:
    torch = require("torch")
    _, spec = find_spec(name)
    module, _, network = spec.network.partition(":")
    path = tmp_path / "net.pth"
    torch.save(getattr(require(module), network)().state_dict(), path)
    found = summary(name, path)
    assert found.parameters == parameters
    assert found.macs == macs
    assert "Conv2d" in {layer.kind for layer in found.layers}


def test_a_torch_checkpoint_needs_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "facekit.engines.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "net.pth"
    path.write_bytes(b"never read")
    with pytest.raises(MissingDependencyError, match=r'pip install "facekit\[torch\]"'):
        summary("tiny_ssd", path)


def test_another_kind_of_weights_has_no_summary(tmp_path: Path) -> None:
    path = tmp_path / "net.xml"
    path.write_text("<net/>")
    with pytest.raises(WeightsError, match=r"a summary reads \.onnx, .*, not '\.xml'"):
        summary("tiny_ssd", path)


def test_no_weights_at_all_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="not an ONNX file"):
        summary("tiny_ssd", path)


def test_an_unknown_backend_has_no_summary() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny_ssd'"):
        summary("tinyssd")


def test_a_summary_prints_as_an_aligned_table() -> None:
    layers = (
        Layer("stem", "Conv", (1, 8, 4, 4), 1216, 19_456),
        Layer("stem.relu", "Relu", (1, 8, 4, 4)),
    )
    table = Summary("toy", "toy.onnx", (1, 3, 8, 8), layers)
    assert str(table).splitlines() == [
        "toy (toy.onnx)",
        "layer      type  output shape   parameters    MACs",
        "---------  ----  -------------  ----------  ------",
        "stem       Conv  1 x 8 x 4 x 4       1,216  19,456",
        "stem.relu  Relu  1 x 8 x 4 x 4",
        "2 layers, 0.00 M parameters, 0.000 GMAC for one input of 1 x 3 x 8 x 8",
    ]
    assert (table.parameters, table.macs) == (1216, 19_456)
    assert np.array(table.rows()).shape == (3, 5)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")


@pytest.mark.usefixtures("empty_cache")
def test_nothing_is_downloaded_for_a_summary(require: Callable[[str], ModuleType]) -> None:
    require("torch")
    found = summary("s3fd")
    assert found.parameters == 22_459_110
    assert 2 * found.macs == pytest.approx(194.8e9, rel=1e-3)
    assert found.source == "without weights"


@pytest.mark.usefixtures("empty_cache")
def test_a_summary_without_weights_needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "facekit.summary.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"without weights needs 'torch'"):
        summary("s3fd")
