"""Reading at an adapter's door: in chunks, in pairs, and nothing that does not belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit.batches import read_chunks, read_pairs
from facekit.errors import ImageError
from facekit.types import Detections


def image(number: int, size: tuple[int, int] = (2, 3)) -> Any:
    return np.full((*size, 3), number, dtype=np.uint8)


def test_chunks_in_order() -> None:
    chunks = list(read_chunks([image(i) for i in range(5)], 2))
    assert [[int(part[0, 0, 0]) for part in chunk] for chunk in chunks] == [[0, 1], [2, 3], [4]]


def test_no_images() -> None:
    assert list(read_chunks([], 2)) == []
    assert list(read_chunks((), 2)) == []


def test_a_stacked_array() -> None:
    stacked = np.stack([image(1), image(2), image(3)])
    assert [len(chunk) for chunk in read_chunks(stacked, 2)] == [2, 1]  # type: ignore[arg-type]


def test_later_files_are_read_later(tmp_path: Path) -> None:
    Image.fromarray(image(7)).save(tmp_path / "a.png")
    chunks = read_chunks([tmp_path / "a.png", tmp_path / "missing.png"], 1)
    assert next(chunks)[0][0, 0].tolist() == [7, 7, 7]
    with pytest.raises(ImageError, match=r"missing\.png: no such file"):
        next(chunks)


@pytest.mark.parametrize("single", ["a.png", Path("a.png"), image(1), Image.new("RGB", (1, 1))])
def test_a_single_image_is_no_batch(single: Any) -> None:
    with pytest.raises(ImageError, match=r"write \[image\]"):
        next(read_chunks(single, 2))
    with pytest.raises(ImageError, match=r"write \[image\]"):
        next(read_pairs(single, []))


def test_pairs() -> None:
    found = [Detections.empty((2, 3)), Detections.empty((4, 5))]
    pairs = list(read_pairs([image(1), image(2, (4, 5))], found))
    assert [int(rgb[0, 0, 0]) for rgb, _ in pairs] == [1, 2]
    assert [part for _, part in pairs] == found


@pytest.mark.parametrize("count", [0, 2])
def test_not_one_detections_an_image(count: int) -> None:
    with pytest.raises(ImageError, match=rf"one Detections an image, got {count} for 1 images"):
        next(read_pairs([image(1)], [Detections.empty((2, 3))] * count))


def test_detections_of_an_image_of_another_size() -> None:
    found = [Detections.empty((2, 3)), Detections.empty((3, 2))]
    with pytest.raises(
        ImageError, match=r"image 1 is 3 x 2 px, its detections are of an image of 2 x 3 px"
    ):
        list(read_pairs([image(1), image(2)], found))
