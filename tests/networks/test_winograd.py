"""Winograd's convolutions against torch's own, and which are left to torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Require = Callable[[str], Any]


@pytest.fixture(scope="module")
def torch(require: Require) -> Any:
    return require("torch")


@pytest.fixture(scope="module")
def winograd(torch: Any, require: Require) -> Any:
    assert torch is not None
    return require("facekit.networks.winograd")


def wide(torch: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return torch.nn.Conv2d(128, 128, 3, **{"padding": 1, **options})


def spied(winograd: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of the tiles that maps are cut into from now on."""
    seen: list[int] = []
    own = winograd._convolved

    def spy(features: Any, kernels: Any, bias: Any, tile: int, padding: int) -> Any:
        seen.append(tile)
        return own(features, kernels, bias, tile, padding)

    monkeypatch.setattr(winograd, "_convolved", spy)
    return seen


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 5),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    padding=st.integers(1, 3),
    bias=st.booleans(),
    at_once=st.sampled_from([1, 30, 49152]),
    last=st.booleans(),
)
def test_it_is_torchs_convolution(  # noqa: PLR0917 - what varies
    torch: Any,
    winograd: Any,
    count: int,
    channels: tuple[int, int],
    size: tuple[int, int],
    padding: int,
    bias: bool,
    at_once: int,
    last: bool,
) -> None:
    torch.manual_seed(sum(size))
    conv = torch.nn.Conv2d(*channels, 3, padding=padding, bias=bias)
    features = torch.randn(count, channels[0], *size)
    if last:
        features = features.to(memory_format=torch.channels_last)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(winograd, "_AT_ONCE", at_once)
        # Of maps and channels that would be no gain, too.
        patch.setattr(winograd, "_LEAST_CHANNELS", 1)
        patch.setattr(winograd, "_LEAST_TILES", 1)
        want = conv.double()(features.double())
        conv.float()
        assert winograd.use_winograd(conv) == 1
        torch.testing.assert_close(conv(features).double(), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("side", "tile"), [(14, 5), (28, 4), (16, 4), (5, 5)])
def test_maps_are_cut_into_the_tiles_that_take_least(winograd: Any, side: int, tile: int) -> None:
    # 14 is 3 tiles of 5, 9 x 49 products, or 4 of 4, 16 x 36; larger tiles round worse.
    assert winograd._tile(side, side) == tile


def rounding(torch: Any, winograd: Any, tile: int) -> float:
    """The error over the answer, root mean squares of both."""
    conv = wide(torch)
    features = torch.randn(1, 128, 7 * tile, 7 * tile).relu()
    with torch.inference_mode():
        exact = conv.double()(features.double())
        conv.float()
        kernels = winograd._transformed(conv.weight, tile)
        off = winograd._convolved(features, kernels, conv.bias, tile, 1) - exact
    return float((off.square().mean() / exact.square().mean()).sqrt())


def test_its_rounding_is_of_the_sixth_digit(
    torch: Any, winograd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rounding(torch, winograd, 4) < 4e-6
    assert rounding(torch, winograd, 5) < 1e-5
    ours = rounding(torch, winograd, 4)
    winograd._transforms.cache_clear()
    monkeypatch.setattr(winograd, "_POINTS", {4: (0.0, 1.0, -1.0, 2.0, -2.0)})
    of_2016 = rounding(torch, winograd, 4)
    winograd._transforms.cache_clear()
    assert ours < 0.8 * of_2016


def test_what_is_no_gain_is_left_to_torch(
    torch: Any, winograd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied(winograd, monkeypatch)
    conv = wide(torch)
    assert winograd.use_winograd(conv) == 1
    with torch.inference_mode():
        conv(torch.zeros(1, 128, 20, 20))  # 25 tiles
        assert not seen
        conv(torch.zeros(2, 128, 20, 20))
        assert len(seen) == 1
        half = conv.bfloat16()(torch.zeros(2, 128, 20, 20, dtype=torch.bfloat16))
        assert half.dtype == torch.bfloat16
    assert len(seen) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"dilation": 2},
        {"groups": 2},
        {"padding": (1, 2)},
        {"padding": "same"},
        {"padding_mode": "reflect"},
        {"kernel_size": 5},
        {"out_channels": 64},
    ],
)
def test_convolutions_of_another_kind_stay_as_they_are(
    torch: Any, winograd: Any, options: dict[str, Any]
) -> None:
    kind = {"in_channels": 128, "out_channels": 128, "kernel_size": 3, "padding": 1}
    conv = torch.nn.Conv2d(**{**kind, **options})
    assert winograd.use_winograd(torch.nn.Sequential(conv)) == 0
    assert "_conv_forward" not in vars(conv)


def test_what_is_around_a_convolution_stays(
    torch: Any, winograd: Any, require: Require, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("torchvision")
    backbone = require("facekit.networks.mask_rcnn_backbone")
    seen = spied(winograd, monkeypatch)
    torch.manual_seed(0)
    conv = backbone.Conv(128, 128, 3, norm="BN", bias=False, relu=True).eval()
    torch.nn.init.normal_(conv.norm.bias)
    network = torch.nn.Sequential(conv)
    features = torch.randn(1, 128, 33, 41)
    names = list(network.state_dict())
    with torch.inference_mode():
        want = network(features)
        assert winograd.use_winograd(network) == 1
        found = network(features)
    assert len(seen) == 1
    assert list(network.state_dict()) == names
    assert [name for name, _ in network.named_modules()] == ["", "0", "0.norm"]
    assert (want == 0).any()
    torch.testing.assert_close(found, want, rtol=0, atol=1e-4)


def test_threads_may_be_the_first_to_call(torch: Any, winograd: Any) -> None:
    conv = wide(torch)
    features = torch.randn(1, 128, 40, 40)

    def run(_: int) -> Any:
        with torch.inference_mode():
            return conv(features)

    want = run(0)
    winograd.use_winograd(conv)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(run, range(8)):
            torch.testing.assert_close(found, want, rtol=0, atol=1e-4)
