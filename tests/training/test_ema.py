"""The average of a network's weights."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("training")


def test_the_average_follows_weights_and_statistics() -> None:
    import torch
    from torch import nn

    from facekit.training.ema import Average

    network = nn.BatchNorm1d(1)
    average = Average(network, decay=0.9)
    with torch.no_grad():
        network.weight += 1
        network.running_mean += 2
        network.num_batches_tracked += 5
    average.update(network, step=1)
    # In the first steps less is kept: 2 / 11 after the first.
    assert float(average.network.weight) == pytest.approx(1 + 9 / 11)
    assert float(average.network.running_mean) == pytest.approx(2 * 9 / 11)
    assert int(average.network.num_batches_tracked) == 5
    before = float(average.network.weight)
    average.update(network, step=10_000)
    assert float(average.network.weight) == pytest.approx(0.9 * before + 0.1 * 2)
    assert not average.network.training
    assert not average.network.weight.requires_grad
