"""Losses read seldom, and never overlooked."""

from __future__ import annotations

import math

import pytest

from facekit.errors import TrainingError

pytestmark = pytest.mark.usefixtures("training")


def test_means_are_of_all_steps() -> None:
    import torch

    from facekit.training.meter import LossMeter

    meter, keys = LossMeter(str), torch.tensor([[0, 1]])
    for step, value in enumerate([1.0, 2.0, 6.0]):
        meter.add(step, keys, {"loss": torch.tensor(value)})
        if step == 1:
            meter.read()
            assert meter.latest == {"loss": 1.5}
    meter.read()
    assert meter.means() == {"loss": 3.0}
    assert meter.means() == {}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_step_at_fault_is_named_with_its_items(value: float) -> None:
    import torch

    from facekit.training.meter import LossMeter

    meter = LossMeter("photo {}".format)
    for step, loss in enumerate([1.0, value, value]):
        meter.add(step, torch.tensor([[0, step]]), {"loss": torch.tensor(loss)})
    with pytest.raises(TrainingError, match=rf"^step 1: the loss is {value};.*: photo 1$"):
        meter.read()
