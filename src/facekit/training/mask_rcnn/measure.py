"""How well an R-CNN in training finds faces, and what that looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from facekit.detectors._mask_rcnn_images import Input, Raw, brought_back
from facekit.metrics.average_precision import average_precision
from facekit.metrics.truth import Truth
from facekit.networks.mask_rcnn import Instances, MaskRCNN, padded_size
from facekit.training.detection.photos import Photo
from facekit.types import Detections

__all__ = ["average_precisions", "detect"]

_OVERLAPS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


def detect(
    network: MaskRCNN,
    photos: Sequence[Photo],
    device: torch.device,
    *,
    size: Input,
    batch_size: int,
) -> list[Detections]:
    """Find the faces of photos, as the detector ``mask_rcnn`` does.

    Args:
        network: In evaluation mode.
        photos: The photos.
        device: Where the network is.
        size: How a photo becomes the network's input.
        batch_size: Photos of one forward pass, at most.
    """
    shapes = [size.size(*photo.pixels.shape[:2]) for photo in photos]
    found: list[Any] = [None] * len(photos)
    alike: dict[tuple[int, int], list[int]] = {}
    for row, shape in enumerate(shapes):
        alike.setdefault(padded_size(*shape), []).append(row)
    for rows in alike.values():
        for start in range(0, len(rows), batch_size):
            chunk = rows[start : start + batch_size]
            pixels = [size.prepare(photos[row].pixels) for row in chunk]
            images = [torch.from_numpy(one).to(device) for one in pixels]
            for row, one in zip(chunk, network(images), strict=True):
                found[row] = _detections(one, photos[row], shapes[row])
    return found


def _detections(found: Instances, photo: Photo, shape: tuple[int, int]) -> Detections:
    """Return one photo's faces in its own pixels."""
    image_size = (photo.pixels.shape[0], photo.pixels.shape[1])
    raw = Raw(*(None if one is None else one.float().cpu().numpy() for one in found))
    answer = brought_back(raw, image_size, shape)
    return Detections(
        boxes=answer.boxes, scores=answer.scores, image_size=image_size, masks=answer.masks
    )


def average_precisions(photos: Sequence[Photo], found: Sequence[Detections]) -> dict[str, float]:
    """Return average precision at overlap 0.5, at 0.75, and the mean from 0.5 to 0.95.

    Args:
        photos: The photos.
        found: The faces found in each.
    """
    truths = [Truth(boxes=one.boxes.astype(np.float64), ignore=one.ignore) for one in photos]
    at = {level: average_precision(truths, found, iou=level).ap for level in _OVERLAPS}
    return {"ap50": at[0.5], "ap75": at[0.75], "ap": float(np.mean(list(at.values())))}
