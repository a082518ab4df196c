"""Pixels in and out: read, check, crop, resize, write.

Inside facekit an image is RGB ``uint8`` of shape ``(H, W, 3)`` with its EXIF orientation applied.
Adapters convert from there to what their model wants.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from facekit import atomic
from facekit.errors import ImageError, OutputError

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "ImageLike",
    "RgbImage",
    "as_rgb",
    "crop",
    "read",
    "read_all",
    "read_size",
    "write",
]

RgbImage = npt.NDArray[np.uint8]
ImageLike = str | os.PathLike[str] | Image.Image | npt.NDArray[np.uint8]

DEFAULT_MAX_PIXELS = 100_000_000
"""Refuse larger images unless told otherwise: 300 MB of RGB, a little above any camera's photo."""

MAX_PIXELS_VARIABLE = "FACEKIT_MAX_PIXELS"
"""Environment variable that raises (or lowers) :data:`DEFAULT_MAX_PIXELS`."""

_JPEG_QUALITY = 95
_ORIENTATION, _LENGTH = ExifTags.Base.Orientation, ExifTags.Base.ImageLength
_TURNED = frozenset({5, 6, 7, 8})  # orientations that swap width and height
_header_lock = threading.Lock()


class _Silence:
    """Ignore Pillow's warnings while any thread decodes.

    A damaged EXIF block or an odd palette is no reason to refuse, or to talk about, the pixels.
    ``warnings.catch_warnings`` alone would restore another thread's filters for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore", UserWarning)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._filters.__exit__(None, None, None)


_silence = _Silence()


def max_pixels() -> int:
    """Return the number of pixels above which an image is refused.

    Raises:
        ImageError: If ``FACEKIT_MAX_PIXELS`` is not a positive number.
    """
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    if not text:
        return DEFAULT_MAX_PIXELS
    if not text.isdecimal() or int(text) == 0:
        message = f"{MAX_PIXELS_VARIABLE}={text!r} is not a positive number of pixels"
        raise ImageError(message)
    return int(text)


@contextlib.contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Lift Pillow's own pixel limit while a header is read.

    Pillow's limit is one number for the whole process, checked while opening; ours is checked
    right after, before any pixel is decoded. The lock keeps the change short and whole.
    """
    with _header_lock:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def read(path: str | os.PathLike[str]) -> RgbImage:
    """Read an image file.

    Args:
        path: Any format that Pillow reads; of an animation, the first frame.

    Returns:
        ``(H, W, 3)`` uint8 RGB, EXIF orientation applied, alpha dropped, 16 bits brought to 8.

    Raises:
        ImageError: If the file is missing, empty, no image, truncated, or has more pixels than
            ``FACEKIT_MAX_PIXELS`` (100 million where it is not set).
    """
    file = Path(path)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        message = f"{file}: no such file"
        raise ImageError(message) from None
    except IsADirectoryError:
        message = f"{file}: is a folder, not an image"
        raise ImageError(message) from None
    except OSError as error:
        message = f"{file}: cannot be read: {error.strerror or error}"
        raise ImageError(message) from error
    if not data:
        message = f"{file}: the file is empty"
        raise ImageError(message)
    return _decode(data, str(file))


def read_size(source: str | os.PathLike[str] | bytes, name: str = "<bytes>") -> tuple[int, int]:
    """Read an image's size from its header: no pixel is decoded.

    Args:
        source: An image file, or its bytes.
        name: What messages call the bytes.

    Returns:
        Height and width of what :func:`read` gives, pixels: with the EXIF orientation applied.

    Raises:
        ImageError: If the file is missing, or no image.
    """
    if isinstance(source, bytes):
        return _size_in(io.BytesIO(source), name)
    try:
        with Path(source).open("rb") as file:
            return _size_in(file, str(source))
    except OSError as error:
        message = f"{source}: cannot be read: {error.strerror or error}"
        raise ImageError(message) from error


def _size_in(file: IO[bytes], name: str) -> tuple[int, int]:
    """Return height and width, upright, of an open image file."""
    with _opened(file, name) as image, _silence:
        width, height = image.size
        if isinstance(image, TiffImageFile):  # newer Pillows have already swapped its sides
            width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[_LENGTH]
        try:
            # Of a PNG, Pillow's own getexif decodes every pixel in search of a block after them.
            early = isinstance(image, PngImageFile) and not _has_late_exif(file)
            exif = Image.Image.getexif(image) if early else image.getexif()
        except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and reading ignores it
            return height, width
        return (width, height) if exif.get(_ORIENTATION, 1) in _TURNED else (height, width)


def _has_late_exif(file: IO[bytes]) -> bool:
    """Tell whether a PNG may hold its orientation after its pixels."""
    place = file.tell()
    file.seek(8)
    pixels_seen = found = False
    while not found and len(head := file.read(8)) == 8:  # noqa: PLR2004 - length and name
        kind = head[4:]
        pixels_seen |= kind == b"IDAT"
        found = pixels_seen and kind in {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    file.seek(place)
    return found


def _decode(data: bytes, name: str) -> RgbImage:
    """Decode the bytes of an image file; ``name`` is for messages."""
    with _opened(io.BytesIO(data), name) as image:
        _check_pixels(image.size, name)
        return _to_rgb(image, name)


def _opened(file: IO[bytes], name: str) -> Image.Image:
    """Open an image without decoding it; ``name`` is for messages."""
    try:
        with _without_pillow_limit(), _silence:
            return Image.open(file)
    except UnidentifiedImageError:
        message = f"{name}: not an image in a format that Pillow reads"
        raise ImageError(message) from None
    except Exception as error:
        # Pillow's plugins raise anything from SyntaxError to struct.error on damaged headers.
        message = f"{name}: the image's header is damaged: {error}"
        raise ImageError(message) from error


def _check_pixels(size: tuple[int, int], name: str) -> None:
    """Refuse an image that would fill the memory.

    Raises:
        ImageError: If width times height is above the limit.
    """
    width, height = size
    limit = max_pixels()
    if width * height > limit:
        message = (
            f"{name}: {width} x {height} px is over the limit of {limit} pixels; "
            f"raise it by the environment variable {MAX_PIXELS_VARIABLE} if you trust the file"
        )
        raise ImageError(message)


def _to_rgb(image: Image.Image, name: str) -> RgbImage:
    """Decode, turn upright and convert a Pillow image to an RGB array."""
    try:
        with _silence:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                wide = np.asarray(upright).astype(np.uint16)
                upright = Image.fromarray((wide >> 8).astype(np.uint8))
            return np.array(upright.convert("RGB"), dtype=np.uint8)
    except Exception as error:
        # Decoders raise OSError on truncation, but also ValueError and struct.error on damage.
        message = f"{name}: the image is damaged or truncated: {error}"
        raise ImageError(message) from error


def as_rgb(image: ImageLike) -> RgbImage:
    """Bring a path, a Pillow image or an array to an RGB array.

    Args:
        image: A path, a Pillow image (its EXIF orientation is applied), or a uint8 RGB array.

    Returns:
        ``(H, W, 3)`` uint8 RGB. An array is returned as it is, not copied: do not write to it.

    Raises:
        ImageError: If it cannot be read, or is an array of another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        return _checked_array(image)
    if isinstance(image, Image.Image):
        name = f"<{type(image).__name__}>"
        _check_pixels(image.size, name)
        return _to_rgb(image, name)
    if isinstance(image, str | os.PathLike):
        return read(image)
    message = (
        f"an image is a path, a Pillow image or an RGB uint8 array, not {type(image).__name__}"
    )
    raise ImageError(message)


def _checked_array(array: npt.NDArray[np.uint8]) -> RgbImage:
    """Check dtype and shape of an image array.

    Raises:
        ImageError: If it is not ``(H, W, 3)`` uint8 with at least one pixel.
    """
    way_out = "give RGB uint8 of shape (H, W, 3)"
    if array.dtype != np.uint8:
        message = f"image array has dtype {array.dtype}: {way_out}"
        raise ImageError(message)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:  # noqa: PLR2004 - H, W, RGB
        message = f"image array has shape {array.shape}: {way_out}"
        raise ImageError(message)
    return array


def read_all(images: Sequence[ImageLike]) -> list[RgbImage]:
    """Bring a batch of images to RGB arrays: the door of every adapter.

    Args:
        images: A sequence of images; also an ``(N, H, W, 3)`` array.

    Returns:
        One ``(H, W, 3)`` uint8 array an image.

    Raises:
        ImageError: If one cannot be read, or a single image was given in place of a sequence.
    """
    single = isinstance(images, str | os.PathLike | Image.Image)
    if single or (isinstance(images, np.ndarray) and images.ndim != 4):  # noqa: PLR2004 - NHWC
        message = "expected a sequence of images, got a single one: write [image]"
        raise ImageError(message)
    return [as_rgb(image) for image in images]


def crop(
    image: RgbImage,
    box: npt.ArrayLike,
    size: tuple[int, int] | None = None,
    *,
    border: Literal["black", "replicate"] = "black",
) -> RgbImage:
    """Cut a box out of an image.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        box: ``x1, y1, x2, y2``, continuous pixels; may leave the image.
        size: Height and width of the result, pixels; by default the box's own, rounded.
        border: What lies outside the image: black, or the nearest pixel of its border.

    Returns:
        ``(h, w, 3)`` or ``(h, w)`` uint8, resampled once: sub-pixel exact, bilinear, and smoothed
        first where the box is shrunk to less than half.
    """
    x1, y1, x2, y2 = (float(value) for value in np.asarray(box, dtype=np.float64))
    if size is None:
        size = max(1, round(y2 - y1)), max(1, round(x2 - x1))
    height, width = size
    step_x, step_y = max(x2 - x1, 1e-6) / width, max(y2 - y1, 1e-6) / height
    image, (x1, y1, x2, y2) = _around(image, (x1, y1, x2, y2))
    if max(step_x, step_y) > 2:  # noqa: PLR2004 - bilinear looks at two pixels a side
        image, (x1, y1, x2, y2) = _shrunk(image, (x1, y1, x2, y2), (step_x, step_y))
        step_x, step_y = max(x2 - x1, 1e-6) / width, max(y2 - y1, 1e-6) / height
    # warpAffine maps pixel centres, which lie half a pixel from the continuous corners.
    matrix = np.array(
        [[step_x, 0, x1 + step_x / 2 - 0.5], [0, step_y, y1 + step_y / 2 - 0.5]], dtype=np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mode = cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=mode)
    return np.asarray(warped, dtype=np.uint8)


def _around(
    image: RgbImage, box: tuple[float, float, float, float]
) -> tuple[RgbImage, tuple[float, float, float, float]]:
    """Cut out the part of an image that sampling a box can see, two pixels wider on each side.

    OpenCV 4 samples from images of less than 32,767 pixels a side only; faces are smaller.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        box: ``x1, y1, x2, y2``, pixels.

    Returns:
        The part, at least one pixel of the image's border, and the box in its pixels.
    """
    x1, y1, x2, y2 = box
    height, width = image.shape[:2]
    left = min(max(math.floor(x1) - 2, 0), width - 1)
    top = min(max(math.floor(y1) - 2, 0), height - 1)
    right, bottom = max(math.ceil(x2) + 2, left + 1), max(math.ceil(y2) + 2, top + 1)
    return image[top:bottom, left:right], (x1 - left, y1 - top, x2 - left, y2 - top)


def _shrunk(
    image: RgbImage, box: tuple[float, float, float, float], steps: tuple[float, float]
) -> tuple[RgbImage, tuple[float, float, float, float]]:
    """Shrink an image by area, so that sampling a box of it does not alias.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        box: ``x1, y1, x2, y2``, pixels.
        steps: By how much to shrink in x and in y; less than 1 leaves that axis as it is.

    Returns:
        The small image and the box in its pixels.
    """
    height, width = image.shape[:2]
    size = max(1, round(width / max(steps[0], 1))), max(1, round(height / max(steps[1], 1)))
    ratio_x, ratio_y = size[0] / width, size[1] / height
    x1, y1, x2, y2 = box
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    moved = x1 * ratio_x, y1 * ratio_y, x2 * ratio_x, y2 * ratio_y
    return np.asarray(small, dtype=np.uint8), moved


def encode(image: RgbImage, suffix: str) -> bytes:
    """Encode an image in the format of a file name's suffix.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        suffix: ``.jpg``, ``.png`` or any other suffix that Pillow writes.

    Raises:
        OutputError: If no encoder has that suffix.
    """
    kind = Image.registered_extensions().get(suffix.lower())
    if kind is None or kind not in Image.SAVE:
        message = f"no image format has the suffix {suffix!r}; use .jpg or .png"
        raise OutputError(message)
    options = {"quality": _JPEG_QUALITY, "subsampling": 0} if kind == "JPEG" else {}
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind, **options)
    return buffer.getvalue()


def write(path: str | os.PathLike[str], image: RgbImage) -> None:
    """Write an image file atomically, in the format of its suffix.

    Args:
        path: The file to be written.
        image: ``(H, W, 3)`` uint8 RGB.

    Raises:
        OutputError: If the place cannot be written or the suffix is of no image format.
    """
    target = atomic.check_writable(path)
    atomic.write_bytes(target, encode(image, target.suffix))
