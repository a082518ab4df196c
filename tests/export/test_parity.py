from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from facekit.engines import FloatArray
from facekit.engines.spec import NetworkSpec
from facekit.errors import ImageError
from facekit.export.parity import ParityReport, compare, trial_input

COLOUR = NetworkSpec("a:B", ("image",), ("first", "second"), (3, 30, 40))
GREY = NetworkSpec("a:B", ("image",), ("first",), (1, 30, 40))


class Doubling:
    """An engine whose answers are twice and thrice its input, or a little off."""

    metadata: Mapping[str, str] = {}

    def __init__(self, off: float = 0, off_alone: float = 0, cut: int = 0) -> None:
        self.off, self.off_alone, self.cut = off, off_alone, cut

    def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
        (image,) = arrays
        off = np.float32(self.off_alone if len(image) == 1 else self.off)
        return 2 * image, 3 * image[:, self.cut :] + off


def report(**differences: float) -> ParityReport:
    return ParityReport("toy", "in.pth", "out.onnx", "on a photo", differences, 1e-4)


def test_equal_engines_do_not_differ() -> None:
    trial, _ = trial_input(COLOUR)
    assert compare(Doubling(), Doubling(), trial, COLOUR) == {"first": 0, "second": 0}


@pytest.mark.parametrize("other", [Doubling(off=0.5), Doubling(off_alone=0.5)])
def test_the_largest_difference_is_found_in_the_batch_and_alone(other: Doubling) -> None:
    trial, _ = trial_input(COLOUR)
    found = compare(Doubling(), other, trial, COLOUR)
    assert found["first"] == 0
    assert found["second"] == pytest.approx(0.5, abs=1e-6)


def test_other_shapes_are_as_far_apart_as_can_be() -> None:
    trial, _ = trial_input(COLOUR)
    assert compare(Doubling(), Doubling(cut=1), trial, COLOUR)["second"] == math.inf


def test_a_nan_never_passes() -> None:
    trial, _ = trial_input(COLOUR)
    found = compare(Doubling(), Doubling(off=math.nan), trial, COLOUR)
    assert not report(**found).passed


def test_a_report_says_it_in_one_line() -> None:
    good, bad = report(first=1e-6, second=1e-4), report(first=1e-6, second=2e-4)
    assert good.passed
    assert not bad.passed
    assert str(good) == (
        "largest difference from in.pth, on a photo: first 1e-06, second 0.0001; "
        "within the tolerance of 0.0001"
    )
    assert "above the tolerance" in str(bad)


def test_a_trial_without_a_photo_is_synthetic_says_so_and_is_always_the_same() -> None:
    first, described = trial_input(COLOUR)
    second, _ = trial_input(COLOUR)
    assert described == "on a synthetic gradient with noise"
    assert np.array_equal(first, second)
    assert first.shape == (2, 3, 30, 40)
    assert first.dtype == np.float32
    assert first[0].std() > 0.1
    np.testing.assert_allclose(first[1], 2 * first[0] - 1, atol=1e-6)
    assert first[0].min() >= 0
    assert first[0].max() <= 1


def test_a_trial_shows_the_photo(astronaut_path: Path, astronaut: FloatArray) -> None:
    trial, described = trial_input(COLOUR, astronaut_path)
    assert described == f"on the photo {astronaut_path}"
    assert trial.shape == (2, 3, 30, 40)
    np.testing.assert_allclose(
        trial[0].mean(axis=(1, 2)), astronaut.mean(axis=(0, 1)) / 255, atol=0.01
    )
    grey, _ = trial_input(GREY, astronaut_path)
    np.testing.assert_allclose(grey[0, 0], trial[0].mean(axis=0), atol=1e-6)


def test_a_trial_on_no_photo_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        trial_input(COLOUR, tmp_path / "none.jpg")


def test_free_axes_are_tried_at_another_length() -> None:
    class OffWhenShort(Doubling):
        def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
            self.off = 0.5 if arrays[0].shape[3] == 20 else 0
            return super().__call__(*arrays)

    trial, _ = trial_input(COLOUR)
    free = NetworkSpec("a:B", ("image",), ("first", "second"), (3, 30, 40), free_axes=(1, 2))
    assert compare(Doubling(), OffWhenShort(), trial, COLOUR)["second"] == 0
    found = compare(Doubling(), OffWhenShort(), trial, free)
    assert found["second"] == pytest.approx(0.5, abs=1e-6)
    assert found["first"] == 0
