"""Photometric distortion, a batch at a time."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("training")

NOTHING: dict[str, Any] = {
    "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "balance": 0,
    "grey": 0, "blur": 0, "noise": 0,
}  # fmt: skip


def distorted(pictures: Any, seed: int = 0, **options: Any) -> Any:
    torch = importlib.import_module("torch")
    light = importlib.import_module("facekit.training.detection.light")
    generator = torch.Generator().manual_seed(seed)
    return light.distort(
        pictures,
        importlib.import_module("facekit.training.detection.options").LightOptions(**options),
        generator,
    )


def pictures(count: int = 6) -> Any:
    torch = importlib.import_module("torch")
    return torch.rand(count, 3, 20, 30, generator=torch.Generator().manual_seed(5))


def test_nothing_asked_is_nothing_done() -> None:
    torch = importlib.import_module("torch")
    torch.testing.assert_close(distorted(pictures(), **NOTHING), pictures(), atol=1e-5, rtol=0)
    left = distorted(pictures(), untouched=1, blur=0, noise=0)
    torch.testing.assert_close(left, pictures(), atol=1e-5, rtol=0)


def test_every_picture_has_its_own_light_which_the_seed_decides() -> None:
    torch = importlib.import_module("torch")
    same = pictures(1).expand(8, -1, -1, -1)
    changed = distorted(same, untouched=0)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, distorted(same, untouched=0))
    assert not torch.equal(changed, distorted(same, seed=1, untouched=0))
    for one in range(1, 8):
        assert (changed[one] - changed[0]).abs().max() > 0.02


def test_grey_pictures_have_no_colour_and_keep_their_light() -> None:
    torch = importlib.import_module("torch")
    grey = distorted(pictures(), **(NOTHING | {"grey": 1, "untouched": 0}))
    torch.testing.assert_close(grey[:, 0], grey[:, 2], atol=1e-5, rtol=0)
    luma = pictures().mul(torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    torch.testing.assert_close(grey[:, 1], luma, atol=1e-5, rtol=0)


def test_a_turn_of_hue_keeps_light_and_moves_colour() -> None:
    torch = importlib.import_module("torch")
    soft = 0.4 + 0.2 * pictures()
    turned = distorted(soft, **(NOTHING | {"hue": 60, "untouched": 0}))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    torch.testing.assert_close(
        (turned * weights).sum(1), (soft * weights).sum(1), atol=2e-3, rtol=0
    )
    assert (turned - soft).abs().amax(dim=(1, 2, 3)).median() > 0.02


def test_blur_and_noise_change_the_detail() -> None:
    options = NOTHING | {"untouched": 1}
    noisy = distorted(pictures(), **(options | {"noise": 1, "deviation": 0.1}))
    soft = distorted(pictures(), **(options | {"blur": 1}))
    for changed in (noisy, soft):
        assert (changed - pictures()).abs().amax(dim=(1, 2, 3)).min() > 0.01
