"""Images read ahead of the model, so that it does not wait for the disk and the decoder."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from PIL import Image

from facekit import images
from facekit.datasets import ImageRecord
from facekit.errors import ImageError
from facekit.images import RgbImage

__all__ = ["batches", "read_photo"]

_READERS: Final = 2


def read_photo(record: ImageRecord) -> RgbImage:
    """Read an image of a dataset.

    Args:
        record: Any record.

    Raises:
        ImageError: If it is not at hand, or cannot be read; it is named.
    """
    if record.data is not None:
        images.read_size(record.data, record.name)  # refuses what is no image, by name
        return images.as_rgb(Image.open(io.BytesIO(record.data)))
    if record.path is None:
        message = f"{record.name}: the folder of images is not known (images=DIR when reading)"
        raise ImageError(message)
    return images.read(record.path)


def batches(
    records: Iterable[ImageRecord], size: int
) -> Iterator[tuple[list[ImageRecord], list[RgbImage]]]:
    """Read images a few at a time, the next ones while the caller works.

    Args:
        records: The images, in order.
        size: Images of a batch.

    Yields:
        Records and ``(H, W, 3)`` uint8 arrays.

    Raises:
        ImageError: If an image cannot be read; it is named. What came before it was yielded.
    """
    waiting: deque[tuple[ImageRecord, Future[RgbImage]]] = deque()
    source = iter(records)
    with ThreadPoolExecutor(_READERS, "facekit-read") as pool:
        try:
            while True:
                for record in source:
                    waiting.append((record, pool.submit(read_photo, record)))
                    if len(waiting) >= 2 * size:
                        break
                if not waiting:
                    return
                yield _taken(waiting, size)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _taken(
    waiting: deque[tuple[ImageRecord, Future[RgbImage]]], size: int
) -> tuple[list[ImageRecord], list[RgbImage]]:
    """Take the next images; one that cannot be read waits until it is the first."""
    records: list[ImageRecord] = []
    pictures: list[RgbImage] = []
    while waiting and len(records) < size:
        record, future = waiting[0]
        if records and future.exception() is not None:
            break
        pictures.append(future.result())
        records.append(record)
        waiting.popleft()
    return records, pictures
