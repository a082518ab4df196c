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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("mmdet",), "summary of 'mmdet': which model? its config says (--config)"),
        (("tiny_ssd", "--config", "a.py"), "only 'mmdet' has a network by its config"),
        (("mmdet", "--config", "a.py", "--photo", "640"), "--photo 640: write WxH in pixels"),
    ],
)
def test_a_config_is_mmdets(facekit: Facekit, words: tuple[str, ...], told: str) -> None:
    result = facekit("summary", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert told in line
