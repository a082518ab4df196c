"""Average precision of a tiny SSD at several least face heights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from ssd_boxes import anchors, detections, iou
from ssd_data import Photo, stretched
from torch import Tensor

HEIGHTS: Final = (50, 30, 10)
"""Least face heights in pixels of the annotated photo; smaller faces count neither way."""

IMAGE_SIZE: Final = 300
LEAST_OVERLAP: Final = 0.5

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Found:
    """One photo's detections in its own pixels, by falling score."""

    boxes: Tensor
    scores: Floats


def average_precisions(network: Network, photos: Sequence[Photo]) -> dict[int, float]:
    """AP at IoU 0.5 for each of `HEIGHTS`; invalid faces count neither way."""
    found = [_detect(network, photo) for photo in photos]
    return {height: _average_precision(found, photos, height) for height in HEIGHTS}


def _detect(network: Network, photo: Photo) -> _Found:
    """Run a stretched photo through the network and bring the boxes back."""
    with torch.no_grad():
        logits, deltas = network(stretched(photo.pixels, IMAGE_SIZE)[None])
    boxes, scores = detections(
        logits[0].float(), deltas[0].float(), anchors(IMAGE_SIZE), IMAGE_SIZE
    )
    height, width = photo.pixels.shape[:2]
    scale = torch.tensor([width, height, width, height]) / IMAGE_SIZE
    return _Found(torch.from_numpy(boxes) * scale, scores.astype(np.float64))


def _average_precision(found: Sequence[_Found], photos: Sequence[Photo], height: int) -> float:
    """Area under the envelope of precision over recall."""
    outcomes: list[tuple[float, bool]] = []
    faces = 0
    for one, photo in zip(found, photos, strict=True):
        counted = photo.valid & (photo.boxes[:, 3] - photo.boxes[:, 1] >= height)
        faces += int(counted.sum())
        outcomes += _outcomes(one, torch.from_numpy(photo.boxes), counted)
    outcomes.sort(key=lambda outcome: -outcome[0])
    hits = np.array([hit for _, hit in outcomes], dtype=np.float64)
    true = hits.cumsum()
    precision = true / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / max(faces, 1))


def _outcomes(found: _Found, boxes: Tensor, counted: NDArray[np.bool_]) -> list[tuple[float, bool]]:
    """Score and truth of every detection that counts; each face can be found once."""
    if not len(boxes):
        return [(score, False) for score in found.scores]
    best, face = iou(found.boxes, boxes).max(dim=1)
    taken: set[int] = set()
    outcomes: list[tuple[float, bool]] = []
    for score, overlap, index in zip(found.scores, best.tolist(), face.tolist(), strict=True):
        if overlap < LEAST_OVERLAP:
            outcomes.append((score, False))
        elif counted[index]:
            outcomes.append((score, index not in taken))
            taken.add(index)
    return outcomes
