"""A contact sheet of annotated images: the quickest way to see what a dataset is."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import io
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from facekit import images
from facekit.datasets.records import FACE, FaceRecord, ImageRecord
from facekit.draw import IBUG68_OUTLINE, PALETTE, contact_sheet
from facekit.draw.palette import LANDMARK_COLOUR, Colour
from facekit.draw.strokes import Line, draw_strokes
from facekit.errors import ConfigError, ImageError
from facekit.images import RgbImage

__all__ = ["Preview", "draw_record", "preview"]

_DETAIL: Final = 2
_IGNORED: Final[Colour] = (170, 170, 170)
_DASHES: Final = 8
_LARGEST_CELL: Final = 4000
_MOST_IMAGES: Final = 1000


@dataclasses.dataclass(frozen=True)
class Preview:
    """A contact sheet.

    Attributes:
        picture: ``(H, W, 3)`` uint8 RGB.
        names: The images in it, in order.
        absent: How many images of the dataset are not at hand.
        failed: What was wrong with images that were chosen and cannot be read.
    """

    picture: RgbImage
    names: tuple[str, ...]
    absent: int
    failed: tuple[str, ...]


def preview(
    records: Iterable[ImageRecord],
    *,
    count: int = 16,
    seed: int = 0,
    columns: int = 4,
    cell: int = 320,
) -> Preview:
    """Draw a sample of a dataset.

    Args:
        records: Any stream of records; it is read once, in constant memory.
        count: How many images, of those at hand.
        seed: Another seed gives another sample; the records' order does not matter.
        columns: Cells in a row.
        cell: A cell's side, pixels.

    Returns:
        The sheet, and what is not in it.

    Raises:
        ImageError: If no image is at hand, or none can be read.
        ConfigError: If ``count``, ``columns`` or ``cell`` is out of range.
    """
    for name, value, most in (
        ("count", count, _MOST_IMAGES),
        ("columns", columns, _MOST_IMAGES),
        ("cell", cell, _LARGEST_CELL),
    ):
        if not 1 <= value <= most:
            raise ConfigError(f"{name} must be 1 to {most}, got {value}")
    sample = _Sample(count, seed)
    for record in records:
        sample.put(record)
    tiles, captions, failed, names = [], [], [], []
    chosen = sample.chosen()
    labels = _labels(chosen)
    for record in chosen:
        try:
            tiles.append(draw_record(record, _DETAIL * cell, labels))
            captions.append(f"{_faces(record)}: {PurePosixPath(record.name).name}")
            names.append(record.name)
        except ImageError as error:
            failed.append(str(error))
    if not tiles:
        reason = failed[0] if failed else f"none of {sample.absent} images is at hand"
        raise ImageError(reason)
    sheet = contact_sheet(tiles, columns=columns, cell=cell, captions=captions)
    return Preview(sheet, tuple(names), sample.absent, tuple(failed))


def _faces(record: ImageRecord) -> str:
    """Return ``1 face``, ``2 faces, 1 ignored``."""
    count = len(record.faces)
    ignored = sum(face.ignore for face in record.faces)
    words = "1 face" if count == 1 else f"{count} faces"
    return f"{words}, {ignored} ignored" if ignored else words


class _Sample:
    """The records whose names' hashes are least: a random sample that no order changes."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._heap: list[tuple[int, int, ImageRecord]] = []
        self._number = 0
        self.absent = 0

    def put(self, record: ImageRecord) -> None:
        """Take a record into account."""
        if record.data is None and (record.path is None or not record.path.is_file()):
            self.absent += 1
            return
        text = f"{self._seed}\0{record.name}".encode()
        digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        # Negative, because a heap gives its least first; the number keeps records uncompared.
        self._number += 1
        push = heapq.heappush if len(self._heap) < self._count else heapq.heappushpop
        push(self._heap, (-digest, -self._number, record))

    def chosen(self) -> list[ImageRecord]:
        """Return the sample, sorted by name."""
        return sorted((record for _, _, record in self._heap), key=lambda record: record.name)


def _labels(records: Iterable[ImageRecord]) -> list[str]:
    """Return every label but ``"face"``, sorted."""
    return sorted({face.label for record in records for face in record.faces} - {FACE})


def draw_record(record: ImageRecord, side: int, labels: Sequence[str] | None = None) -> RgbImage:
    """Draw an image's annotations on it, scaled to a longest side.

    Args:
        record: A record whose image is at hand.
        side: The longest side of the result, pixels.
        labels: The labels beside ``"face"``, in the order of their colours; by default the
            record's own.

    Returns:
        ``(H, W, 3)`` uint8 RGB. Ignored faces are grey and dashed; colours tell labels apart.

    Raises:
        ImageError: If the image cannot be read.
    """
    photo = _pixels(record)
    scale = side / max(photo.shape[:2])
    shape = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = np.asarray(cv2.resize(photo, shape, interpolation=way), dtype=np.uint8)
    names = [FACE, *(_labels([record]) if labels is None else labels)]
    # Small faces last, so that they are on top.
    for face in sorted(record.faces, key=lambda face: (not face.ignore, -_extent(face))):
        number = names.index(face.label) if face.label in names else len(names)
        _draw_face(canvas, face, scale, PALETTE[number % len(PALETTE)])
    return canvas


def _pixels(record: ImageRecord) -> RgbImage:
    """Read a record's image."""
    if record.data is not None:
        images.read_size(record.data, record.name)  # refuses what is no image, by name
        return images.as_rgb(Image.open(io.BytesIO(record.data)))
    if record.path is None:
        message = f"{record.name}: the image is not at hand"
        raise ImageError(message)
    return images.read(record.path)


def _extent(face: FaceRecord) -> float:
    """Return a box's area; 0 where it is no number."""
    area = face.width * face.height
    return area if area > 0 else 0.0


def _draw_face(canvas: RgbImage, face: FaceRecord, scale: float, colour: Colour) -> None:
    """Draw a face's box and landmarks."""
    x1, y1, x2, y2 = (value * scale for value in face.box)
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    size = max(abs(x2 - x1), abs(y2 - y1), 1.0)
    # Thin around a small face, which would be hidden.
    width = max(1.5, min(0.006 * max(canvas.shape[:2]), size / 15))
    if face.ignore:
        draw_strokes(canvas, lines=_dashed(corners), colour=_IGNORED, width=0.7 * width)
    else:
        draw_strokes(canvas, lines=[(corners, True)], colour=colour, width=width)
    if face.landmarks is not None:
        points = np.asarray(_seen(face), dtype=np.float64) * scale
        outline = IBUG68_OUTLINE if face.scheme == "ibug68" and len(points) == 68 else ()  # noqa: PLR2004 - the scheme's
        lines: list[Line] = [(points[indices], closed) for indices, closed in outline]
        draw_strokes(
            canvas,
            lines=lines,
            dots=points,
            colour=LANDMARK_COLOUR,
            width=min(max(0.8, size / 150), width),
            radius=min(max(1.0, size / (75 if outline else 40)), 2 * width),
        )


def _seen(face: FaceRecord) -> Sequence[tuple[float, float]]:
    """Return the landmarks without those that COCO's visibility calls not annotated."""
    points = face.landmarks or ()
    if face.visibility is None or len(face.visibility) != len(points):
        return points
    return [point for point, seen in zip(points, face.visibility, strict=True) if seen]


def _dashed(corners: npt.NDArray[np.float64]) -> list[Line]:
    """Cut a closed outline into dashes, as many on each side."""
    lines: list[Line] = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        for i in range(_DASHES):
            ends = [start + (end - start) * (i + part) / _DASHES for part in (0.0, 0.5)]
            lines.append((np.array(ends), False))
    return lines
