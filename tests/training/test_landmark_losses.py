"""Losses of points and the changes to grey levels: their values, ranges and seeds."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("training")


def off_by(pixels: float) -> tuple[Any, Any]:
    """Points that all miss by so many pixels of 224."""
    import torch

    target = torch.linspace(-0.4, 0.4, 136).repeat(3, 1)
    return target + pixels / 224, target


def test_wing_is_logarithmic_near_zero_and_linear_far_away() -> None:
    from facekit.training.landmarks.losses import wing_loss

    assert float(wing_loss(*off_by(0))) == 0
    assert float(wing_loss(*off_by(4))) == pytest.approx(10 * math.log(3), rel=1e-4)
    far, farther = (float(wing_loss(*off_by(pixels))) for pixels in (30, 50))
    assert farther - far == pytest.approx(20, rel=1e-4)
    below, above = (float(wing_loss(*off_by(pixels))) for pixels in (9.999, 10.001))
    assert above == pytest.approx(below, rel=1e-3), "no step between the two"


def test_the_other_losses() -> None:
    from facekit.training.landmarks.losses import LOSSES

    assert float(LOSSES["mse"](*off_by(22.4))) == pytest.approx(0.01, rel=1e-4)
    assert float(LOSSES["smooth_l1"](*off_by(1))) == pytest.approx(0.25, rel=1e-3)
    assert float(LOSSES["smooth_l1"](*off_by(5))) == pytest.approx(4, rel=1e-3)
    assert all(float(loss(*off_by(0))) == 0 for loss in LOSSES.values())


def crops() -> Any:
    import torch

    return torch.rand(16, 1, 48, 48, generator=torch.Generator().manual_seed(7))


def test_light_keeps_grey_levels_in_range_and_is_its_seeds() -> None:
    import torch

    from facekit.training.landmarks.light import Light, relight

    light = Light(coarse=0.5, blur=0.5, noise=0.5, cover=0.5)
    before = crops()
    kept = before.clone()
    one, two, other = (
        relight(before, light, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert torch.equal(before, kept), "the input is not changed"
    assert not torch.equal(one, other)
    assert one.shape == before.shape
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert len({round(float(sample.mean()), 5) for sample in one}) == 16, "each has its own light"


@pytest.mark.parametrize("share", ["coarse", "blur", "noise", "cover"])
def test_each_change_reaches_its_share_and_leaves_the_rest(share: str) -> None:
    import torch

    from facekit.training.landmarks.light import Light, relight

    nothing = {"gamma": 0, "contrast": 0, "brightness": 0, "slope": 0}
    nothing |= {"coarse": 0, "blur": 0, "noise": 0, "cover": 0}
    plain = crops().clamp(1e-4, 1)
    same = relight(plain, Light(**nothing), torch.Generator())
    torch.testing.assert_close(same, plain, atol=1e-6, rtol=0)
    changed = 0
    for seed in range(20):
        some = relight(plain, Light(**nothing | {share: 0.5}), torch.Generator().manual_seed(seed))
        changed += int(((some - plain).abs().amax((1, 2, 3)) > 1e-5).sum())
    assert 100 < changed < 220, "about half of 20 x 16"
