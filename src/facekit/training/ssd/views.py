"""Random views of photos: which part is seen, how large, and where its faces are then.

A view is one resampling of the photo, by ``cv2.resize`` as in detection, which does not smooth.
The faces' boxes go through the very same rectangles, so they stay on their pixels.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from facekit.images import RgbImage
from facekit.training.detection.photos import Photo

__all__ = ["View", "ViewOptions", "Window", "draw_view", "seen"]

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Boxes = npt.NDArray[np.float32]
Random = np.random.Generator

_RESIZERS: Final[Mapping[str, int]] = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
}
_LEAST_CROP: Final = 8
_TRIES: Final = 20


class ViewOptions(BaseModel):
    """How photos are looked at.

    Attributes:
        whole: How often, relative to the other kinds, the whole photo is stretched to the view.
        zoom_out: ... the photo is a part of a larger canvas, so that its faces are small.
        min_iou: ... SSD's crop: a window that covers some face by a random least overlap.
        face: ... a window in which some face has a random size.
        zoom: ... a window of random size and place.
        mosaic: Share of views that are made of several smaller ones.
        grids: Rows and columns of a mosaic; each draws one of them.
        canvas: Largest side of a canvas, in sides of the photo.
        magnify: Least and greatest size of the photo's pixels in a window, relative to the whole
            photo stretched to `full` px.
        full: The side that `magnify` relates to: that of detection.
        face_heights: Least and greatest height that `face` gives its face, pixels.
        aspect: The largest change of a window's proportions, as a factor.
        natural: Share of windows in which pixels are square, the photo's own proportions kept.
        flip: Share of views that are mirrored.
        least_seen: Faces of which a view shows a smaller share are ignored there.
        least_height: Faces lower than this, in pixels of the view, are ignored there.
        resizers: How often each way of resizing is used; detection's is ``linear``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole: Annotated[float, Field(ge=0)] = 1.0
    zoom_out: Annotated[float, Field(ge=0)] = 0.5
    min_iou: Annotated[float, Field(ge=0)] = 1.0
    face: Annotated[float, Field(ge=0)] = 1.0
    zoom: Annotated[float, Field(ge=0)] = 1.0
    mosaic: Share = 0.25
    grids: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (2, 2, 3)
    canvas: Annotated[float, Field(ge=1)] = 3.0
    magnify: tuple[Positive, Positive] = (0.5, 2.5)
    full: Annotated[int, Field(ge=16)] = 300
    face_heights: tuple[Positive, Positive] = (12.0, 200.0)
    aspect: Annotated[float, Field(ge=1)] = 1.3
    natural: Share = 0.3
    flip: Share = 0.5
    least_seen: Share = 0.5
    least_height: Annotated[float, Field(ge=0)] = 17.0
    resizers: Mapping[str, float] = {"linear": 0.7, "area": 0.15, "nearest": 0.15}


class Window(NamedTuple):
    """A rectangle of a photo, in its pixels; it may be larger than the photo."""

    left: float
    top: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a network is shown.

    Attributes:
        boxes: (n, 4) float32 xyxy, pixels of the view, clipped to it.
        ignore: (n,) bool: neither to be found nor background.
        labelled: Whether all faces in it have a box.
    """

    boxes: Boxes
    ignore: npt.NDArray[np.bool_]
    labelled: bool


def draw_view(photos: Sequence[Photo], out: RgbImage, options: ViewOptions, random: Random) -> View:
    """Draw one random view.

    Args:
        photos: One, or for a mosaic as many as a grid has cells.
        out: (h, w, 3) uint8, contiguous, which the pixels are written to.
        options: How.
        random: The view's own.
    """
    if len(photos) == 1:
        return _draw(photos[0], out, options, random)
    grid = math.isqrt(len(photos))
    rows, columns = (_cuts(side, grid, random) for side in out.shape[:2])
    cells = itertools.product(itertools.pairwise(rows), itertools.pairwise(columns))
    views = []
    for photo, ((top, bottom), (left, right)) in zip(photos, cells, strict=True):
        cell = np.empty((bottom - top, right - left, 3), dtype=np.uint8)
        view = _draw(photo, cell, options, random)
        out[top:bottom, left:right] = cell
        shift = np.array([left, top, left, top], dtype=np.float32)
        views.append(dataclasses.replace(view, boxes=view.boxes + shift))
    return View(
        np.concatenate([view.boxes for view in views]),
        np.concatenate([view.ignore for view in views]),
        all(view.labelled for view in views),
    )


def _cuts(side: int, cells: int, random: Random) -> list[int]:
    """Return where a mosaic's cells begin and end along one side, a little uneven."""
    inner = np.arange(1, cells) + random.uniform(-0.2, 0.2, cells - 1)
    return [0, *(round(place * side / cells) for place in inner), side]


def _draw(photo: Photo, out: RgbImage, options: ViewOptions, random: Random) -> View:
    """Draw a view of one photo."""
    height, width = out.shape[:2]
    window = _window(photo, (height, width), options, random)
    how = _RESIZERS[_choose(options.resizers, random)]
    boxes = _show(photo, window, out, how, random)
    if random.random() < options.flip:
        cv2.flip(out, 1, dst=out)
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    boxes, ignore = seen(boxes, photo.ignore, (height, width), options)
    return View(boxes, ignore, photo.labelled)


def _choose(weights: Mapping[str, float], random: Random) -> str:
    """Draw a name by weight."""
    bound = random.random() * sum(weights.values())
    for name, weight in weights.items():
        bound -= weight
        if bound < 0:
            return name
    return next(iter(weights))


def _window(photo: Photo, size: tuple[int, int], options: ViewOptions, random: Random) -> Window:
    """Choose the part of a photo that a view of (height, width) shows."""
    kinds = {
        name: getattr(options, name) for name in ("whole", "zoom_out", "min_iou", "face", "zoom")
    }
    kind = _choose(kinds, random)
    if kind == "zoom_out":
        return _canvas(photo, options, random)
    if kind == "whole":
        return Window(0.0, 0.0, *_full(photo))
    if kind == "min_iou" and (window := _min_iou_window(photo, random)):
        return window
    faces = photo.boxes[~photo.ignore]
    if kind == "face" and len(faces):
        return _face_window(photo, faces, size, options, random)
    return _zoom_window(photo, size, options, random)


def _full(photo: Photo) -> tuple[float, float]:
    """Return a photo's width and height."""
    return float(photo.pixels.shape[1]), float(photo.pixels.shape[0])


def _between(limits: tuple[float, float], random: Random) -> float:
    """Draw a factor, as likely between 1 and 2 as between 2 and 4."""
    low, high = np.log(limits)
    return float(np.exp(random.uniform(low, high)))


def _canvas(photo: Photo, options: ViewOptions, random: Random) -> Window:
    """Lay a photo anywhere on a larger canvas: SSD's zooming out."""
    width, height = _full(photo)
    side = _between((1.0, options.canvas), random)
    return Window(
        -random.uniform(0, side - 1) * width,
        -random.uniform(0, side - 1) * height,
        side * width,
        side * height,
    )


def _zoom_window(
    photo: Photo, size: tuple[int, int], options: ViewOptions, random: Random
) -> Window:
    """Choose a window of random size and place; not smaller than it shows whole pixels."""
    width, height = _shape(photo, _between(options.magnify, random), size, options, random)
    full_width, full_height = _full(photo)
    return Window(
        random.uniform(0, max(full_width - width, 0)),
        random.uniform(0, max(full_height - height, 0)),
        width,
        height,
    )


def _face_window(
    photo: Photo, faces: Boxes, size: tuple[int, int], options: ViewOptions, random: Random
) -> Window:
    """Choose a window in which one of the faces has a random height, anywhere in the view."""
    x1, y1, x2, y2 = (float(value) for value in faces[random.integers(len(faces))])
    wanted = _between(options.face_heights, random)
    # Never larger than life by more than 2, or blur is what is learned.
    factor = min(wanted / (y2 - y1), 2.0)
    width, height = _shape(photo, factor * _full(photo)[1] / options.full, size, options, random)
    left = (x1 + x2) / 2 - random.uniform(0.2, 0.8) * width
    top = (y1 + y2) / 2 - random.uniform(0.2, 0.8) * height
    full_width, full_height = _full(photo)
    return Window(
        _within(left, width, full_width), _within(top, height, full_height), width, height
    )


def _within(start: float, length: float, full: float) -> float:
    """Move a window into the photo, or over all of it."""
    low, high = sorted((0.0, full - length))
    return min(max(start, low), high)


def _shape(
    photo: Photo, magnify: float, size: tuple[int, int], options: ViewOptions, random: Random
) -> tuple[float, float]:
    """Return the width and height of a window at a magnification, at most the photo's."""
    full_width, full_height = _full(photo)
    stretch = _between((1 / options.aspect, options.aspect), random) ** 0.5
    width, height = full_width * stretch, full_height / stretch
    if random.random() < options.natural:
        mean = (full_width * full_height) ** 0.5
        width, height = mean * stretch, mean / stretch
    width *= size[1] / options.full / magnify
    height *= size[0] / options.full / magnify
    over = max(width / full_width, height / full_height, 1.0)
    return max(width / over, _LEAST_CROP), max(height / over, _LEAST_CROP)


def _min_iou_window(photo: Photo, random: Random) -> Window | None:
    """Choose SSD's crop, or ``None`` where none was found: MMDetection's ``MinIoURandomCrop``."""
    if not len(photo.boxes):
        return None
    full_width, full_height = _full(photo)
    least = random.choice([0.1, 0.3, 0.5, 0.7, 0.9])
    for _ in range(_TRIES):
        width = random.uniform(0.3, 1) * full_width
        height = random.uniform(0.3, 1) * full_height
        if not 0.5 <= height / width <= 2:  # noqa: PLR2004 - SSD's own limits
            continue
        left = random.uniform(0, full_width - width)
        top = random.uniform(0, full_height - height)
        corners = np.array([left, top, left + width, top + height])
        shared = _shared(photo.boxes, corners)
        area = (photo.boxes[:, 2:] - photo.boxes[:, :2]).prod(axis=1)
        # A face is far smaller than a window: what counts is how much of it is inside.
        if (shared >= least * area).any():
            return Window(left, top, width, height)
    return None


def _shared(boxes: Boxes, window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the area of each box within a window."""
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    area: npt.NDArray[np.float64] = (high - low).clip(0).prod(axis=1)
    return area


def _show(photo: Photo, window: Window, out: RgbImage, how: int, random: Random) -> Boxes:
    """Resize what a window shows into `out`; return the photo's boxes in its pixels."""
    source, target = _rectangles(photo, window, out)
    (x0, y0, x1, y1), (left, top, right, bottom) = source, target
    size = (right - left, bottom - top)
    if size == (out.shape[1], out.shape[0]):
        cv2.resize(photo.pixels[y0:y1, x0:x1], size, dst=out, interpolation=how)
    else:
        out[:] = random.integers(0, 256, 3, dtype=np.uint8)
        part = cv2.resize(photo.pixels[y0:y1, x0:x1], size, interpolation=how)
        out[top:bottom, left:right] = part
    scale = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)] * 2, dtype=np.float32)
    moved = (photo.boxes - np.array([x0, y0, x0, y0], dtype=np.float32)) * scale
    shifted: Boxes = moved + np.array([left, top, left, top], dtype=np.float32)
    return shifted


def _rectangles(
    photo: Photo, window: Window, out: RgbImage
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Return whole pixels of the photo, and those of the view that they are resized to."""
    spans = [
        _spans(start, length, full, side)
        for start, length, full, side in (
            (window.left, window.width, photo.pixels.shape[1], out.shape[1]),
            (window.top, window.height, photo.pixels.shape[0], out.shape[0]),
        )
    ]
    (x0, x1, left, right), (y0, y1, top, bottom) = spans
    return (x0, y0, x1, y1), (left, top, right, bottom)


def _spans(start: float, length: float, full: int, side: int) -> tuple[int, int, int, int]:
    """Return first and last pixel along one axis, of the photo and of the view."""
    first = int(np.clip(round(start), 0, full - 1))
    last = int(np.clip(round(start + length), first + 1, full))
    if start >= 0 and start + length <= full + 1:
        return first, last, 0, side
    low = int(np.clip(round((first - start) / length * side), 0, side - 1))
    high = int(np.clip(round((last - start) / length * side), low + 1, side))
    return first, last, low, high


def seen(
    boxes: Boxes,
    ignore: npt.NDArray[np.bool_],
    size: tuple[int, int],
    options: ViewOptions,
) -> tuple[Boxes, npt.NDArray[np.bool_]]:
    """Return the boxes that a view shows, clipped to it, and which of them are ignored.

    Args:
        boxes: (n, 4) in the view's pixels; may leave it.
        ignore: (n,) as annotated.
        size: Height and width of the view.
        options: `least_seen` and `least_height`.
    """
    height, width = size
    clipped = boxes.clip(0, np.array([width, height] * 2, dtype=np.float32))
    inside = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    shown = inside > 0
    low = boxes[:, 3] - boxes[:, 1] < options.least_height
    ignored = ignore | low | (inside < options.least_seen * whole)
    return clipped[shown].astype(np.float32), ignored[shown]
