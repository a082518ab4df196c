"""Real photos with known faces, from those that scikit-image's wheel ships: nothing is downloaded.

The face is Eileen Collins's in NASA's public-domain portrait, annotated by hand to about 2 px; the
photos without faces are of things, an animal and textures.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from facekit.boxes import FloatArray
from facekit.errors import MissingDependencyError
from facekit.images import RgbImage
from facekit.types import Detections

__all__ = [
    "Photo",
    "astronaut",
    "blank",
    "face_photos",
    "faceless",
    "mirrored",
    "pair",
    "portrait",
    "resized",
    "shifted",
    "stored_as",
]

# Hairline or brow to chin, ear to ear; in the published 512 x 512 photo.
_FACE: Final = (180.0, 66.0, 271.0, 178.0)
# About the 68 points (outer jaw to outer jaw, brows to chin), 6 % larger than their extent.
_SQUARE: Final = (178.5, 85.5, 272.5, 179.5)
# Viewer's left, then viewer's right.
_EYES: Final = ((202.0, 101.0), (245.0, 103.5))

# Head and shoulders, as left, top, right, bottom.
_PORTRAIT: Final = (96, 8, 352, 264)
_FACELESS: Final = ("brick.png", "chelsea.png", "coffee.png", "grass.png", "page.png", "rocket.jpg")
_GREY: Final = 128

_EXIF_ORIENTATION: Final = 0x0112


def _transposed(image: RgbImage) -> RgbImage:
    return image.swapaxes(0, 1)


def _transversed(image: RgbImage) -> RgbImage:
    return image[::-1, ::-1].swapaxes(0, 1)


# By the EXIF tag's value: from upright to stored pixels, and back.
_TURNS: Final[dict[int, tuple[Callable[[RgbImage], RgbImage], Callable[[RgbImage], RgbImage]]]] = {
    1: (np.asarray, np.asarray),
    2: (np.fliplr, np.fliplr),
    3: (functools.partial(np.rot90, k=2), functools.partial(np.rot90, k=2)),
    4: (np.flipud, np.flipud),
    5: (_transposed, _transposed),
    6: (functools.partial(np.rot90, k=1), functools.partial(np.rot90, k=-1)),
    7: (_transversed, _transversed),
    8: (functools.partial(np.rot90, k=-1), functools.partial(np.rot90, k=1)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """A photo and the truth about its faces, from left to right.

    Attributes:
        name: What to call it in messages and golden records.
        image: ``(H, W, 3)`` uint8 RGB, read-only.
        faces: ``(n, 4)`` float32 xyxy around each face, pixels.
        squares: ``(n, 4)`` float32 xyxy, the canonical squares around the 68 landmarks, pixels.
        eyes: ``(n, 2, 2)`` float32 ``x, y`` of the viewer's left and right eye, pixels.
    """

    name: str
    image: RgbImage
    faces: FloatArray
    squares: FloatArray
    eyes: FloatArray

    def __post_init__(self) -> None:
        """Make the pixels read-only: an adapter that writes to them is wrong."""
        self.image.setflags(write=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def detections(self) -> Detections:
        """The true faces as a detector of canonical squares would give them."""
        scores = np.linspace(1, 0.9, len(self.squares), dtype=np.float32)
        return Detections(boxes=self.squares, scores=scores, image_size=self.size)


def _package_photo(file_name: str) -> RgbImage:
    """Read one of scikit-image's photos as ``(H, W, 3)`` uint8 RGB.

    Raises:
        MissingDependencyError: If scikit-image is not installed.
    """
    try:
        import skimage  # noqa: PLC0415 - only the contract suites need it
    except ModuleNotFoundError as error:
        install = 'pip install "facekit[testing]"'
        raise MissingDependencyError("facekit.testing", "skimage", install) from error
    # skimage.data would look in a download cache first.
    with Image.open(Path(skimage.__file__).parent / "data" / file_name) as image:
        return np.array(image.convert("RGB"), dtype=np.uint8)


@functools.cache
def astronaut() -> Photo:
    """Return the published photo, 512 x 512: one clear face, 91 x 112 px."""
    return Photo(
        "astronaut",
        _package_photo("astronaut.png"),
        np.array([_FACE], np.float32),
        np.array([_SQUARE], np.float32),
        np.array([_EYES], np.float32),
    )


@functools.cache
def mirrored(photo: Photo) -> Photo:
    """Return a photo mirrored left to right, with its truth."""
    width = photo.size[1]

    def flip(boxes: FloatArray) -> FloatArray:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)

    eyes = photo.eyes[:, ::-1] * np.array([-1, 1]) + np.array([width, 0])
    image = np.ascontiguousarray(photo.image[:, ::-1])
    faces, squares = flip(photo.faces)[::-1], flip(photo.squares)[::-1]
    return Photo(f"{photo.name} mirrored", image, faces, squares, eyes[::-1])


def _moved(photo: Photo, x: float, y: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return faces, squares and eyes moved right by ``x`` and down by ``y`` pixels."""
    offset = np.array([x, y], np.float32)
    return photo.faces + np.tile(offset, 2), photo.squares + np.tile(offset, 2), photo.eyes + offset


@functools.cache
def shifted(photo: Photo, left: int, top: int) -> Photo:
    """Return a photo without its first ``left`` columns and ``top`` rows, with its truth."""
    image = np.ascontiguousarray(photo.image[top:, left:])
    return Photo(f"{photo.name} from {left}, {top}", image, *_moved(photo, -left, -top))


@functools.cache
def portrait() -> Photo:
    """Return head and shoulders alone, 256 x 256."""
    left, top, right, bottom = _PORTRAIT
    image = astronaut().image[top:bottom, left:right].copy()
    return Photo("portrait", image, *_moved(astronaut(), -left, -top))


@functools.cache
def resized(photo: Photo, factor: float) -> Photo:
    """Return a photo made larger or smaller, with its truth."""
    height, width = (round(side * factor) for side in photo.size)
    image = Image.fromarray(photo.image).resize((width, height), Image.Resampling.LANCZOS)
    scale = np.array([width / photo.size[1], height / photo.size[0]], np.float32)
    boxes = (photo.faces * np.tile(scale, 2), photo.squares * np.tile(scale, 2))
    return Photo(f"{photo.name} x {factor:g}", np.array(image), *boxes, photo.eyes * scale)


@functools.cache
def pair() -> Photo:
    """Return two portraits on a grey canvas, 640 wide and 400 high, the right one mirrored.

    They stand at different heights, so that an adapter that mixes up x and y is found out.
    """
    canvas = np.full((400, 640, 3), _GREY, np.uint8)
    parts: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for photo, (x, y) in zip(
        (portrait(), mirrored(portrait())), ((24, 16), (352, 128)), strict=True
    ):
        height, width = photo.size
        canvas[y : y + height, x : x + width] = photo.image
        parts.append(_moved(photo, x, y))
    faces, squares, eyes = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Photo("pair", canvas, faces, squares, eyes)


def face_photos() -> list[Photo]:
    """Return photos of mixed sizes, each with a face or two."""
    return [astronaut(), pair(), mirrored(astronaut()), portrait(), resized(astronaut(), 0.75)]


@functools.cache
def faceless() -> tuple[Photo, ...]:
    """Return photos without human faces."""
    return tuple(_without_faces(name, _package_photo(name)) for name in _FACELESS)


def blank(height: int, width: int) -> Photo:
    """Return a grey image, in which nothing can be found."""
    image = np.full((height, width, 3), _GREY, np.uint8)
    return _without_faces(f"grey {height} x {width}", image)


def _without_faces(name: str, image: RgbImage) -> Photo:
    none = np.zeros((0, 4), np.float32)
    return Photo(name, image, none, none, np.zeros((0, 2, 2), np.float32))


def stored_as(orientation: int, image: RgbImage) -> tuple[bytes, RgbImage]:
    """Write a JPEG whose EXIF orientation turns its pixels upright.

    Args:
        orientation: The EXIF tag's value, 1 to 8.
        image: ``(H, W, 3)`` uint8 RGB, upright.

    Returns:
        The file's bytes, and the upright ``(H, W, 3)`` uint8 pixels that a reader must see: those
        of the file itself, turned by numpy, so that JPEG's losses are in both.
    """
    to_stored, to_upright = _TURNS[orientation]
    stored = Image.fromarray(np.ascontiguousarray(to_stored(image)))
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    with Image.open(buffer) as file:
        pixels = np.array(file)
    return buffer.getvalue(), np.ascontiguousarray(to_upright(pixels))
