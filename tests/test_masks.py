"""Run lengths and masks are the same thing."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given

from facekit.masks import RleMask


@given(mask=arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_round_trip(mask: npt.NDArray[np.bool_]) -> None:
    encoded = RleMask.from_mask(mask)
    assert np.array_equal(encoded.to_mask(), mask)
    assert encoded.counts.sum() == mask.size
    assert (encoded.counts[1:] > 0).all()
    # The odd runs are the mask.
    assert encoded.counts[1::2].sum() == mask.sum()


@given(mask=arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_outlines_enclose_just_the_masks_pixels(mask: npt.NDArray[np.bool_]) -> None:
    polygons = RleMask.from_mask(mask).to_polygons()
    height, width = mask.shape
    inside = np.zeros_like(mask)
    for polygon in polygons:
        assert len(polygon) >= 4
        inside |= _filled(polygon, height, width)
    holes = inside & ~mask
    assert not (mask & ~inside).any()
    # What is filled beyond the mask cannot be reached from outside it, not even by corners.
    outside = np.pad(~mask, 1, constant_values=True)
    reached = np.zeros_like(outside)
    reached[0, 0] = True
    for _ in range(outside.size):
        grown = reached.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                grown |= np.roll(reached, step, axis)
        grown &= outside
        if (grown == reached).all():
            break
        reached = grown
    assert not (holes & reached[1:-1, 1:-1]).any()


def _filled(polygon: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Count the vertical edges to the right of each pixel's middle."""
    inside = np.zeros((height, width), dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if x1 == x2:
            inside[int(min(y1, y2)) : int(max(y1, y2)), : int(x1)] ^= True
    return inside


def test_outlines_have_corners_alone_and_no_holes() -> None:
    ring = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    (outline,) = RleMask.from_mask(ring).to_polygons()
    assert sorted(map(tuple, outline.tolist())) == [(0, 0), (0, 3), (3, 0), (3, 3)]
    one, other = RleMask.from_mask([[1, 0], [0, 1]]).to_polygons()
    assert len(one) == len(other) == 4
    assert RleMask.from_mask(np.zeros((3, 3))).to_polygons() == []


def test_runs_go_down_the_columns_as_cocos_do() -> None:
    encoded = RleMask.from_mask([[0, 1, 1], [0, 0, 1]])
    assert encoded.to_dict() == {"size": [2, 3], "counts": [2, 1, 1, 2]}


def test_first_run_is_background() -> None:
    assert RleMask.from_mask([[1, 0]]).counts.tolist() == [0, 1, 1]


def test_empty_mask() -> None:
    assert RleMask.from_mask(np.zeros((0, 5))).to_mask().shape == (0, 5)


def test_runs_must_fill_the_mask() -> None:
    with pytest.raises(ValueError, match="runs of 5 pixels do not fill a 2 x 3 mask"):
        RleMask((2, 3), np.array([2, 3], np.uint32))


def test_mask_must_be_two_dimensional() -> None:
    with pytest.raises(ValueError, match=r"mask must have shape \(H, W\)"):
        RleMask.from_mask(np.zeros((2, 2, 1)))


def test_runs_are_a_read_only_copy() -> None:
    counts = np.array([1, 3], np.uint32)
    encoded = RleMask((2, 2), counts)
    counts[0] = 9
    assert encoded.counts.tolist() == [1, 3]
    with pytest.raises(ValueError, match="read-only"):
        encoded.counts[0] = 9


def test_equality_is_of_size_and_runs() -> None:
    one = RleMask.from_mask([[0, 1]])
    assert one == RleMask.from_mask([[False, True]])
    assert one != RleMask.from_mask([[0], [1]])
    assert one != RleMask.from_mask([[1, 0]])
    assert one != "mask"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@pytest.mark.parametrize("corner", [(0, 0), (2, 1), (3, 2), (0, 2)])
@pytest.mark.parametrize(
    "patch", [[[1, 0], [0, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 1], [1, 0]]]
)
def test_a_part_of_an_image_encodes_as_the_whole(patch: list[list[int]], corner: Any) -> None:
    whole = np.zeros((4, 5), bool)
    whole[corner[1] : corner[1] + 2, corner[0] : corner[0] + 2] = patch
    assert RleMask.from_patch(patch, corner, (4, 5)) == RleMask.from_mask(whole)


def test_a_part_beyond_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="does not lie in"):
        RleMask.from_patch([[1, 1]], (4, 0), (4, 5))
    assert RleMask.from_patch(np.zeros((2, 0)), (5, 0), (4, 5)).to_mask().sum() == 0
