"""Images read ahead of the model: in order, from disk and from bytes, and errors in their place."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facekit.datasets import ImageRecord
from facekit.errors import ImageError
from facekit.evaluation.photos import batches, read_photo


def photos(folder: Path, count: int) -> list[ImageRecord]:
    """Grey images, each of its own number."""
    for number in range(count):
        Image.new("RGB", (8, 6), (number, number, number)).save(folder / f"{number}.png")
    return [ImageRecord(name=f"{number}.png", root=folder) for number in range(count)]


@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (7, 3), (6, 3), (5, 1)])
def test_every_image_once_and_in_order(tmp_path: Path, count: int, size: int) -> None:
    records = photos(tmp_path, count)
    read = list(batches(records, size))
    assert [len(some) for some, _ in read] == [size] * (count // size) + [count % size][
        : bool(count % size)
    ]
    assert [record for some, _ in read for record in some] == records
    assert [int(image[0, 0, 0]) for _, images in read for image in images] == list(range(count))


def test_an_image_that_is_none_comes_after_those_before_it(tmp_path: Path) -> None:
    records = photos(tmp_path, 6)
    (tmp_path / "4.png").write_bytes(b"none")
    seen: list[str] = []
    with pytest.raises(ImageError, match=r"4.png"):
        seen.extend(record.name for some, _ in batches(records, 3) for record in some)
    assert seen == ["0.png", "1.png", "2.png", "3.png"]


def test_bytes_and_images_that_are_nowhere(astronaut: npt.NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(astronaut).save(buffer, "png")
    record = ImageRecord(name="a.png", data=buffer.getvalue())
    np.testing.assert_array_equal(read_photo(record), astronaut)
    with pytest.raises(ImageError, match=r"a.png"):
        read_photo(record.replace(data=b"none"))
    with pytest.raises(ImageError, match="the folder of images is not known"):
        read_photo(record.replace(data=None))
