from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from facekit.draw.strokes import draw_strokes

WHITE = (255, 255, 255)
Rgb = npt.NDArray[np.uint8]


@pytest.fixture
def canvas() -> Rgb:
    return np.zeros((100, 120, 3), np.uint8)


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 2.0, 3.0, 8.0])
def test_a_line_is_as_wide_as_asked(canvas: Rgb, width: float) -> None:
    draw_strokes(canvas, lines=[([[10, 50], [110, 50]], False)], colour=WHITE, width=width)
    # The light that the line gives is its width, also below a pixel.
    assert canvas[:, 60, 0].sum() / 255 == pytest.approx(width, abs=0.5)
    rows = np.arange(100) + 0.5
    middle = (canvas[:, 60, 0] * rows).sum() / canvas[:, 60, 0].sum()
    assert middle == pytest.approx(50, abs=0.3)


@pytest.mark.parametrize("radius", [1.0, 4.0, 12.5])
def test_a_dot_is_as_large_as_asked_and_where_asked(canvas: Rgb, radius: float) -> None:
    draw_strokes(canvas, dots=[[70.25, 40.5]], colour=WHITE, width=0.5, radius=radius)
    light = canvas[:, :, 0] / 255
    assert light.sum() == pytest.approx(np.pi * radius**2, rel=0.35)
    rows, columns = np.mgrid[:100, :120] + 0.5
    assert (light * columns).sum() / light.sum() == pytest.approx(70.25, abs=0.2)
    assert (light * rows).sum() / light.sum() == pytest.approx(40.5, abs=0.2)


def test_the_rim_is_dark_on_a_light_ground(canvas: Rgb) -> None:
    canvas[:] = 200
    draw_strokes(canvas, lines=[([[10, 50], [110, 50]], False)], colour=WHITE, width=4)
    column = canvas[:, 60, 0]
    assert column[50] == 255
    assert column[40:50].min() < 140
    assert column[50:60].min() < 140
    assert (np.delete(column, slice(44, 56)) == 200).all()


def test_a_closed_line_returns_to_its_start(canvas: Rgb) -> None:
    square = [[20, 20], [80, 20], [80, 80], [20, 80]]
    draw_strokes(canvas, lines=[(square, False)], colour=WHITE, width=1)
    assert canvas[50, 20].max() == 0
    draw_strokes(canvas, lines=[(square, True)], colour=WHITE, width=1)
    assert canvas[50, 19:21].max() > 100


def test_a_thin_stroke_over_a_huge_image_costs_no_finer_mask() -> None:
    canvas = np.zeros((2000, 2100, 3), np.uint8)
    draw_strokes(canvas, lines=[([[5, 5], [2090, 1990]], False)], colour=WHITE, width=0.5)
    assert canvas.any()


def test_nothing_outside_the_image_is_drawn(canvas: Rgb) -> None:
    draw_strokes(canvas, colour=WHITE, width=2)
    draw_strokes(canvas, dots=[[500, 500]], colour=WHITE, width=2, radius=3)
    draw_strokes(canvas, lines=[([[-50, 10], [-20, 90]], False)], colour=WHITE, width=2)
    assert not canvas.any()
