from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from facekit.draw import contact_sheet
from facekit.errors import ImageError

Rgb = npt.NDArray[np.uint8]


def test_images_are_laid_out_in_rows(astronaut: Rgb) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    images = [np.full((30, 30, 3), colour, np.uint8) for colour in colours]
    sheet = contact_sheet(images, columns=2, cell=100)
    assert sheet.shape == (200, 200, 3)
    centres = [sheet[50, 50], sheet[50, 150], sheet[150, 50], sheet[150, 150]]
    assert [tuple(pixel) for pixel in centres] == [*colours, (255, 255, 255)]
    assert contact_sheet([astronaut], cell=64).shape == (64, 64, 3)


def test_each_image_keeps_its_proportions(astronaut: Rgb) -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    sheet = contact_sheet([wide], cell=200)
    rows, columns = np.nonzero((sheet == 0).all(axis=2))
    assert abs((np.ptp(columns) + 1) / (np.ptp(rows) + 1) - 4) < 0.1
    assert contact_sheet([astronaut[:1, :]], cell=200).shape == (200, 200, 3)


def test_captions_stand_below_and_fit(astronaut: Rgb) -> None:
    plain = contact_sheet([astronaut, astronaut], columns=2, cell=160)
    long = "a caption that is far too long for a cell of this size, and so is cut"
    sheet = contact_sheet([astronaut, astronaut], columns=2, cell=160, captions=["short", long])
    assert sheet.shape[0] > plain.shape[0]
    below = np.asarray((sheet[160:] < 128).any(axis=2))
    left, right = np.nonzero(below[:, :160])[1], np.nonzero(below[:, 160:])[1]
    assert 0 < np.ptp(left) < np.ptp(right)
    assert left.max() < 158
    assert 2 <= right.min() < right.max() < 158


def test_an_empty_caption_is_no_text(astronaut: Rgb) -> None:
    assert (contact_sheet([astronaut], cell=160, captions=[""])[160:] == 255).all()


def test_no_image_is_an_image_error() -> None:
    with pytest.raises(ImageError, match="at least one image"):
        contact_sheet([])


def test_one_caption_an_image(astronaut: Rgb) -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([astronaut, astronaut], captions=["one"])
