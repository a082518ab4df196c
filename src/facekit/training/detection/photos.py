"""Photos and their faces, from any dataset, decoded once and kept small in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from facekit import datasets, images
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, DatasetError, ImageError
from facekit.images import RgbImage

__all__ = ["Photo", "PhotoSource", "Photos", "read_photos", "read_sources", "shrunk", "spread"]

Share = Annotated[float, Field(ge=0, le=1)]


class PhotoSource(BaseModel):
    """A dataset to train or measure on.

    Attributes:
        data: ``FORMAT:PATH``; ``$VARIABLES`` of the environment are filled in.
        images: The folder of its images, for formats that do not say where they are.
        part: The photos from one share of the dataset to another, in its own order.
        weight: How often, relative to other sources, a photo of it is drawn.
        labelled: Whether all of its faces are annotated; otherwise its photos only serve a
            teacher, and their annotation is not read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    images: str | None = None
    part: tuple[Share, Share] = (0.0, 1.0)
    weight: Annotated[float, Field(gt=0)] = 1.0
    labelled: bool = True

    @field_validator("data", "images")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        """Fill the environment's variables in."""
        return None if value is None else os.path.expandvars(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """One photo.

    Attributes:
        name: As its dataset names it.
        pixels: (h, w, 3) uint8 RGB.
        boxes: (n, 4) float32 xyxy, pixels; every box has an area.
        ignore: (n,) bool: neither to be found nor background.
        labelled: Whether all of its faces have a box.
        outlines: The polygons ``(k, 2)`` float32 of each face, pixels; none where it has none.
    """

    name: str
    pixels: RgbImage
    boxes: npt.NDArray[np.float32]
    ignore: npt.NDArray[np.bool_]
    labelled: bool = True
    outlines: tuple[tuple[npt.NDArray[np.float32], ...], ...] = ()


def read_photos(source: PhotoSource, max_side: int | None) -> list[Photo]:
    """Read a dataset's photos into memory.

    Args:
        source: Which.
        max_side: Longest side that is kept; larger photos are shrunk, their boxes with them.

    Raises:
        DatasetError: If the annotation is malformed, or there is no photo at all.
        ConfigError: If the dataset does not say where its images are.
        ImageError: If an image cannot be read.
    """
    options: dict[str, Any] = {} if source.images is None else {"images": source.images}
    records = _part(list(datasets.read(source.data, **options)), source.part)
    if not records:
        _, _, path = source.data.partition(":")
        raise DatasetError(Path(path), None, f"no photos in its part {source.part}")
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda record: _read(record, source, max_side), records))


def _part(records: Sequence[ImageRecord], part: tuple[float, float]) -> Sequence[ImageRecord]:
    first, last = (round(share * len(records)) for share in part)
    return records[first:last]


def _read(record: ImageRecord, source: PhotoSource, max_side: int | None) -> Photo:
    """Read one photo."""
    pixels, scale = shrunk(_pixels(record, source), max_side)
    faces = record.faces if source.labelled else ()
    rows = np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)
    sized = (rows[:, 2:] > rows[:, :2]).all(axis=1) & np.isfinite(rows).all(axis=1)
    ignore = np.array([face.ignore for face in faces], dtype=bool)
    boxes = (rows[sized] * scale).astype(np.float32)
    outlines = tuple(_outline(faces[row], scale) for row in np.flatnonzero(sized).tolist())
    return Photo(record.name, pixels, boxes, ignore[sized], source.labelled, outlines)


def _outline(face: FaceRecord, scale: float) -> tuple[npt.NDArray[np.float32], ...]:
    """Return a face's polygons, shrunk as its photo is."""
    return tuple(
        (np.array(flat, dtype=np.float32) * np.float32(scale)).reshape(-1, 2)
        for flat in face.polygons or ()
    )


def _pixels(record: ImageRecord, source: PhotoSource) -> RgbImage:
    """Decode a record's image.

    Raises:
        ConfigError: If nobody knows where it is.
        ImageError: If it cannot be read.
    """
    if record.data is not None:
        buffer = np.frombuffer(record.data, dtype=np.uint8)
        decoded = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
        if decoded is None:
            raise ImageError(f"{source.data}: {record.name}: cannot be decoded")
        return np.ascontiguousarray(decoded[..., ::-1])
    if record.path is None:
        raise ConfigError(f"{source.data}: does not say where its images are: give `images`")
    return images.read(record.path)


def shrunk(pixels: RgbImage, max_side: int | None) -> tuple[RgbImage, float]:
    """Return pixels of at most a longest side, and the factor that they were shrunk by.

    Args:
        pixels: (h, w, 3) uint8.
        max_side: The longest side, pixels; ``None`` for any.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, max_side / max(height, width)) if max_side else 1.0
    if factor == 1:
        return pixels, factor
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    smaller = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, dtype=np.uint8), factor


def spread(photos: Sequence[Photo], share: float) -> tuple[list[Photo], list[Photo]]:
    """Split photos evenly over their order: the larger part, and about a share of them.

    Args:
        photos: In the dataset's order.
        share: 0 to 1 of them go to the second part.
    """
    apart = {int((i + 0.5) / share) for i in range(round(share * len(photos)))} if share else set()
    rest = [photo for index, photo in enumerate(photos) if index not in apart]
    return rest, [photo for index, photo in enumerate(photos) if index in apart]


class Photos(NamedTuple):
    """All photos of a run whose sources are all annotated.

    Attributes:
        training: To train on.
        held_out: To measure on.
        chances: Of each to train on, that it or one before it is drawn: ``(n,)`` up to 1.
    """

    training: list[Photo]
    held_out: list[Photo]
    chances: npt.NDArray[np.float64]


def read_sources(
    data: Sequence[PhotoSource],
    validation: Sequence[PhotoSource],
    *,
    held_out: float,
    max_side: int | None,
) -> Photos:
    """Read the photos to train and to measure on.

    Args:
        data: To train on.
        validation: To measure on.
        held_out: Share of the photos of ``data`` that are measured on instead.
        max_side: See `read_photos`.

    Raises:
        ConfigError: If a source has no labels; for the rest see `read_photos`.
    """
    if not all(source.labelled for source in (*data, *validation)):
        raise ConfigError("data: labelled: false has no use here: there is no teacher")
    training: list[Photo] = []
    apart: list[Photo] = []
    weights: list[float] = []
    for source in data:
        own, others = spread(read_photos(source, max_side), held_out)
        training += own
        apart += others
        weights += [source.weight / max(len(own), 1)] * len(own)
    for source in validation:
        apart += read_photos(source, max_side)
    return Photos(training, apart, np.cumsum(weights) / max(sum(weights), 1e-9))
