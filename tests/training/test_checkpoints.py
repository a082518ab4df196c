"""Checkpoints: whole, without pickles, and of the network that they are given to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facekit.errors import WeightsError

pytestmark = pytest.mark.usefixtures("training")


def network(width: int = 4) -> Any:
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def stepped(name: str = "AdamW", width: int = 4) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    trained = network(width)
    trained.to(memory_format=torch.channels_last)
    options = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)(trained.parameters(), lr=0.1, **options)
    trained(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    return trained, optimizer


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_a_state_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    import torch

    from facekit.training.checkpoints import State

    trained, optimizer = stepped(name)
    kept = State(step=7, seconds=1.5, best=0.25, waited=2, scaler={"scale": 2.0})
    kept.keep(trained, None, optimizer)
    kept.save(tmp_path / "state.safetensors")
    found = State.load(tmp_path / "state.safetensors")
    assert (found.step, found.best, found.scaler) == (7, 0.25, {"scale": 2.0})
    other, its_optimizer = stepped(name)
    averaged = network()
    found.restore_network(other, averaged, tmp_path)
    found.restore_optimizer(its_optimizer, tmp_path)
    for one in (other, averaged):
        for key, value in trained.state_dict().items():
            assert torch.equal(one.state_dict()[key], value)
    for mine, theirs in zip(optimizer.state.values(), its_optimizer.state.values(), strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            assert torch.equal(value, theirs[key])
            assert value.stride() == theirs[key].stride()


def test_weights_have_the_networks_own_names_and_facts_beside_them(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from facekit.training.checkpoints import load_weights, save_weights

    trained, _ = stepped()
    save_weights(tmp_path / "best.safetensors", trained, {"epoch": 3})
    assert load_file(tmp_path / "best.safetensors").keys() == trained.state_dict().keys()
    assert json.loads((tmp_path / "best.json").read_text()) == {"epoch": 3}
    other = network()
    load_weights(other, tmp_path / "best.safetensors")
    assert torch.equal(other[0].weight, trained[0].weight)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    from facekit.training.checkpoints import State, load_weights, save_weights

    trained, optimizer = stepped()
    weights, state = tmp_path / "weights.safetensors", tmp_path / "state.safetensors"
    save_weights(weights, trained, {})
    kept = State()
    kept.keep(trained, None, optimizer)
    kept.save(state)
    wider, its_optimizer = stepped(width=5)
    with pytest.raises(WeightsError, match=r"^[^\n]*of another network: size mismatch[^\n]*$"):
        load_weights(wider, weights)
    with pytest.raises(WeightsError, match="of other parameters"):
        State.load(state).restore_optimizer(its_optimizer, state)
    with pytest.raises(WeightsError, match="is not the state of a training run"):
        State.load(weights)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_weights(wider, weights)
    with pytest.raises(WeightsError, match="no such file"):
        State.load(tmp_path / "nowhere.safetensors")
