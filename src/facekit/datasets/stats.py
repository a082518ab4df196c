"""A dataset in numbers: counts, sizes, attributes."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from facekit.datasets.records import FACE, FaceColumns, FaceRecord, ImageRecord, Value

__all__ = ["Stats", "collect"]

_BINS_PER_OCTAVE: Final = 2
_MOST_VALUES: Final = 100
OTHER: Final = "(other)"
"""What stands for the values of an attribute after its first hundred."""


@dataclasses.dataclass
class Stats:
    """The numbers of a dataset, gathered in constant memory.

    Attributes:
        images: Images.
        faces: Faces, ignored ones among them.
        ignored: Ignored faces.
        empty_images: Images without faces.
        sized_images: Images whose size the annotations state.
        empty_boxes: Boxes without area or with a coordinate that is no number; in no histogram.
        faces_an_image: How many images have 0, 1, 2, 3 to 4, 5 to 8, ... faces, by the largest.
        most_faces: The most faces of one image.
        heights: How many boxes lie in each half octave, by its number ``floor(2 log2(height))``.
        shortest: The least height of a box, pixels.
        tallest: The greatest height, pixels.
        labels: Faces by label.
        schemes: Faces with landmarks, by scheme.
        attributes: Of each attribute of faces, how often it has each value.
        repairs: What the reader mended, by code.
    """

    images: int = 0
    faces: int = 0
    ignored: int = 0
    empty_images: int = 0
    sized_images: int = 0
    empty_boxes: int = 0
    faces_an_image: Counter[int] = dataclasses.field(default_factory=Counter)
    most_faces: int = 0
    heights: Counter[int] = dataclasses.field(default_factory=Counter)
    shortest: float = math.inf
    tallest: float = 0.0
    labels: Counter[str] = dataclasses.field(default_factory=Counter)
    schemes: Counter[str] = dataclasses.field(default_factory=Counter)
    attributes: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    repairs: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, record: ImageRecord) -> None:
        """Count a record."""
        count = len(record.faces)
        self.images += 1
        self.empty_images += not count
        self.sized_images += record.size is not None
        self.most_faces = max(self.most_faces, count)
        self.faces_an_image[_rounded_up(count)] += 1
        self.repairs.update(repair.code for repair in record.repairs)
        if isinstance(record.faces, FaceColumns):
            self._add_columns(record.faces)
            return
        for face in record.faces:
            self._add(face)

    def _add_columns(self, faces: FaceColumns) -> None:
        self.faces += len(faces)
        self.ignored += int(faces.ignore.sum())
        _count(self.labels, FACE, len(faces))
        for name, column in faces.attributes.items():
            self._add_values(name, Counter(column.tolist()))
        for width, height in (faces.boxes[:, 2:] - faces.boxes[:, :2]).tolist():
            self._add_box(width, height)

    def _add(self, face: FaceRecord) -> None:
        self.faces += 1
        self.ignored += face.ignore
        _count(self.labels, face.label)
        if face.landmarks is not None:
            _count(self.schemes, face.scheme or f"{len(face.landmarks)} points")
        for name, value in face.attributes.items():
            self._add_values(name, {value: 1})
        self._add_box(face.width, face.height)

    def _add_values(self, name: str, values: Mapping[Value, int]) -> None:
        if name in self.attributes or len(self.attributes) < _MOST_VALUES:
            counter = self.attributes.setdefault(name, Counter())
            for value, times in values.items():
                _count(counter, str(value), times)

    def _add_box(self, width: float, height: float) -> None:
        if not (0 < height < math.inf and 0 < width < math.inf):
            self.empty_boxes += 1
            return
        self.heights[math.floor(_BINS_PER_OCTAVE * math.log2(height))] += 1
        self.shortest = min(self.shortest, height)
        self.tallest = max(self.tallest, height)

    @property
    def mean_faces(self) -> float:
        """Faces an image, on average; 0 without images."""
        return self.faces / self.images if self.images else 0.0

    def height_bins(self) -> list[tuple[float, float, int]]:
        """Return the histogram of heights without gaps: from, below, count; pixels."""
        if not self.heights:
            return []
        numbers = range(min(self.heights), max(self.heights) + 1)
        edge = 2 ** (1 / _BINS_PER_OCTAVE)
        return [(edge**n, edge ** (n + 1), self.heights[n]) for n in numbers]

    def crowd_bins(self) -> list[tuple[str, int]]:
        """Return the histogram of faces an image without gaps: words, count."""
        if not self.faces_an_image:
            return []
        bounds = [0]
        while bounds[-1] < max(self.faces_an_image):
            bounds.append(_rounded_up(bounds[-1] + 1))
        words = [
            str(high) if high - low <= 1 else f"{low + 1}-{high}"
            for low, high in zip([-1, *bounds], bounds, strict=False)
        ]
        return [(text, self.faces_an_image[high]) for text, high in zip(words, bounds, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "images": self.images,
            "faces": self.faces,
            "ignored": self.ignored,
            "empty_images": self.empty_images,
            "sized_images": self.sized_images,
            "empty_boxes": self.empty_boxes,
            "mean_faces": round(self.mean_faces, 4),
            "most_faces": self.most_faces,
            "shortest": None if math.isinf(self.shortest) else self.shortest,
            "tallest": self.tallest,
            "heights": [
                {"from": round(low, 2), "below": round(high, 2), "faces": count}
                for low, high, count in self.height_bins()
            ],
            "faces_an_image": [
                {"faces": words, "images": count} for words, count in self.crowd_bins()
            ],
            "labels": dict(self.labels.most_common()),
            "schemes": dict(self.schemes.most_common()),
            "attributes": {
                name: dict(sorted(values.items())) for name, values in self.attributes.items()
            },
            "repairs": dict(self.repairs.most_common()),
        }


def _rounded_up(count: int) -> int:
    """Return the least power of two that is not below a count; 0 for 0."""
    return 0 if count == 0 else 1 << (count - 1).bit_length()


def _count(counter: Counter[str], value: str, times: int = 1) -> None:
    """Count a value; after so many different ones, the rest together."""
    counter[value if value in counter or len(counter) < _MOST_VALUES else OTHER] += times


def collect(records: Iterable[ImageRecord]) -> Stats:
    """Count a dataset.

    Args:
        records: Any stream of records; it is read once.
    """
    stats = Stats()
    for record in records:
        stats.add(record)
    return stats
