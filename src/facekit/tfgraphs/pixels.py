"""Photos as a graph's input wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from facekit.errors import BackendError
from facekit.tfgraphs.signature import Array, TensorInfo

__all__ = ["prepare", "resized"]

_INTEGERS: Final = {"uint8", "int8", "int32", "int64"}

Pixels = npt.NDArray[np.uint8]


def prepare(
    images: Sequence[Pixels],
    tensor: TensorInfo,
    *,
    offset: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
    half_pixel_centers: bool,
) -> Array:
    """Return images as one input.

    Args:
        images: ``(H, W, 3)`` uint8 each; of one size, unless the input has its own.
        tensor: The input. Integers take pixels as they are; floats and quantised integers take
            ``(pixel - offset) / scale``, the latter divided into steps.
        offset: The pixel value that becomes 0, of all channels or of each.
        scale: The pixel value that becomes 1 above it.
        half_pixel_centers: See :func:`resized`.

    Returns:
        ``(N, H, W, 3)`` of the input's type, or ``(N,)`` of PNG files for an input of files.

    Raises:
        BackendError: If an input is of a type that holds no pixels.
    """
    if tensor.dtype == "string":
        return np.array([_png(image) for image in images], dtype=object)
    size = tensor.shape[1:3] if tensor.shape is not None else (None, None)
    pixels = [_fitted(image, size, half_pixel_centers=half_pixel_centers) for image in images]
    batch: npt.NDArray[np.float32] = np.stack(pixels, dtype=np.float32)
    if tensor.dtype in _INTEGERS and not tensor.scale:
        whole: Array = np.rint(batch).astype(tensor.dtype)
        return whole
    if tensor.scale:
        return _quantised(batch, tensor, offset, scale)
    values = batch if not offset.any() and (scale == 1).all() else (batch - offset) / scale
    return values.astype(_float_type(tensor))


def _quantised(
    batch: npt.NDArray[np.float32],
    tensor: TensorInfo,
    offset: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
) -> Array:
    """Return pixels as the steps that stand for their normalised values.

    In double precision: where 0 .. 255 becomes -1 .. 1 in 255 steps, every whole pixel value is
    half-way between two of them, and single precision would round it by chance.
    """
    limits = np.iinfo(tensor.dtype)
    values = (batch.astype(np.float64) - offset) / scale
    steps = np.rint(values / tensor.scale + tensor.zero)
    quantised: Array = steps.clip(limits.min, limits.max).astype(tensor.dtype)
    return quantised


def resized(
    image: Pixels, size: tuple[int, int], *, half_pixel_centers: bool = False
) -> npt.NDArray[np.float32]:
    """Stretch an image as TensorFlow does, bilinearly and without smoothing.

    Args:
        image: ``(H, W, 3)`` uint8.
        size: Height and width of the result, pixels.
        half_pixel_centers: TF2's way, in which the middles of the pixels correspond; TF1's, which
            the Object Detection API's own graphs use to this day, lays their corners on each
            other.

    Returns:
        ``(*size, 3)`` float32, 0 to 255.
    """
    values = image.astype(np.float32)
    for axis, side in enumerate(size):
        low, high, part = _neighbours(image.shape[axis], side, half_pixel_centers)
        part = part.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        first = values.take(low, axis)
        values = first + (values.take(high, axis) - first) * part
    return values


def _neighbours(
    have: int,
    want: int,
    half_pixel_centers: bool,  # noqa: FBT001 - TensorFlow's own switch
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the two pixels that each new one is between, and how near it is to the second."""
    step = np.float32(have / want)
    places = np.arange(want, dtype=np.float32)
    if half_pixel_centers:
        places = (places + np.float32(0.5)) * step - np.float32(0.5)
    else:
        places *= step
    floor = np.floor(places)
    low = floor.astype(np.int64)
    last = have - 1
    return low.clip(0, last), (low + 1).clip(0, last), (places - floor).astype(np.float32)


def _fitted(
    image: Pixels, size: tuple[int | None, ...], *, half_pixel_centers: bool
) -> npt.NDArray[np.float32] | Pixels:
    """Return an image in the input's size, or as it is where any will do."""
    height, width = (side or own for side, own in zip(size, image.shape[:2], strict=True))
    if (height, width) == image.shape[:2]:
        return image
    return resized(image, (height, width), half_pixel_centers=half_pixel_centers)


def _float_type(tensor: TensorInfo) -> npt.DTypeLike:
    """Return the type of an input of floats.

    Raises:
        BackendError: If it is of another type.
    """
    if not tensor.dtype.startswith("float"):
        raise BackendError(f"detector 'tfod': the input {tensor} holds no pixels")
    return np.dtype(tensor.dtype)


def _png(image: Pixels) -> bytes:
    """Encode an image without loss."""
    _, encoded = cv2.imencode(".png", image[..., ::-1])
    return encoded.tobytes()
