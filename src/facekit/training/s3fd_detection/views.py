"""What S3FD is shown of a photo: a square at a random place and scale.

Two ways take turns. Data-anchor sampling (Tang et al., "PyramidBox", 2018, section 3.3) picks a
face and scales the photo so that it becomes as large as an anchor that is at most one larger than
its own; small faces come about from large ones, of which photos have more detail. The other way is
S3FD's own (Zhang et al., 2017, section 3.3): a square of 0.3 to 1 times the short side.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from facekit.images import RgbImage
from facekit.training.detection.photos import Photo
from facekit.training.s3fd_pixels import MEAN_RGB

__all__ = ["ANCHORS", "View", "Views"]

Boxes = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

ANCHORS: Final = (16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Sides of S3FD's anchors, pixels: four times the strides."""

_FARTHEST: Final = 3.0
_CLOSEST: Final = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What is shown.

    Attributes:
        pixels: ``(size, size, 3)`` uint8 RGB.
        boxes: ``(n, 4)`` float32 xyxy, pixels of the view; they may leave it.
        ignore: ``(n,)`` bool.
    """

    pixels: RgbImage
    boxes: Boxes
    ignore: Flags


@dataclasses.dataclass(frozen=True)
class Views:
    """How views are chosen.

    Attributes:
        size: Side of the views, pixels.
        anchor_share: How often data-anchor sampling chooses, 0 to 1.
        whole_share: How often the whole photo is shown, of the other times.
        min_face: Faces lower than this in the view are ignored, pixels.
        flip: Mirror every other view.
    """

    size: int = 640
    anchor_share: float = 0.5
    whole_share: float = 0.3
    min_face: float = 8.0
    flip: bool = True

    def draw(self, photo: Photo, random: np.random.Generator) -> View:
        """Choose and cut a view.

        Args:
            photo: The photo and its faces.
            random: Decides.
        """
        left, top, side = self._square(photo.pixels.shape, photo.boxes[~photo.ignore], random)
        pixels = _cut(photo.pixels, (left, top), side, self.size)
        corner = np.array([left, top, left, top], dtype=np.float32)
        moved = (photo.boxes - corner) * np.float32(self.size / side)
        if self.flip and random.random() < 0.5:  # noqa: PLR2004 - every other one
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            moved = np.stack(
                [self.size - moved[:, 2], moved[:, 1], self.size - moved[:, 0], moved[:, 3]], axis=1
            )
        return View(pixels, *self._kept(moved, photo.ignore))

    def _square(
        self, shape: tuple[int, ...], faces: Boxes, random: np.random.Generator
    ) -> tuple[float, float, float]:
        """Return left, top and side of what is shown, pixels of the photo."""
        height, width = shape[:2]
        if len(faces) and random.random() < self.anchor_share:
            face = faces[random.integers(len(faces))]
            side = self.size / self._anchor_scale(face, random)
            side = float(
                np.clip(side, min(height, width) / _CLOSEST, max(height, width) * _FARTHEST)
            )
            return (*_around(face, side, (height, width), random), side)
        if random.random() < self.whole_share:
            side = max(height, width) * random.uniform(1, 1.3)
        else:
            side = min(height, width) * random.uniform(0.3, 1)
        places = [_place(length, side, random) for length in (width, height)]
        return places[0], places[1], side

    def _anchor_scale(self, face: Boxes, random: np.random.Generator) -> float:
        """Return by how much to magnify, so that a face is as large as a chosen anchor."""
        own = math.sqrt(float((face[2] - face[0]) * (face[3] - face[1])))
        nearest = int(np.argmin([abs(math.log(anchor / own)) for anchor in ANCHORS]))
        chosen = ANCHORS[int(random.integers(min(nearest + 1, len(ANCHORS) - 1) + 1))]
        # The last anchor's face would not fit in the view at twice its side.
        wanted = chosen * 2 ** random.uniform(-1, 1 if chosen * 2 < self.size else 0)
        return float(wanted / own)

    def _kept(self, boxes: Boxes, ignore: Flags) -> tuple[Boxes, Flags]:
        """Keep what can be seen; ignore what is cut in half or too small to be learned."""
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((centre >= 0) & (centre < self.size)).all(axis=1)
        seen = np.minimum(boxes[:, 2:], self.size) - np.maximum(boxes[:, :2], 0)
        visible = (seen > 0).all(axis=1)
        small = boxes[:, 3] - boxes[:, 1] < self.min_face
        return boxes[visible].astype(np.float32), (ignore | small | ~inside)[visible]


def _around(
    face: Boxes, side: float, shape: tuple[int, int], random: np.random.Generator
) -> tuple[float, float]:
    """Return left and top of a square that holds a face, inside the photo where that can be."""
    found = []
    for low, high, length in ((face[0], face[2], shape[1]), (face[1], face[3], shape[0])):
        least, most = float(high) - side, float(low)
        if least > most:  # larger than the square: their middles meet
            least = most = (least + most) / 2
        within = (max(least, 0.0), min(most, length - side))
        least, most = within if within[0] <= within[1] else (least, most)
        found.append(random.uniform(least, most))
    return found[0], found[1]


def _place(length: int, side: float, random: np.random.Generator) -> float:
    """Return where a square begins along a side of the photo."""
    room = length - side
    return float(random.uniform(min(0.0, room), max(0.0, room)))


def _cut(image: RgbImage, corner: tuple[float, float], side: float, size: int) -> RgbImage:
    """Cut a square and bring it to its size; beyond the photo it is of the mean colour.

    Places are rounded to whole pixels of photo and view: up to half a pixel is lost.
    """
    scale = size / side
    height, width = image.shape[:2]
    view = np.empty((size, size, 3), np.uint8)
    view[:] = MEAN_RGB
    left, top = corner
    x1, y1 = max(math.floor(left), 0), max(math.floor(top), 0)
    x2, y2 = min(math.ceil(left + side), width), min(math.ceil(top + side), height)
    to_x1, to_y1 = round((x1 - left) * scale), round((y1 - top) * scale)
    to_x2, to_y2 = round((x2 - left) * scale), round((y2 - top) * scale)
    if to_x2 <= to_x1 or to_y2 <= to_y1:
        return view
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    part = cv2.resize(image[y1:y2, x1:x2], (to_x2 - to_x1, to_y2 - to_y1), interpolation=way)
    rows, columns = slice(max(to_y1, 0), min(to_y2, size)), slice(max(to_x1, 0), min(to_x2, size))
    view[rows, columns] = part[
        rows.start - to_y1 : rows.stop - to_y1, columns.start - to_x1 : columns.stop - to_x1
    ]
    return view
