"""Faces on pixels."""

from __future__ import annotations

from collections.abc import Sequence

from facekit.images import ImageLike, RgbImage
from facekit.types import Detections, Faces

__all__ = ["contact_sheet", "draw_faces"]


def draw_faces(
    image: ImageLike, faces: Faces | Detections, *, scores: bool = True, landmarks: bool = True
) -> RgbImage:
    """Draw boxes, scores, landmarks, labels and masks onto a copy of an image.

    Args:
        image: A path, a Pillow image or an ``(H, W, 3)`` uint8 RGB array.
        faces: What an analyzer or a detector found in it.
        scores: Whether to write scores and classifiers' labels.
        landmarks: Whether to draw landmarks.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        ImageError: If the image cannot be read or has another size than the faces' image.
    """
    raise NotImplementedError


def contact_sheet(
    images: Sequence[ImageLike],
    *,
    columns: int = 4,
    cell: int = 320,
    captions: Sequence[str] | None = None,
) -> RgbImage:
    """Lay images out in a grid, each scaled into a square cell.

    Args:
        images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays.
        columns: Cells in a row.
        cell: A cell's side, pixels, without its caption.
        captions: One line under each image.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    raise NotImplementedError
