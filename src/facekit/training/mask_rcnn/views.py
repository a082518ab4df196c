"""What an R-CNN is shown of a photo: all of it, in one of several sizes, mirrored or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from facekit.detectors._mask_rcnn_images import Input
from facekit.training.detection.photos import Photo
from facekit.training.keys import ItemKey
from facekit.training.mask_rcnn.masks import Outline, box_outline

__all__ = ["Masks", "View", "Views"]

Masks = Literal["polygons", "boxes", "off"]
Boxes = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What is shown.

    Attributes:
        planes: ``(3, h, w)`` uint8 in the network's order of channels.
        boxes: ``(n, 4)`` float32 xyxy, pixels of the view.
        ignored: ``(m, 4)`` float32 xyxy, of faces that are neither to be found nor background.
        outlines: Of each of the ``n`` faces; ``None`` where its mask is not learned.
    """

    planes: npt.NDArray[np.uint8]
    boxes: Boxes
    ignored: Boxes
    outlines: tuple[Outline | None, ...]


class Views:
    """Photos as they are shown, drawn by the weights of their sources.

    An item's photo is chosen by its index alone, so that a pass shows each of them as often as
    its weight says; size and mirroring are the key's.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        chances: npt.NDArray[np.float64],
        *,
        items: int | None,
        sizes: Sequence[int],
        longest: int,
        bgr: bool,
        flip: bool,
        masks: Masks,
    ) -> None:
        """Show photos.

        Args:
            photos: All of them.
            chances: ``(n,)``, rising to 1: where each photo's share of the draws ends.
            items: Views of a pass; by default as many as there are photos.
            sizes: Of the shorter side, pixels; each view draws one of them.
            longest: Of the longer side at most, pixels.
            bgr: Whether the network sees BGR.
            flip: Whether every other view is mirrored.
            masks: Where masks come from.
        """
        self._photos, self._chances = photos, chances
        self._items = items or len(photos)
        self._inputs = [Input(size, longest, bgr) for size in sizes]
        self._flip, self._masks = flip, masks

    def __len__(self) -> int:
        """Return how many views a pass has."""
        return self._items

    def __getitem__(self, key: ItemKey) -> View:
        """Make one."""
        random = key.random()
        # Each pass begins where the one before it ended, so that all photos get their share.
        place = ((key.epoch * self._items + key.index + 0.5) / len(self._photos)) % 1.0
        index = min(int(np.searchsorted(self._chances, place, "right")), len(self._photos) - 1)
        return self.view(self._photos[index], random)

    def name(self, index: int) -> str:
        """Return what messages call an item."""
        return f"view {index}"

    def view(self, photo: Photo, random: np.random.Generator) -> View:
        """Show a photo.

        Args:
            photo: Which.
            random: Decides.
        """
        chosen = self._inputs[int(random.integers(len(self._inputs)))]
        mirrored = self._flip and bool(random.integers(2))
        height, width = photo.pixels.shape[:2]
        pixels = np.ascontiguousarray(photo.pixels[:, ::-1]) if mirrored else photo.pixels
        planes = chosen.planes(pixels)
        scale = np.array([planes.shape[2] / width, planes.shape[1] / height], dtype=np.float32)

        def placed(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            if mirrored:
                points = np.stack([width - points[:, 0], points[:, 1]], axis=1)
            return points * scale

        corners = placed(photo.boxes.reshape(-1, 2)).reshape(-1, 2, 2)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        limit = np.array([planes.shape[2], planes.shape[1]] * 2)
        boxes = np.clip(boxes, 0, limit).astype(np.float32)
        seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        faces = seen & ~photo.ignore
        outlines = tuple(
            self._outline(
                boxes[row],
                tuple(placed(one) for one in photo.outlines[row]) if photo.outlines else (),
            )
            for row in np.flatnonzero(faces)
        )
        return View(planes, boxes[faces], boxes[seen & photo.ignore], outlines)

    def _outline(self, box: Boxes, polygons: Outline) -> Outline | None:
        if self._masks == "off":
            return None
        if polygons:
            return polygons
        return box_outline(box) if self._masks == "boxes" else None
