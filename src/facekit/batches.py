"""The door of every adapter: images in chunks, and images paired with their detections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facekit.errors import ImageError
from facekit.images import ImageLike, RgbImage, read_all
from facekit.types import Detections

__all__ = ["read_chunks", "read_pairs"]


def read_chunks(images: Sequence[ImageLike], size: int) -> Iterator[list[RgbImage]]:
    """Read a batch of images a few at a time, so that a long list of files fits in memory.

    Args:
        images: A sequence of images; also an ``(N, H, W, 3)`` array.
        size: Images of a chunk.

    Yields:
        ``(H, W, 3)`` uint8 arrays, at most ``size`` at a time, in order.

    Raises:
        ImageError: If one cannot be read, or a single image was given in place of a sequence.
    """
    sequence = _as_sequence(images)
    for start in range(0, len(sequence), size):
        yield read_all(sequence[start : start + size])


def read_pairs(
    images: Sequence[ImageLike], detections: Sequence[Detections]
) -> Iterator[tuple[RgbImage, Detections]]:
    """Read images one by one, each with the faces that were found in it.

    Args:
        images: A sequence of images; also an ``(N, H, W, 3)`` array.
        detections: The faces of each image.

    Yields:
        An ``(H, W, 3)`` uint8 array and its detections, in order.

    Raises:
        ImageError: If there is not one ``Detections`` an image, if they are of an image of
            another size, or if an image cannot be read.
    """
    sequence = _as_sequence(images)
    if len(sequence) != len(detections):
        raise ImageError(
            f"expected one Detections an image, got {len(detections)} for {len(sequence)} images"
        )
    for index, (image, found) in enumerate(zip(sequence, detections, strict=True)):
        (rgb,) = read_all([image])
        if rgb.shape[:2] != found.image_size:
            raise ImageError(
                f"image {index} is {rgb.shape[1]} x {rgb.shape[0]} px, its detections are of an "
                f"image of {found.image_size[1]} x {found.image_size[0]} px"
            )
        yield rgb, found


def _as_sequence(images: Sequence[ImageLike]) -> Sequence[ImageLike]:
    """Return a list or tuple as it is, unread; `read_all` says what is wrong with the rest."""
    return images if isinstance(images, list | tuple) else read_all(images)
