"""Photos to the network's pixels, and its instances back to the photos', as Detectron2 does both.

Its ``ResizeShortestEdge`` with Pillow's bilinear resize of uint8, and ``detector_postprocess``
(commit 02b5c4e).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from facekit.images import RgbImage
from facekit.masks import RleMask
from facekit.networks.mask_rcnn import Instances, paste
from facekit.networks.mask_rcnn_boxes import clip, larger_than

__all__ = ["Found", "Input", "brought_back"]

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

    def prepare(self, image: RgbImage) -> Any:  # noqa: ANN401 - a tensor
        """Return float32 ``(3, height, width)`` in 0..255.

        Args:
            image: The photo.
        """
        return torch.from_numpy(self.planes(image)).float()


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


def brought_back(
    found: Instances, image_size: Size, input_size: Size, only: int | None = None
) -> Found:
    """Bring one image's instances to its own pixels.

    Args:
        found: Of the network, on the CPU.
        image_size: Height and width of the photo, pixels.
        input_size: Height and width of the network's input, without its padding.
        only: The class to keep; by default all.
    """
    height, width = image_size
    scale = torch.tensor([width / input_size[1], height / input_size[0]] * 2)
    boxes = clip(found.boxes * scale, image_size)
    kept = larger_than(boxes, 0)
    if only is not None:
        kept &= found.classes == only
    masks = None
    if found.masks is not None:
        pairs = zip(found.masks[kept], boxes[kept], strict=True)
        masks = tuple(_run_lengths(mask, box, image_size) for mask, box in pairs)
    return Found(
        boxes[kept].numpy(), found.scores[kept].numpy(), found.classes[kept].numpy(), masks
    )


def _run_lengths(mask: Any, box: Any, size: Size) -> RleMask:  # noqa: ANN401 - tensors
    """Lay one mask over its box, and encode it."""
    patch, corner = paste(mask, box, size)
    return RleMask.from_patch(patch.numpy(), corner, size)
