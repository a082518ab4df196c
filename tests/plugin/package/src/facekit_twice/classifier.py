"""A classifier of the light that falls on a face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from facekit import protocols
from facekit.images import ImageLike, RgbImage, crop, read_all
from facekit.types import Classifications, Detections

SIDE = 32


class Tone:
    """Says how warm and how cool the light on a face is, by its red and blue."""

    class Options(protocols.Options):
        """No options."""

    name: ClassVar[str] = "tone"
    labels: tuple[str, ...] = ("warm", "cool")

    def __init__(self, options: Options) -> None:
        """Nothing to load."""

    def classify(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Classifications]:
        """Score each face of each image."""
        photos = read_all(images)
        if len(photos) != len(detections):
            message = f"{len(photos)} images but detections of {len(detections)}"
            raise ValueError(message)
        return [self._one(*pair) for pair in zip(photos, detections, strict=True)]

    def _one(self, photo: RgbImage, found: Detections) -> Classifications:
        rows = [_shares(crop(photo, box, (SIDE, SIDE))) for box in found.canonical_squares()]
        return Classifications(
            scores=np.array(rows, np.float32).reshape(-1, len(self.labels)),
            labels=self.labels,
            image_size=found.image_size,
        )


def _shares(face: RgbImage) -> list[float]:
    """Return red's and blue's shares of their sum; a black face is neither."""
    red, _, blue = face.reshape(-1, 3).mean(axis=0) + 1.0
    return [red / (red + blue), blue / (red + blue)]
