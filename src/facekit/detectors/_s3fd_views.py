"""The ways to look at an image, and how what they find is put together.

``wider_nms`` is ``wider_eval_pytorch.py`` of clcarwin/SFD_pytorch; ``wider_vote`` is the authors'
own ``wider_test.py`` of sfzhang15/SFD, whose ``DetectionOutput`` layer suppresses each view by
itself (0.3, the best 5,000 in, the best 750 out). Both count pixels inclusively.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facekit.boxes import iou, nms
from facekit.detectors._s3fd_maps import Candidates
from facekit.images import RgbImage

Pixels = npt.NDArray[Any]
"""``(h, w, 3)`` RGB in 0..255, uint8 or float32."""

Protocol = Literal["single", "wider_nms", "wider_vote"]
"""One look at the image, or several as two test scripts for WIDER FACE take them."""

WIDER_DETECTIONS: Final = 750
"""Faces an image that both test scripts keep."""

VOTE_SCORE: Final = 0.05
"""The score from which boxes take part in a vote, whatever shall be returned of it."""

_VOTE_OVERLAP: Final = 0.3
_VOTE_BEFORE: Final = 5000
_LARGE: Final = 100.0
_NOT_SMALL: Final = 30.0
_DOUBLED_LIMIT: Final = 3000 * 3000
# What Caffe's blobs could hold of conv1's columns.
_VOTE_PIXELS: Final = 0x7FFFFFFF / 577.0


class View(NamedTuple):
    """One look at an image.

    Attributes:
        scale: By which the image is enlarged.
        flipped: Whether left and right are swapped.
        below: Keep only faces whose shorter side is below this, pixels of the image.
        above: Keep only faces whose longer side is above this.
        kind: How the image is resized: bilinear in uint8, as clcarwin does; in float, as Caffe's
            images are; or without aliasing, where no upstream says how.
    """

    scale: float = 1.0
    flipped: bool = False
    below: float = np.inf
    above: float = -np.inf
    kind: Literal["uint8", "float", "area"] = "uint8"

    def size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of the image as it is seen, pixels."""
        height, width = image_size
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))

    def apply(self, image: RgbImage) -> Pixels:
        """Return the image as it is seen, ``(h, w, 3)`` in 0..255."""
        seen: Pixels = np.ascontiguousarray(image[:, ::-1]) if self.flipped else image
        if self.scale == 1:
            return seen
        if self.kind == "float":
            seen = seen.astype(np.float32)
        shrinks = self.kind == "area" and self.scale < 1
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        if min(image.shape[:2]) * self.scale <= 0.5:  # noqa: PLR2004 - OpenCV would round to 0
            size = self.size((image.shape[0], image.shape[1]))
            return np.asarray(cv2.resize(seen, size[::-1], interpolation=how))
        # Given factors, OpenCV samples by them, not by the ratio of the rounded sizes.
        return np.asarray(cv2.resize(seen, None, fx=self.scale, fy=self.scale, interpolation=how))

    def bring_back(self, found: Candidates, image_size: tuple[int, int]) -> Candidates:
        """Turn what was found in the view into faces of the image, those of its sizes only."""
        boxes = found.boxes if self.scale == 1 else found.boxes / np.float32(self.scale)
        if self.flipped:
            x1, y1, x2, y2 = boxes.T
            boxes = np.stack([image_size[1] - x2, y1, image_size[1] - x1, y2], axis=1)
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        kept = (sides.min(axis=1) < self.below) & (sides.max(axis=1) > self.above)
        return Candidates(boxes[kept], found.scores[kept])


def views(protocol: Protocol, image_size: tuple[int, int]) -> list[View]:
    """Return the looks that a protocol takes at an image.

    Args:
        protocol: Which.
        image_size: Height and width, pixels.
    """
    if protocol == "single":
        return [View()]
    if protocol == "wider_nms":
        doubled = View(scale=2, below=_LARGE)
        doubles = [] if image_size[0] * image_size[1] * 4 > _DOUBLED_LIMIT else [doubled]
        return [View(), View(flipped=True), *doubles, View(scale=0.5, above=_LARGE)]
    return _vote_views(image_size)


def _vote_views(image_size: tuple[int, int]) -> list[View]:
    """Return the authors' views: as it is, flipped, halved, and doubled as often as fits."""
    largest = float((_VOTE_PIXELS / (image_size[0] * image_size[1])) ** 0.5)
    whole = min(largest, 1.0)
    small = 0.5 if largest >= 0.75 else 0.5 * largest  # noqa: PLR2004 - upstream's own
    large = min(2.0, largest) if largest > 1 else (small + largest) / 2
    scales = [large]
    if largest > 2:  # noqa: PLR2004 - upstream's own
        large *= 2
        while large < largest:
            scales.append(large)
            large *= 2
        scales.append(largest)
    below, above = (_LARGE, -np.inf) if large > 1 else (np.inf, _NOT_SMALL)
    return [
        View(whole, kind="float"),
        View(whole, flipped=True, kind="float"),
        View(small, above=_NOT_SMALL, kind="float"),
        *(View(scale, below=below, above=above, kind="float") for scale in scales),
    ]


def suppress(found: Candidates, threshold: float, limit: int | None) -> Candidates:
    """Keep the best of overlapping boxes.

    Args:
        found: Candidates of any views.
        threshold: A box is dropped when its IoU with a better one is above this.
        limit: At most so many are kept.
    """
    # Upstream reverses an ascending sort: of equal scores, the last cell's comes first.
    order = np.argsort(found.scores, kind="stable")[::-1]
    boxes, scores = found.boxes[order], found.scores[order]
    # In float32 large boxes' areas are off by more than what decides.
    kept = nms(boxes.astype(np.float64), scores, threshold, inclusive=True)[:limit]
    return Candidates(boxes[kept], scores[kept])


def suppress_view(found: Candidates, threshold: float) -> Candidates:
    """Suppress one view as the authors' ``DetectionOutput`` does, but inclusively."""
    best = np.argsort(-found.scores, kind="stable")[:_VOTE_BEFORE]
    return suppress(Candidates(found.boxes[best], found.scores[best]), threshold, WIDER_DETECTIONS)


def vote(found: Candidates, limit: int | None) -> Candidates:
    """Merge overlapping boxes into their mean, weighted by score, with the best one's score.

    Upstream's ``bbox_vote``: a box that nothing else overlaps is no face.

    Args:
        found: Candidates of all views.
        limit: At most so many are kept.
    """
    order = np.argsort(-found.scores, kind="stable")
    boxes, scores = found.boxes[order].astype(np.float64), found.scores[order]
    merged, best = [], []
    while len(scores):
        together = iou(boxes[:1], boxes, inclusive=True)[0] >= _VOTE_OVERLAP
        together[0] = True
        if together.sum() > 1:
            merged.append(np.average(boxes[together], axis=0, weights=scores[together]))
            best.append(scores[0])
        boxes, scores = boxes[~together], scores[~together]
    return Candidates(
        np.array(merged, dtype=np.float32).reshape(-1, 4)[:limit],
        np.array(best, dtype=np.float32)[:limit],
    )


def join(found: Sequence[Candidates]) -> Candidates:
    """Put the candidates of several views in a row."""
    return Candidates(
        np.concatenate([one.boxes for one in found]), np.concatenate([one.scores for one in found])
    )
