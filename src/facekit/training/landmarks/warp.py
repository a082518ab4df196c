"""Where the pixels and the points of a training crop come from: one affine map, sampled once.

Turning, scaling, moving, mirroring and cutting out are one matrix, so that pixels are resampled
once, and points go through the very same numbers. Mirroring also renames the points: the left eye
becomes the right one. torchvision's ``v2.RandomHorizontalFlip`` does not do that, and mirrors
keypoints about pixel centres (``W - 1 - x``), a pixel off in continuous coordinates.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from facekit.training.landmarks.faces import Face, FloatArray, GreyImage

__all__ = [
    "MIRRORED_68",
    "Jitter",
    "crop_matrix",
    "cut_crop",
    "jittered_matrix",
    "map_points",
    "plain_crop",
]

Matrix = npt.NDArray[np.float64]

MIRRORED_68: npt.NDArray[np.intp] = np.array(
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
"""Point i of a mirrored face is point ``MIRRORED_68[i]`` of the face as it was (iBUG 300-W)."""

_SHRINK = 1.7
"""From this step on, an image is halved before it is sampled: bilinear looks at two pixels."""


class Jitter(BaseModel):
    """By how much a crop may differ from the plain one around the canonical square.

    Attributes:
        shift: Largest shift of the centre in x and in y, in sides of the square.
        scale: Largest relative change of the side, up or down.
        degrees: Largest turn either way; half of it is the turns' standard deviation.
        stretch: Largest relative change of width over height.
        shear: Largest slant, as a tangent.
        mirror: Share of the crops that are mirrored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(default=0.08, ge=0, le=1)
    scale: float = Field(default=0.2, ge=0, lt=1)
    degrees: float = Field(default=35.0, ge=0, le=180)
    stretch: float = Field(default=0.1, ge=0, lt=1)
    shear: float = Field(default=0.06, ge=0, le=1)
    mirror: float = Field(default=0.5, ge=0, le=1)


@dataclasses.dataclass(frozen=True)
class _Turn:
    """The linear part of a crop's map, before its size."""

    degrees: float = 0.0
    stretch: float = 1.0
    shear: float = 0.0
    mirror: bool = False

    @property
    def matrix(self) -> Matrix:
        angle = np.deg2rad(self.degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        wide = np.sqrt(self.stretch)
        slant = np.array([[wide, self.shear], [0.0, 1 / wide]])
        flip = np.diag([-1.0 if self.mirror else 1.0, 1.0])
        return np.asarray(flip @ slant @ turn, dtype=np.float64)


def crop_matrix(square: npt.ArrayLike, size: int, crop_scale: float) -> Matrix:
    """Return the map from image to crop for the plain, upright crop.

    Args:
        square: ``(3,)`` centre x, centre y, side, pixels.
        size: Side of the crop, pixels.
        crop_scale: Side of what the crop shows, in squares.

    Returns:
        ``(2, 3)`` affine map of continuous coordinates.
    """
    return _matrix(np.asarray(square, dtype=np.float64), size, crop_scale, _Turn())


def _matrix(square: npt.NDArray[np.float64], size: int, crop_scale: float, turn: _Turn) -> Matrix:
    linear = turn.matrix * (size / (crop_scale * square[2]))
    return np.column_stack([linear, size / 2 - linear @ square[:2]])


def jittered_matrix(
    square: npt.ArrayLike, size: int, crop_scale: float, jitter: Jitter, random: np.random.Generator
) -> tuple[Matrix, bool]:
    """Return the map of a random crop, and whether it is mirrored.

    Args:
        square: ``(3,)`` centre x, centre y, side, pixels.
        size: Side of the crop, pixels.
        crop_scale: Side of what the plain crop shows, in squares.
        jitter: The ranges.
        random: Always asked for the same number of values.
    """
    wanted = np.asarray(square, dtype=np.float64)
    draws = random.uniform(-1, 1, 5)
    degrees = float(np.clip(random.standard_normal() / 2, -1, 1)) * jitter.degrees
    mirror = bool(random.random() < jitter.mirror)
    moved = wanted[:2] + draws[:2] * jitter.shift * wanted[2]
    side = wanted[2] * (1 + jitter.scale) ** draws[2]
    stretch = float((1 + jitter.stretch) ** draws[3])
    turn = _Turn(degrees, stretch, float(draws[4] * jitter.shear), mirror)
    return _matrix(np.array([*moved, side]), size, crop_scale, turn), mirror


def cut_crop(image: GreyImage, matrix: Matrix, size: int) -> GreyImage:
    """Sample a crop, the image's border replicated.

    Args:
        image: ``(H, W)`` uint8.
        matrix: ``(2, 3)`` from image to crop, continuous coordinates.
        size: Side of the crop, pixels.

    Returns:
        ``(size, size)`` uint8, bilinear; halved and smoothed before, where it is shrunk a lot.
    """
    matrix = matrix.copy()
    while np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < 1 / _SHRINK and min(image.shape) > 1:
        # pyrDown's pixel i sits on pixel 2 i: centres map by x' + 0.5 = (x + 0.5 + 0.5) / 2.
        image = np.asarray(cv2.pyrDown(image), dtype=np.uint8)
        matrix[:, 2] -= matrix[:, :2] @ np.array([0.5, 0.5])
        matrix[:, :2] *= 2
    # OpenCV's coordinates are those of pixel centres.
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    crop = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)


def map_points(points: FloatArray, matrix: Matrix, *, mirrored: bool = False) -> FloatArray:
    """Move points as :func:`cut_crop` moves pixels.

    Args:
        points: ``(68, 2)``, pixels of the image.
        matrix: ``(2, 3)`` from image to crop.
        mirrored: Whether the map mirrors, so that left and right change names.

    Returns:
        ``(68, 2)`` float32, pixels of the crop.
    """
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[MIRRORED_68] if mirrored else moved, dtype=np.float32)


def plain_crop(face: Face, size: int, crop_scale: float) -> tuple[GreyImage, FloatArray]:
    """Return the plain crop of a face and its points in the crop's pixels."""
    matrix = crop_matrix(face.square, size, crop_scale)
    return cut_crop(face.image, matrix, size), map_points(face.points, matrix)
