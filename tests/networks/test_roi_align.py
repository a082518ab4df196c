"""RoIAlign by rows against torchvision's own, and which of the two is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def ops(require: Callable[[str], Any]) -> Any:
    require("torch")
    return require("torchvision.ops")


def maps(torch: Any, count: int, size: tuple[int, int]) -> Any:
    return torch.randn(count, 6, *size).to(memory_format=torch.channels_last)


def regions(torch: Any, count: int, images: int, reach: float) -> Any:
    """Some within the map, some beyond its border, some of next to no length."""
    corners = torch.rand(count, 2) * (reach + 40) - 20
    lengths = torch.rand(count, 2).square() * reach
    which = torch.randint(0, images, (count, 1)).float()
    return torch.cat([which, corners, corners + lengths], dim=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    side=st.sampled_from([1, 7, 14]),
    ratio=st.integers(0, 3),
    aligned=st.booleans(),
)
def test_it_is_torchvisions(  # noqa: PLR0917 - what varies
    ops: Any, seed: int, size: tuple[int, int], side: int, ratio: int, aligned: bool
) -> None:
    import torch

    from facekit.networks.roi_align import roi_align_rows

    torch.manual_seed(seed)
    level = maps(torch, 2, size)
    boxes = regions(torch, 25, 2, 4.0 * max(size))
    want = ops.roi_align(level, boxes, side, 0.25, ratio, aligned)
    found = roi_align_rows(
        level, boxes, (side, side), spatial_scale=0.25, sampling_ratio=ratio, aligned=aligned
    )
    assert found.shape == want.shape
    torch.testing.assert_close(found, want, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("centre", "inside"), [(8.0, True), (8.1, False), (-1.0, True), (-1.1, False)]
)
def test_a_point_on_the_border_is_within(ops: Any, centre: float, inside: bool) -> None:
    import torch

    from facekit.networks.roi_align import roi_align_rows

    level = torch.ones(1, 6, 8, 8).to(memory_format=torch.channels_last)
    boxes = torch.tensor([[0, centre - 0.5, 2, centre + 0.5, 3]])
    found = roi_align_rows(level, boxes, (1, 1), spatial_scale=1, sampling_ratio=1, aligned=False)
    assert found.unique().tolist() == [float(inside)]
    torch.testing.assert_close(found, ops.roi_align(level, boxes, 1, sampling_ratio=1))


def test_no_regions_are_none(ops: Any) -> None:
    import torch

    from facekit.networks.roi_align import roi_align_rows

    assert ops is not None
    level = maps(torch, 1, (8, 8))
    found = roi_align_rows(
        level, torch.zeros(0, 5), (7, 7), spatial_scale=0.25, sampling_ratio=0, aligned=True
    )
    assert found.shape == (0, 6, 7, 7)


def test_float32_maps_with_channels_last_are_read_by_rows(
    ops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from facekit.networks import mask_rcnn_heads as heads
    from facekit.networks.mask_rcnn_settings import PoolerSettings
    from facekit.networks.roi_align import roi_align_rows

    assert ops is not None
    used: list[Any] = []

    def spy(level: Any, *rest: Any, **options: Any) -> Any:
        used.append(level.dtype)
        return roi_align_rows(level, *rest, **options)

    monkeypatch.setattr("facekit.networks.mask_rcnn_heads.roi_align_rows", spy)
    torch.manual_seed(0)
    levels = [maps(torch, 1, (64 // 2**index, 64 // 2**index)) for index in range(4)]
    boxes = [regions(torch, 30, 1, 250.0)[:, 1:]]
    settings = PoolerSettings(resolution=7)
    found = heads.pool(levels, boxes, settings)
    assert used == [torch.float32] * 4
    assert found.is_contiguous(memory_format=torch.channels_last)
    for other in (
        [level.contiguous() for level in levels],
        [level.double() for level in levels],
        [level.clone().requires_grad_() for level in levels],
    ):
        want = heads.pool(other, [one.to(other[0].dtype) for one in boxes], settings)
        torch.testing.assert_close(found, want.detach().float(), rtol=0, atol=2e-5)
    assert len(used) == 4
