"""How good a tiny SSD in training is: average precision by face height, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn

from facekit.detectors import tiny_ssd
from facekit.draw import contact_sheet, draw_faces
from facekit.images import RgbImage
from facekit.metrics.average_precision import average_precision
from facekit.metrics.truth import Truth
from facekit.training.detection.photos import Photo
from facekit.training.ssd.options import Input
from facekit.types import Detections

__all__ = ["HEIGHTS", "detect", "draw", "measure"]

HEIGHTS: Final = (50, 30, 10)
"""Least heights of the faces that count, pixels of the photo."""

_SHOWN_SCORE: Final = 0.3


def measure(
    network: nn.Module, device: torch.device, photos: Sequence[Photo], inputs: Sequence[str]
) -> dict[str, float]:
    """Return AP at IoU 0.5 for faces of at least :data:`HEIGHTS`, and the mean of all as ``ap``.

    Args:
        network: In evaluation mode.
        device: Where it is.
        photos: Annotated ones; without any there are no numbers.
        inputs: As :meth:`Input.parse` reads them.
    """
    if not photos:
        return {}
    truths = [Truth(photo.boxes.astype(np.float64), photo.ignore) for photo in photos]
    numbers = {}
    for text in inputs:
        found = list(detect(network, device, photos, Input.parse(text)))
        for height in HEIGHTS:
            result = average_precision(truths, found, min_height=height)
            numbers[f"ap{height}_at_{text.replace(':', '_')}"] = result.ap
    known = [value for value in numbers.values() if np.isfinite(value)]
    return {**numbers, "ap": float(np.mean(known)) if known else 0.0}


def detect(
    network: nn.Module, device: torch.device, photos: Sequence[Photo], size: Input
) -> Iterator[Detections]:
    """Yield what a network finds in each photo, at the evaluation's threshold.

    Args:
        network: In evaluation mode.
        device: Where it is.
        photos: Any.
        size: The network's input.
    """
    for photo in photos:
        height, width = size.size(photo.pixels)
        batch = torch.from_numpy(tiny_ssd.prepare([photo.pixels], (height, width)))
        with torch.no_grad():
            logits, deltas = network(batch.to(device))
        yield tiny_ssd.to_detections(
            logits[0].float().cpu().numpy(),
            deltas[0].float().cpu().numpy(),
            (photo.pixels.shape[0], photo.pixels.shape[1]),
            (height, width),
        )


def draw(
    network: nn.Module, device: torch.device, photos: Sequence[Photo], size: str
) -> RgbImage | None:
    """Draw what a network finds in photos, or ``None`` without photos.

    Args:
        network: In evaluation mode.
        device: Where it is.
        photos: Any.
        size: As :meth:`Input.parse` reads it.
    """
    if not photos:
        return None
    found = detect(network, device, photos, Input.parse(size))
    pictures = [
        draw_faces(photo.pixels, one[one.scores >= _SHOWN_SCORE])
        for photo, one in zip(photos, found, strict=True)
    ]
    return contact_sheet(pictures)
