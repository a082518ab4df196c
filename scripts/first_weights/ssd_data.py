"""Photos for the tiny SSD: read once into memory, then cut, flipped and coloured at random."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

MAX_SIDE: Final = 640
FULL_SIZE: Final = 300
"""Input size that a whole photo is stretched to; smaller inputs are windows at that scale."""

LEAST_FACE: Final = 8.0
"""Faces under this height in pixels of the input are neither face nor background."""

LEAST_PART: Final = 0.5
"""Faces of which a view shows less than this part are neither, too."""

ZOOM: Final = (0.5, 1.7)
"""Least and greatest magnification of a view, 1 being the whole photo stretched to full size.

Crowds in detection's photos are smaller than those in training's, hence the values under 1.
"""

# How often an input holds four views, and a view is mirrored, shows the whole photo (at full size
# only), aims at a face, keeps its colours, or turns grey.
FOURFOLD, MIRRORED, WHOLE, AIMED, UNTOUCHED, GREY = 0.3, 0.5, 0.4, 0.67, 0.2, 0.06

# How often a view is resized in each way: detection uses the first.
RESIZERS: Final = {cv2.INTER_LINEAR: 0.75, cv2.INTER_AREA: 0.15, cv2.INTER_NEAREST: 0.1}

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Photo:
    """One photo: RGB pixels (h, w, 3), continuous boxes (n, 4), and which of them are valid.

    `labelled` is False where not every face has a box: such a photo only serves a teacher.
    """

    name: str
    pixels: Pixels
    boxes: Floats
    valid: NDArray[np.bool_]
    labelled: bool = True


@dataclass(frozen=True)
class Source:
    """Photos of one kind and how often, relative to others, to draw one."""

    photos: Sequence[Photo]
    weight: float


def wider_photos(annotations: Path, images: Path, max_side: int | None = MAX_SIDE) -> list[Photo]:
    """The photos of a WIDER FACE annotation text that are present in a folder."""
    photos = []
    for name, rows in track(list(_wider_records(annotations)), description=images.parent.name):
        if not (images / name).is_file():
            continue
        pixels, scale = _read(images / name, max_side)
        sized = rows[(rows[:, 2] > 0) & (rows[:, 3] > 0)]
        boxes = np.concatenate([sized[:, :2], sized[:, :2] + sized[:, 2:4]], axis=1) * scale
        photos.append(Photo(name, pixels, boxes.astype(np.float32), sized[:, 7] == 0))
    return photos


def _wider_records(annotations: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Name and rows (n, 10) of each image; an image without faces still has a row of zeros."""
    lines = iter(annotations.read_text().splitlines())
    for name in lines:
        count = max(int(next(lines)), 1)
        rows = [[float(value) for value in next(lines).split()] for _ in range(count)]
        yield name, np.array(rows)


def landmark_photos(root: Path, folder: str) -> list[Photo]:
    """Unlabelled photos of a landmark folder, less the groups held out for measuring."""
    paths = [path for path in sorted((root / folder).iterdir()) if not held_out(folder, path.stem)]
    boxes, valid = np.zeros((0, 4), np.float32), np.zeros(0, bool)
    return [
        Photo(path.name, _read(path, 400)[0], boxes, valid, labelled=False)
        for path in track(paths, description=folder)
    ]


def held_out(folder: str, stem: str) -> bool:
    """Whether a landmark photo belongs to the tenth of the groups that no training may see.

    A group is the folder and the name without its face or frame number; both one trailing digit
    and several are tried, and either one holds the photo out.
    """
    bare = stem.removesuffix("_mirror")
    groups = {f"{folder}/{re.sub(pattern, '', bare)}" for pattern in (r"_\d$", r"_\d+$")}
    return any(int(hashlib.sha256(g.encode()).hexdigest()[:8], 16) % 10 == 0 for g in groups)


def _read(path: Path, max_side: int | None) -> tuple[Pixels, float]:
    """RGB pixels, shrunk to at most `max_side`, and the factor they were shrunk by."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        message = f"cannot read {path}"
        raise ValueError(message)
    scale = min(1.0, max_side / max(pixels.shape[:2])) if max_side else 1.0
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[..., ::-1]), scale


def stretched(pixels: Pixels, size: int) -> Tensor:
    """The network's input (3, size, size) of a whole photo: bilinear, RGB in 0..1."""
    resized = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1).float() / 255


@dataclass(frozen=True)
class Sample:
    """One input (3, size, size) with the faces to learn and those to leave out, in its pixels."""

    image: Tensor
    faces: Tensor
    ignored: Tensor
    labelled: bool


class RandomViews(IterableDataset[list[Sample]]):
    """Endless batches of random views of random photos."""

    def __init__(self, sources: Sequence[Source], size: int, batch: int, seed: int) -> None:
        """Draw from `sources` by weight, square inputs of `size` pixels, `batch` at a time."""
        super().__init__()
        self.sources, self.size, self.batch, self.seed = list(sources), size, batch, seed
        weights = np.array([source.weight for source in sources])
        self.chances = weights / weights.sum()

    def __iter__(self) -> Iterator[list[Sample]]:
        """Batches, without end; each worker its own."""
        cv2.setNumThreads(0)
        worker = get_worker_info()
        random = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            yield [self._sample(random) for _ in range(self.batch)]

    def _sample(self, random: np.random.Generator) -> Sample:
        if random.random() < FOURFOLD:
            return _side_by_side([self._view(self.size // 2, random) for _ in range(4)])
        return self._view(self.size, random)

    def _view(self, size: int, random: np.random.Generator) -> Sample:
        source = self.sources[random.choice(len(self.sources), p=self.chances)]
        photo = source.photos[int(random.integers(len(source.photos)))]
        return random_view(photo, size, random)


def _side_by_side(views: Sequence[Sample]) -> Sample:
    """Four views of one size as the quarters of an input."""
    size = views[0].image.shape[-1]
    rows = [torch.cat([a.image, b.image], dim=2) for a, b in (views[:2], views[2:])]
    corners = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float32) * size
    shifts = torch.cat([corners, corners], dim=1)
    return Sample(
        torch.cat(rows, dim=1),
        torch.cat([view.faces + shift for view, shift in zip(views, shifts, strict=True)]),
        torch.cat([view.ignored + shift for view, shift in zip(views, shifts, strict=True)]),
        all(view.labelled for view in views),
    )


def random_view(photo: Photo, size: int, random: np.random.Generator) -> Sample:
    """Cut a window, stretch it to the input, then flip and colour it at random."""
    left, top, width, height = _window(photo, size, random)
    x0, y0 = int(left), int(top)
    x1, y1 = max(int(left + width), x0 + 8), max(int(top + height), y0 + 8)
    crop = photo.pixels[y0:y1, x0:x1]
    how = random.choice(list(RESIZERS), p=list(RESIZERS.values()))
    pixels = cv2.resize(crop, (size, size), interpolation=int(how))
    scale = np.array([size / crop.shape[1], size / crop.shape[0]] * 2, dtype=np.float32)
    boxes = (photo.boxes - np.array([x0, y0, x0, y0], dtype=np.float32)) * scale
    if random.random() < MIRRORED:
        pixels = pixels[:, ::-1]
        boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1)
    coloured = _colour(pixels.astype(np.float32) / np.float32(255), random)
    image = torch.from_numpy(coloured).permute(2, 0, 1)
    faces, ignored = _seen(boxes, photo.valid, size)
    return Sample(image, torch.from_numpy(faces), torch.from_numpy(ignored), photo.labelled)


def _window(
    photo: Photo, size: int, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Left, top, width and height of a random part of a photo, in its pixels.

    Some full-size views show the whole photo, as detection will. Others zoom, most onto a face.
    """
    full_h, full_w = photo.pixels.shape[:2]
    if size == FULL_SIZE and random.random() < WHOLE:
        return 0.0, 0.0, float(full_w), float(full_h)
    share = size / FULL_SIZE / np.exp(random.uniform(*np.log(ZOOM)))
    aspect = np.exp(random.uniform(-0.25, 0.25))
    width, height = (full_w * min(1.0, share * aspect), full_h * min(1.0, share / aspect))
    x, y = random.uniform(0, full_w), random.uniform(0, full_h)
    if len(photo.boxes) and random.random() < AIMED:
        x1, y1, x2, y2 = photo.boxes[random.integers(len(photo.boxes))]
        x = (x1 + x2) / 2 + random.uniform(-0.4, 0.4) * width
        y = (y1 + y2) / 2 + random.uniform(-0.4, 0.4) * height
    left = float(np.clip(x - width / 2, 0, full_w - width))
    top = float(np.clip(y - height / 2, 0, full_h - height))
    return left, top, float(width), float(height)


def _seen(boxes: Floats, valid: NDArray[np.bool_], size: int) -> tuple[Floats, Floats]:
    """The faces of a view to learn, clipped, and those to leave out: tiny, invalid or half cut."""
    clipped = boxes.clip(0, size)
    inside = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    learn = valid & (boxes[:, 3] - boxes[:, 1] >= LEAST_FACE) & (inside >= LEAST_PART * whole)
    return clipped[learn], clipped[~learn & (inside > 0)]


def _colour(image: Floats, random: np.random.Generator) -> Floats:
    """RGB in 0..1 with random brightness, contrast, saturation and white balance."""
    if random.random() < UNTOUCHED:
        return image
    gain = np.float32(random.uniform(0.6, 1.5)) * random.uniform(0.88, 1.12, 3).astype(np.float32)
    image = (image - 0.5) * gain + np.float32(0.5 + random.uniform(-0.2, 0.2))
    grey = image.mean(axis=2, keepdims=True)
    saturation = 0.0 if random.random() < GREY else random.uniform(0.5, 1.5)
    image = grey + (image - grey) * np.float32(saturation)
    return image.clip(0, 1).astype(np.float32)
