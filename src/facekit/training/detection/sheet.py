"""Sample sheets: photos, and the faces that a detector in training finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from facekit.draw.faces import draw_faces
from facekit.draw.sheet import contact_sheet
from facekit.images import RgbImage
from facekit.training.detection.photos import Photo
from facekit.types import Detections

__all__ = ["sheet_of"]

_SHOWN_SCORE: Final = 0.5


def sheet_of(photos: Sequence[Photo], found: Sequence[Detections]) -> RgbImage:
    """Draw what is found with a score of 0.5 or more, a photo a cell."""
    drawn = [
        draw_faces(photo.pixels, faces.above(_SHOWN_SCORE))
        for photo, faces in zip(photos, found, strict=True)
    ]
    return contact_sheet(drawn, columns=4, cell=400)
