"""Crops of labelled faces: plain, varied, or such as a detector makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from facekit import boxes as box_maths
from facekit.boxes import IDENTITY, BoxTransform
from facekit.errors import DatasetError
from facekit.images import RgbImage, crop, read
from facekit.protocols import Detector
from facekit.training.classify.data import Sample

__all__ = ["CropPlan", "Variation", "crops_of", "detected"]

_LEAST_IOU: Final = 0.4
_CHUNK: Final = 16

Square = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Variation:
    """How far crops vary; with every number 0 and no mirroring they do not.

    Attributes:
        shift: Most that a crop moves, as a share of its side.
        scale: Most that it grows or shrinks, as a share of its side.
        flip: Whether every other crop is mirrored.
        colour: Most that brightness and each channel's gain change, as a share.
    """

    shift: float = 0.0
    scale: float = 0.0
    flip: bool = False
    colour: float = 0.0


@dataclasses.dataclass(frozen=True)
class CropPlan:
    """Which part of an image the network sees of a face.

    Attributes:
        size: Side of the crops, pixels.
        scale: Side of the crop over the side of the face's canonical square.
        transform: From the samples' boxes to canonical squares.
        whole: Take whole images, stretched to a square, whatever the boxes.
        variation: How far the crops of views after the first vary.
    """

    size: int
    scale: float = 1.0
    transform: BoxTransform = IDENTITY
    whole: bool = False
    variation: Variation = Variation()

    def region(self, sample: Sample, image: RgbImage) -> Square:
        """Return ``(4,)`` x1, y1, x2, y2 of the part to show, pixels; it may leave the image."""
        if self.whole or sample.box is None:
            return np.array([0, 0, image.shape[1], image.shape[0]], dtype=np.float64)
        canonical = self.transform.apply(np.array([sample.box], dtype=np.float64))
        return np.asarray(box_maths.square(canonical, self.scale)[0], dtype=np.float64)

    def cut(
        self, sample: Sample, image: RgbImage, random: np.random.Generator | None = None
    ) -> RgbImage:
        """Cut one crop.

        Args:
            sample: The face.
            image: ``(H, W, 3)`` uint8 RGB.
            random: What varies it; by default nothing.

        Returns:
            ``(size, size, 3)`` uint8 RGB, black beyond the image.
        """
        region = self.region(sample, image)
        if random is None:
            return crop(image, region, (self.size, self.size))
        varied = crop(image, _moved(region, self.variation, random), (self.size, self.size))
        if self.variation.flip and random.random() < 0.5:  # noqa: PLR2004 - every other one
            varied = np.ascontiguousarray(varied[:, ::-1])
        return _coloured(varied, self.variation.colour, random)


def _moved(region: Square, variation: Variation, random: np.random.Generator) -> Square:
    """Shift a region and change its size."""
    centre, sides = (region[:2] + region[2:]) / 2, region[2:] - region[:2]
    centre = centre + random.uniform(-variation.shift, variation.shift, 2) * sides
    half = sides * (1 + random.uniform(-variation.scale, variation.scale)) / 2
    return np.concatenate([centre - half, centre + half])


def _coloured(image: RgbImage, most: float, random: np.random.Generator) -> RgbImage:
    """Change brightness and the channels' gains."""
    if not most:
        return image
    gains = 1 + random.uniform(-most, most, 3) + random.uniform(-most, most)
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None]), dtype=np.uint8)


def crops_of(
    samples: Sequence[Sample], plan: CropPlan, *, seed: int = 0, views: int = 1
) -> Iterator[list[RgbImage]]:
    """Cut the crops of many faces; faces of one image in a row share its decoding.

    Args:
        samples: The faces.
        plan: How to cut.
        seed: Of the variations.
        views: Crops a face: the first as it is, the others varied.

    Yields:
        The views of each face, in the samples' order.

    Raises:
        ImageError: If an image cannot be read.
    """
    index = 0
    for path, group in groupby(samples, key=lambda sample: sample.path):
        image = read(path)
        for sample in group:
            yield [
                plan.cut(
                    sample, image, np.random.default_rng((seed, index, view)) if view else None
                )
                for view in range(views)
            ]
            index += 1


def detected(samples: Sequence[Sample], detector: Detector) -> tuple[list[Sample], int]:
    """Replace boxes by the canonical squares of what a detector finds there.

    Args:
        samples: The faces. One without a box is the best face of its image.
        detector: The detector; its own threshold is in force.

    Returns:
        The faces that were found, their boxes canonical squares; and how many were not.

    Raises:
        DatasetError: If none was found.
    """
    paths = list(dict.fromkeys(sample.path for sample in samples))
    found: dict[Path, tuple[Square, Square]] = {}
    for start in range(0, len(paths), _CHUNK):
        chunk = paths[start : start + _CHUNK]
        for path, faces in zip(chunk, detector.detect(chunk), strict=True):
            found[path] = (faces.boxes.astype(float), faces.canonical_squares().astype(float))
    kept = []
    for sample in samples:
        boxes, squares = found[sample.path]
        place = _match(sample, boxes)
        if place is not None:
            x1, y1, x2, y2 = squares[place].tolist()
            kept.append(dataclasses.replace(sample, box=(x1, y1, x2, y2)))
    if not kept:
        where = samples[0].source
        reason = f"the detector {detector.name!r} finds none of the {len(samples)} faces"
        raise DatasetError(where.file, None, reason)
    return kept, len(samples) - len(kept)


def _match(sample: Sample, boxes: Square) -> int | None:
    """Return which of the detector's boxes is the sample's face."""
    if not len(boxes):
        return None
    if sample.box is None:
        return 0
    overlaps = box_maths.iou(np.array([sample.box]), boxes)[0]
    best = int(overlaps.argmax())
    return best if overlaps[best] >= _LEAST_IOU else None
