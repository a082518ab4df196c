"""Faces turned upright and cut out at one size, by a similarity from landmarks to a template.

The similarity (rotation, uniform scale, shift) with the least squares is Umeyama's: "Least-squares
estimation of transformation parameters between two point patterns", IEEE PAMI 13(4), 1991.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facekit.errors import ConfigError, ImageError, UnknownNameError
from facekit.images import ImageLike, RgbImage, as_rgb
from facekit.mean_shape import MEAN_SHAPE_68
from facekit.types import Landmarks

__all__ = ["ARCFACE_5", "TEMPLATES", "align_faces", "five_points", "similarity", "template_points"]

Points = npt.NDArray[np.float64]

ARCFACE_5: tuple[tuple[float, float], ...] = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Eye, eye, nose tip, mouth corner, mouth corner, left before right in the image, at 112 x 112.

Published with ArcFace (Deng et al., CVPR 2019) as ``arcface_dst`` of insightface's ``face_align``.
Their mean is 56.02 across, so they are read in continuous coordinates, where 56 is the middle.
"""

TEMPLATES = ("arcface5", "ibug68")
_ARCFACE_SIZE = 112
_SMALLEST_STEP = 0.5


def template_points(template: str, size: float = _ARCFACE_SIZE, margin: float = 0.0) -> Points:
    """Return where a template puts the landmarks.

    Args:
        template: ``"arcface5"``: ArcFace's five points, which fill the middle of the square.
            ``"ibug68"``: facekit's mean shape of 68 points, which fills the square exactly.
        size: The square's side, pixels.
        margin: What to add on each side, as a fraction of the square without margin; negative
            cuts closer.

    Returns:
        ``(5, 2)`` or ``(68, 2)`` float64 x, y, continuous pixels.

    Raises:
        UnknownNameError: If there is no such template.
        ConfigError: If size or margin leave no square.
    """
    if size < 1 or margin <= -0.5:  # noqa: PLR2004 - half the square cut from each side
        message = f"size {size} px and margin {margin} leave no square: size >= 1, margin > -0.5"
        raise ConfigError(message)
    if template == "arcface5":
        unit = np.array(ARCFACE_5) / _ARCFACE_SIZE
    elif template == "ibug68":
        unit = np.array(MEAN_SHAPE_68)
    else:
        kind = "alignment template"
        raise UnknownNameError(kind, template, TEMPLATES)
    return np.asarray(((unit - 0.5) / (1 + 2 * margin) + 0.5) * size, dtype=np.float64)


def five_points(landmarks: Landmarks) -> Points:
    """Return the eyes' centres, the nose's tip and the mouth's corners.

    Args:
        landmarks: In the scheme ``ibug68``, or five points in this order, ``arcface5``.

    Returns:
        ``(n, 5, 2)`` float64 x, y, pixels: left eye, right eye, nose, left and right corner of
        the mouth, left and right as seen in the image.

    Raises:
        UnknownNameError: If the five points of the scheme are not known.
    """
    points = landmarks.points.astype(np.float64)
    if landmarks.scheme == "arcface5":
        return points
    if landmarks.scheme != "ibug68":
        kind = "landmark scheme"
        raise UnknownNameError(kind, landmarks.scheme, TEMPLATES)
    eyes = [points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)]
    return np.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], axis=1)


def similarity(points: npt.ArrayLike, template: npt.ArrayLike) -> Points:
    """Fit the similarity that maps points onto a template (Umeyama 1991, equations 34 to 43).

    Args:
        points: ``(k, 2)`` x, y, at least two different points.
        template: ``(k, 2)`` x, y.

    Returns:
        ``(2, 3)`` float64 ``[scale * rotation | shift]``; it never mirrors.

    Raises:
        ImageError: If the points are all in one place or not finite: no similarity exists.
        ValueError: If the shapes differ.
    """
    source, target = np.asarray(points, np.float64), np.asarray(template, np.float64)
    if source.shape != target.shape or source.ndim != 2:  # noqa: PLR2004 - points by x, y
        message = f"points of shape {source.shape} do not fit a template of {target.shape}"
        raise ValueError(message)
    centre, target_centre = source.mean(axis=0), target.mean(axis=0)
    source, target = source - centre, target - target_centre
    spread = float((source**2).sum())
    if not np.isfinite(spread) or spread < 1e-12:  # noqa: PLR2004 - a millionth of a pixel
        message = "landmarks that are all in one place, or not finite, cannot be aligned"
        raise ImageError(message)
    u, strengths, vt = np.linalg.svd(target.T @ source)
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = (strengths @ signs / spread) * (u * signs) @ vt
    return np.column_stack([turn, target_centre - turn @ centre])


def align_faces(
    image: ImageLike,
    landmarks: Landmarks,
    *,
    size: int = _ARCFACE_SIZE,
    template: str = "arcface5",
    margin: float = 0.0,
) -> RgbImage:
    """Cut out every face, upright and at one size.

    Args:
        image: A path, a Pillow image or an ``(H, W, 3)`` uint8 RGB array.
        landmarks: Its faces' landmarks, ``ibug68`` or ``arcface5``.
        size: The side of each result, pixels.
        template: ``"arcface5"`` as face recognition models are fed, ``"ibug68"`` by all points.
        margin: What to add on each side, as a fraction of the square without margin.

    Returns:
        ``(n, size, size, 3)`` uint8 RGB; outside the image is black.

    Raises:
        ImageError: If the image cannot be read, has another size than the landmarks' image, or
            a face's landmarks are all in one place.
        UnknownNameError: If the template or the landmarks' scheme is not known.
        ConfigError: If size or margin leave no square.
    """
    pixels = as_rgb(image)
    if pixels.shape[:2] != landmarks.image_size:
        message = f"the landmarks are of an image of {landmarks.image_size}, not {pixels.shape[:2]}"
        raise ImageError(message)
    target = template_points(template, size, margin)
    if template == "ibug68" and landmarks.scheme == "ibug68":
        points = landmarks.points.astype(np.float64)
    elif template == "arcface5":
        points = five_points(landmarks)
    else:
        message = f"the template {template!r} needs its own landmarks, not {landmarks.scheme!r}"
        raise ImageError(message)
    faces = [_warp(pixels, similarity(face, target), size) for face in points]
    return np.array(faces, dtype=np.uint8).reshape(-1, size, size, 3)


def _warp(image: RgbImage, matrix: Points, size: int) -> RgbImage:
    """Resample an image by a matrix on continuous coordinates."""
    # OpenCV 4 samples from images of less than 32,767 pixels a side only; faces are smaller.
    image, matrix = _around(image, matrix, size)
    step = float(np.hypot(*matrix[:, 0]))
    if step < _SMALLEST_STEP:
        image, matrix = _shrunk(image, matrix, 2 * step)
    # OpenCV maps pixel centres, which lie half a pixel from the continuous corners.
    shift = matrix[:, 2] + matrix[:, :2] @ [0.5, 0.5] - 0.5
    centred = np.column_stack([matrix[:, :2], shift])
    return np.asarray(cv2.warpAffine(image, centred, (size, size)), dtype=np.uint8)


def _around(image: RgbImage, matrix: Points, size: int) -> tuple[RgbImage, Points]:
    """Cut out the part of an image that the result can see, and follow with the matrix."""
    square = np.array([[0, 0], [size, 0], [size, size], [0, size]])
    corners = (square - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2, low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    return part, np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ low])


def _shrunk(image: RgbImage, matrix: Points, ratio: float) -> tuple[RgbImage, Points]:
    """Shrink an image by area, because bilinear sampling alone would skip pixels and alias."""
    old = np.array(image.shape[1::-1])
    new = np.maximum(1, np.round(old * ratio)).astype(int)
    small = cv2.resize(image, (int(new[0]), int(new[1])), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.column_stack([matrix[:, :2] * (old / new), matrix[:, 2]])
