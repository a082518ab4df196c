"""Photos to the network's pixels, and its instances back to the photos', as Detectron2 does both.

Its ``ResizeShortestEdge`` with Pillow's bilinear resize of uint8, and ``detector_postprocess``
(commit 02b5c4e).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from facekit.engines import FloatArray
from facekit.images import RgbImage
from facekit.masks import RleMask

__all__ = ["Found", "Input", "Raw", "brought_back"]

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Input:
    """How a photo becomes the network's input.

    Attributes:
        shortest: Pixels of the shorter side; 0 leaves the photo's size.
        longest: Pixels of the longer side at most.
        bgr: Whether the network sees BGR.
    """

    shortest: int
    longest: int
    bgr: bool

    def size(self, height: int, width: int) -> Size:
        """Return the input's height and width: ``ResizeShortestEdge.get_output_shape``.

        Args:
            height: Of the photo, pixels.
            width: Of the photo, pixels.
        """
        if self.shortest == 0:
            return height, width
        scale = self.shortest * 1.0 / min(height, width)
        sides = [scale * height, scale * width]
        sides[int(width < height)] = self.shortest * 1.0
        if max(sides) > self.longest:
            shrink = self.longest * 1.0 / max(sides)
            sides = [side * shrink for side in sides]
        # Detectron2 fails on what shrinks to nothing.
        down, across = (max(int(side + 0.5), 1) for side in sides)
        return down, across

    def planes(self, image: RgbImage) -> npt.NDArray[np.uint8]:
        """Return uint8 ``(3, height, width)`` in the network's order of channels.

        Args:
            image: The photo.
        """
        height, width = self.size(*image.shape[:2])
        resized = np.asarray(
            Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        )
        ordered = resized[..., ::-1] if self.bgr else resized
        return np.ascontiguousarray(ordered.transpose(2, 0, 1))

    def prepare(self, image: RgbImage) -> FloatArray:
        """Return float32 ``(3, height, width)`` in 0..255.

        Args:
            image: The photo.
        """
        return self.planes(image).astype(np.float32)


class Raw(NamedTuple):
    """What a network found in one image, best first.

    Attributes:
        boxes: ``(n, 4)`` float32 xyxy, pixels of the input.
        scores: ``(n,)`` float32.
        classes: ``(n,)`` whole numbers, from 0.
        masks: ``(n, m, m)`` float32 in 0..1, of the boxes, or ``None``.
    """

    boxes: Any
    scores: Any
    classes: Any
    masks: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What was found in a photo, best first.

    Attributes:
        boxes: ``(n, 4)`` float32 xyxy, pixels of the photo.
        scores: ``(n,)`` float32.
        classes: ``(n,)`` int64.
        masks: One a box, of the photo's size, or ``None``.
    """

    boxes: Any
    scores: Any
    classes: Any
    masks: tuple[RleMask, ...] | None


def brought_back(found: Raw, image_size: Size, input_size: Size, only: int | None = None) -> Found:
    """Bring one image's instances to its own pixels.

    Args:
        found: Of the network.
        image_size: Height and width of the photo, pixels.
        input_size: Height and width of the network's input, without its padding.
        only: The class to keep; by default all.
    """
    height, width = image_size
    scale = np.array([width / input_size[1], height / input_size[0]] * 2, dtype=np.float32)
    boxes = (found.boxes * scale).clip(0, np.array([width, height] * 2, dtype=np.float32))
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if only is not None:
        kept &= found.classes == only
    masks = None
    if found.masks is not None:
        pairs = zip(found.masks[kept], boxes[kept], strict=True)
        masks = tuple(_run_lengths(mask, box, image_size) for mask, box in pairs)
    return Found(boxes[kept], found.scores[kept], found.classes[kept].astype(np.int64), masks)


def _run_lengths(mask: FloatArray, box: FloatArray, size: Size) -> RleMask:
    """Lay one mask over its box, and encode it: Detectron2's ``paste_masks_in_image`` on a CPU.

    Args:
        mask: ``(m, m)`` in 0..1.
        box: ``(4,)`` xyxy, pixels of the image.
        size: Height and width of the image.
    """
    left, top = (max(int(np.floor(box[axis])) - 1, 0) for axis in (0, 1))
    right, bottom = (min(int(np.ceil(box[axis + 2])) + 1, size[1 - axis]) for axis in (0, 1))
    down = _shares(top, bottom, box[1], box[3], len(mask))
    across = _shares(left, right, box[0], box[2], len(mask))
    half = 0.5
    return RleMask.from_patch(down @ mask @ across.T >= half, (left, top), size)


def _shares(start: int, stop: int, low: np.float32, high: np.float32, cells: int) -> FloatArray:
    """Say how much of each cell of a mask's side each pixel has, beyond the side of nothing.

    Args:
        start: The first pixel.
        stop: The one after the last.
        low: Where the side begins, pixels.
        high: Where it ends, pixels.
        cells: How many it has.

    Returns:
        ``(stop - start, cells)`` float32: linear interpolation between the cells' middles.
    """
    centres = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    places = (centres - low) / (high - low) * np.float32(cells) - np.float32(0.5)
    distance = np.abs(places[:, None] - np.arange(cells, dtype=np.float32))
    shares: FloatArray = np.maximum(np.float32(1) - distance, np.float32(0))
    return shares
