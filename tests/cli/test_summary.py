"""``facekit summary NAME``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import Result

from facekit.summary import summary

Facekit = Callable[..., Result]


@pytest.mark.parametrize("name", ["tiny_ssd", "resnet18"])
def test_layers_and_totals(facekit: Facekit, name: str) -> None:
    result = facekit("summary", name)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    network = summary(name)
    assert lines[0].split() == ["layer", "type", "output", "shape", "parameters", "MACs"]
    assert len(lines) == len(network.layers) + 4
    assert lines[-2] == network.totals
    assert lines[-1] == f"{name}: {network.source}"
    assert f"{max(layer.macs for layer in network.layers):,}" in result.stdout


def test_role_and_weights(facekit: Facekit) -> None:
    plain = facekit("summary", "tiny_ssd")
    chosen = facekit("summary", "tiny_ssd", "--role", "detector", "--weights", "tiny_ssd")
    assert chosen.exit_code == 0
    assert chosen.stdout == plain.stdout


def test_a_backend_without_a_network(facekit: Facekit) -> None:
    result = facekit("summary", "haar")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
