"""How well an S3FD in training finds faces, and what that looks like."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from facekit.boxes import nms
from facekit.images import RgbImage
from facekit.metrics.average_precision import average_precision
from facekit.metrics.truth import Truth
from facekit.training.detection.multibox import decode
from facekit.training.detection.photos import Photo, shrunk
from facekit.training.s3fd_detection.anchors import anchors
from facekit.training.s3fd_pixels import MEAN_RGB, normalised
from facekit.types import Detections

__all__ = ["Fitted", "ap_by_height", "detect", "fitted"]

_NMS: Final = 0.3
_MOST: Final = 300


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A photo shrunk to fit into a square of the network's, and its faces.

    Attributes:
        photo: As it was given.
        pixels: ``(h, w, 3)`` uint8 RGB, shrunk.
        scale: By how much it was shrunk, at most 1.
    """

    photo: Photo
    pixels: RgbImage
    scale: float


def fitted(photo: Photo, side: int) -> Fitted:
    """Shrink a photo, if need be, until its longer side is ``side`` pixels."""
    return Fitted(photo, *shrunk(photo.pixels, side))


def detect(
    network: nn.Module,
    photos: Sequence[Fitted],
    device: torch.device,
    *,
    side: int,
    threshold: float,
    batch_size: int,
) -> Iterator[Detections]:
    """Find the faces of photos that stand in squares, the rest of which has the mean colour.

    Args:
        network: S3FD, in evaluation mode.
        photos: The photos.
        device: Where the network is.
        side: Of the squares, pixels.
        threshold: Least score.
        batch_size: Photos of one forward pass.

    Yields:
        Faces in pixels of the photo as it was given.
    """
    priors = anchors(side, side).to(device)
    for start in range(0, len(photos), batch_size):
        batch = photos[start : start + batch_size]
        canvas = np.empty((len(batch), side, side, 3), np.uint8)
        canvas[:] = MEAN_RGB
        for row, photo in enumerate(batch):
            canvas[row, : photo.pixels.shape[0], : photo.pixels.shape[1]] = photo.pixels
        planes = torch.from_numpy(canvas).to(device).permute(0, 3, 1, 2).float()
        logits, deltas = network(normalised(planes))
        scores = (logits[..., 1] - logits[..., 0]).float().sigmoid()
        boxes = decode(deltas.float(), priors)
        for row, photo in enumerate(batch):
            yield _kept(boxes[row], scores[row], photo, threshold)


def _kept(boxes: Tensor, scores: Tensor, photo: Fitted, threshold: float) -> Detections:
    """Suppress doubles, and drop what stands beyond the photo."""
    height, width = photo.pixels.shape[:2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    likely = (scores > threshold) & (centre[:, 0] < width) & (centre[:, 1] < height)
    found = boxes[likely].cpu().numpy().astype(np.float32)
    sure = scores[likely].cpu().numpy().astype(np.float32)
    kept = nms(found, sure, _NMS, inclusive=True)[:_MOST]
    # Measured and drawn in the photo's own pixels, whatever it was shrunk to.
    boxes = found[kept] / np.float32(photo.scale)
    size = (photo.photo.pixels.shape[0], photo.photo.pixels.shape[1])
    return Detections(boxes=boxes, scores=sure[kept], image_size=size)


def ap_by_height(
    photos: Sequence[Photo], found: Sequence[Detections], heights: Sequence[int]
) -> dict[str, float]:
    """Return average precision at IoU 0.5 of faces of at least each height.

    Args:
        photos: The photos.
        found: The faces found in each.
        heights: Least heights, pixels.
    """
    truths = [Truth(boxes=one.boxes.astype(np.float64), ignore=one.ignore) for one in photos]
    return {
        f"ap_{height}": average_precision(truths, found, min_height=height).ap for height in heights
    }
