"""Cut network inputs out of faces: the plain crop, and the jittered one for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landmark_data import Face
    from numpy.typing import NDArray

CROP_SCALE = 1.2
"""Side of the crop the network sees over the canonical square's side."""

MIRROR_ORDER: NDArray[np.intp] = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # bridge of the nose
        *range(35, 30, -1),  # nostrils
        *(45, 44, 43, 42, 47, 46),  # the eye on the image's left takes the right one's points
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),  # outer lip, upper
        *range(59, 54, -1),  # outer lip, lower
        *range(64, 59, -1),  # inner lip, upper
        *(67, 66, 65),  # inner lip, lower
    ]
)
"""Point i of a mirrored face is point ``MIRROR_ORDER[i]`` of the original (iBUG 300-W)."""


@dataclass(frozen=True)
class Jitter:
    """Ranges of the random changes to one training crop.

    Attributes:
        shift: Largest centre shift per axis, as a fraction of the square's side.
        scale: Largest relative change of the side, up or down.
        degrees: Largest rotation, either way.
        brightness: Largest offset, in grey levels.
        contrast: Largest relative change of contrast.
        blur: Probability of a Gaussian blur.
        low_resolution: Probability of scaling down and up again.
        noise: Probability of Gaussian noise.
        cutout: Probability of a grey rectangle over part of the crop.
    """

    shift: float = 0.08
    scale: float = 0.15
    degrees: float = 25.0
    brightness: float = 40.0
    contrast: float = 0.4
    blur: float = 0.2
    low_resolution: float = 0.25
    noise: float = 0.15
    cutout: float = 0.3


def crop_matrix(
    square: NDArray[np.float32], size: int, degrees: float = 0.0, *, mirror: bool = False
) -> NDArray[np.float64]:
    """Return the (2, 3) affine map from image pixels to crop pixels, continuous frames.

    Args:
        square: (3,) centre x, centre y, side, of the canonical square.
        size: Side of the crop in pixels; it shows ``CROP_SCALE`` times the square.
        degrees: Rotation about the centre.
        mirror: Whether left and right change places in the crop.
    """
    centre_x, centre_y, side = (float(value) for value in square)
    factor = size / (CROP_SCALE * side)
    cosine, sine = np.cos(np.deg2rad(degrees)) * factor, np.sin(np.deg2rad(degrees)) * factor
    linear = np.array([[cosine, sine], [-sine, cosine]])
    if mirror:
        linear[0] = -linear[0]
    offset = size / 2 - linear @ np.array([centre_x, centre_y])
    return np.column_stack([linear, offset])


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Return the (size, size) crop under a continuous affine map, the border replicated.

    Shrinking by two or more goes through Gaussian pyramid levels first, against aliasing.
    """
    matrix = matrix.copy()
    while np.hypot(matrix[0, 0], matrix[0, 1]) < 1 / 1.7:
        # pyrDown's pixel i sits on pixel 2 i, so centres map by x' + 0.5 = (x + 0.5 + 0.5) / 2.
        image = np.asarray(cv2.pyrDown(image), dtype=np.uint8)
        matrix[:, 2] -= matrix[:, :2] @ np.array([0.5, 0.5])
        matrix[:, :2] *= 2
    # OpenCV's coordinates are of pixel centres: c(x + 0.5) - 0.5.
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    crop = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)


def plain_crop(
    face: Face, square: NDArray[np.float32], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the upright crop of a square and the map from image to crop pixels."""
    matrix = crop_matrix(square, size)
    return warp(face.image, matrix, size), matrix


def jittered_crop(
    face: Face, size: int, jitter: Jitter, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return one random training crop and its targets.

    Returns:
        The (size, size) uint8 crop, and (136,) float32 interleaved x, y as a fraction of the crop's
        side minus 0.5.
    """
    mirror = bool(rng.random() < 0.5)  # noqa: PLR2004
    square = jitter_square(face.square, jitter.shift, jitter.scale, rng)
    degrees = rng.normal(0.0, jitter.degrees / 2)
    degrees = float(np.clip(degrees, -jitter.degrees, jitter.degrees))
    matrix = crop_matrix(square, size, degrees, mirror=mirror)
    points = (face.points @ matrix[:, :2].T + matrix[:, 2]) / size - 0.5
    if mirror:
        points = points[MIRROR_ORDER]
    pixels = _change_light(warp(face.image, matrix, size), jitter, rng)
    pixels = _spoil(pixels, jitter, rng)
    return pixels, points.astype(np.float32).reshape(-1)


def jitter_square(
    square: NDArray[np.float32], shift: float, scale: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the square with its centre and side changed evenly within the ranges."""
    offset = rng.uniform(-shift, shift, 2) * square[2]
    side = square[2] * np.exp(rng.uniform(-1, 1) * np.log1p(scale))
    return np.array([*(square[:2] + offset), side], dtype=np.float32)


def to_input(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return crops as the network's input: (N, 1, size, size) float32 in -1..1."""
    scaled = (np.stack(crops)[:, None].astype(np.float32) / 255 - 0.5) / 0.5
    return np.asarray(scaled, dtype=np.float32)


def _change_light(
    crop: NDArray[np.uint8], jitter: Jitter, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the crop with another contrast, gamma and brightness, by one lookup table."""
    levels = np.arange(256, dtype=np.float64) / 255
    levels = levels ** np.exp(rng.uniform(-0.4, 0.4))
    contrast = 1 + rng.uniform(-jitter.contrast, jitter.contrast)
    offset = rng.uniform(-jitter.brightness, jitter.brightness)
    mean = float(crop.mean())
    table = np.clip((levels * 255 - mean) * contrast + mean + offset, 0, 255).astype(np.uint8)
    return np.asarray(table[crop], dtype=np.uint8)


def _spoil(crop: NDArray[np.uint8], jitter: Jitter, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the crop at times blurred, coarser, noisy or partly covered."""
    size = crop.shape[0]
    if rng.random() < jitter.blur:
        sigma = rng.uniform(0.004, 0.012) * size
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), dtype=np.uint8)
    if rng.random() < jitter.low_resolution:
        small = max(16, int(size * rng.uniform(0.15, 0.6)))
        coarse = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(coarse, (size, size)), dtype=np.uint8)
    if rng.random() < jitter.noise:
        noise = rng.standard_normal(crop.shape, dtype=np.float32) * rng.uniform(2, 12)
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    if rng.random() < jitter.cutout:
        width, height = (rng.uniform(0.1, 0.4, 2) * size).astype(int)
        left, top = rng.integers(0, size - width), rng.integers(0, size - height)
        crop = crop.copy()
        crop[top : top + height, left : left + width] = rng.integers(0, 256)
    return crop
