"""What counts as a layer of a torch module, and which of its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from facekit.summary import Layer


@pytest.fixture
def torch(require: Any) -> Any:
    return require("torch")


def test_what_a_parent_computes_itself_is_a_layer(torch: Any) -> None:
    from facekit.summary.torch import called_layers

    class Twice(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(4, 4, bias=False)
            self.table = torch.nn.Parameter(torch.ones(4, 3))
            self.in_training_alone = torch.nn.Parameter(torch.ones(9))

        def forward(self, x: Any) -> dict[str, list[Any]]:
            return {"answer": [self.inner(self.inner(x)) @ self.table]}

    network = Twice().eval()
    x = torch.zeros(2, 4)
    want = (
        Layer("inner", "Linear", (2, 4), 16, 32),
        Layer("inner", "Linear", (2, 4), 0, 32),
        Layer("Twice", "Twice", (2, 3), 12, 24),
    )
    assert called_layers(network, lambda: network(x)) == want
    assert called_layers(network, lambda: network(x)) == want, "the hooks are gone in between"
    assert not network._forward_hooks


def test_attention_costs_its_products(torch: Any) -> None:
    from facekit.summary.torch import called_layers

    network = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.zeros(1, 5, 8)
    layers = called_layers(network, lambda: network(x, x, x, need_weights=True))
    # Four matrices of 8 x 8 and three biases, five places; and each place by each, twice.
    assert sum(layer.parameters for layer in layers) == 4 * (8 * 8 + 8)
    assert sum(layer.macs for layer in layers) == 5 * 4 * 8 * 8 + 2 * 5 * 5 * 8


def test_groups_and_strides(torch: Any) -> None:
    from facekit.summary.torch import called_layers

    grouped = torch.nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4, bias=False)
    upward = torch.nn.ConvTranspose2d(16, 2, 2, stride=2)
    network = torch.nn.Sequential(grouped, torch.nn.ReLU(), upward).eval()
    layers = called_layers(network, lambda: network(torch.zeros(1, 8, 6, 4)))
    assert layers == (
        Layer("0", "Conv2d", (1, 16, 3, 2), 16 * 2 * 9, 6 * 16 * 2 * 9),
        Layer("1", "ReLU", (1, 16, 3, 2)),
        Layer("2", "ConvTranspose2d", (1, 2, 6, 4), 16 * 2 * 4 + 2, 6 * 16 * 2 * 4),
    )
