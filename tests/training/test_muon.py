"""Muon: orthogonal steps for matrices, AdamW's for the rest."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from facekit.training.muon import Muon, orthogonal  # noqa: E402 - without torch there is none


@pytest.mark.parametrize("shape", [(24, 24), (12, 40), (40, 12)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    among = (u.T @ orthogonal(matrix) @ v.T)[:, values > 0.02 * values[0]]
    among = among[values > 0.02 * values[0]]
    assert among.diag().min() > 0.5
    assert among.diag().max() < 1.3
    assert (among - torch.diag(among.diag())).abs().max() < 0.05


def test_a_zero_gradient_is_no_direction() -> None:
    assert not orthogonal(torch.zeros(3, 5)).any()


def test_a_matrix_moves_as_far_as_by_adamw_and_decays() -> None:
    weight = torch.nn.Parameter(torch.ones(32, 32))
    weight.grad = torch.randn(32, 32, generator=torch.Generator().manual_seed(4))
    optimizer = Muon([weight], lr=0.1, weight_decay=0.5)
    optimizer.step()
    moved = weight.detach() - (1 - 0.1 * 0.5)
    assert moved.square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.25)
    assert weight.grad is not None


def test_momentum_carries_a_matrix_on() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 16))
    optimizer = Muon([weight], lr=0.1, weight_decay=0.0)
    weight.grad = torch.randn(8, 16, generator=torch.Generator().manual_seed(6))
    optimizer.step()
    first = weight.detach().clone()
    weight.grad = torch.zeros(8, 16)
    optimizer.step()
    second = weight.detach() - first
    cosine = (first * second).sum() / (first.norm() * second.norm())
    assert cosine > 0.95


def test_kernels_are_matrices_and_the_rest_is_adamws() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.BatchNorm2d(8)
    )
    like = {name: value.detach().clone() for name, value in network.named_parameters()}
    others = [torch.nn.Parameter(like[name]) for name in sorted(like) if name != "0.weight"]
    ours = dict(network.named_parameters())
    for parameter in ours.values():
        parameter.grad = torch.ones_like(parameter)
    for parameter in others:
        parameter.grad = torch.ones_like(parameter)
    optimizer = Muon(network.parameters(), lr=0.01)
    adamw = torch.optim.AdamW(others, lr=0.01)
    for _ in range(2):
        optimizer.step()
        adamw.step()
    names = [name for name in sorted(like) if name != "0.weight"]
    for name, other in zip(names, others, strict=True):
        assert torch.equal(ours[name], other), name
    assert "momentum_buffer" in optimizer.state[ours["0.weight"]]


def test_it_goes_down_a_narrow_valley_and_returns_the_loss() -> None:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(256, 16, generator=generator) * torch.logspace(0, -2, 16)
    wanted = inputs @ torch.randn(16, 4, generator=generator)
    layer = torch.nn.Linear(16, 4)
    optimizer = Muon(layer.parameters(), lr=0.1, weight_decay=0.0)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (layer(inputs) - wanted).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    for _ in range(60):
        last = optimizer.step(closure)
    assert last < first / 10
