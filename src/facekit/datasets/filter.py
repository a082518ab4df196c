"""Faces left out by size and quality."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from facekit.datasets.findings import place_of
from facekit.datasets.records import FACE, FaceColumns, FaceRecord, Faces, ImageRecord
from facekit.datasets.sizes import known_size
from facekit.errors import ConfigError, DatasetError

__all__ = ["PRESETS", "TFOD_MARGIN", "Rules", "filtered"]

TFOD_MARGIN: Final = 0.005
"""How far scripts for TF Object Detection keep boxes from the edge, as a fraction of the image."""

_WORST: Final = ("blur", "occlusion")
_LARGEST_MARGIN: Final = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """Which faces stay.

    Attributes:
        min_width: The least width, pixels.
        min_height: The least height, pixels.
        invalid: Whether faces with the attribute ``invalid`` stay.
        ignored: Whether ignored faces stay.
        max_blur: The largest value of the attribute ``blur``; a face without it stays.
        max_occlusion: The largest value of the attribute ``occlusion``; likewise.
        labels: The labels that stay; ``None`` for all.
        mark: Mark faces as ignored instead of leaving them out.
        margin: Bring boxes into the image without this fraction of it on each side.
        empty_images: Whether images that are left without faces stay.

    Raises:
        ConfigError: If a value is out of range.
    """

    min_width: float = 0.0
    min_height: float = 0.0
    invalid: bool = True
    ignored: bool = True
    max_blur: int | None = None
    max_occlusion: int | None = None
    labels: frozenset[str] | None = None
    mark: bool = False
    margin: float | None = None
    empty_images: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("min_width", "min_height"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be 0 or more, got {value}")
        if self.margin is not None and not 0 <= self.margin < _LARGEST_MARGIN:
            raise ConfigError(f"margin must be 0 to {_LARGEST_MARGIN}, got {self.margin}")

    def reason(self, face: FaceRecord) -> str:
        """Return why a face does not stay; empty where it does."""
        if face.ignore and not self.ignored:
            return "ignored"
        if not self.invalid and face.attributes.get("invalid", 0):
            return "invalid"
        if face.width < self.min_width or face.height < self.min_height:
            return "small"
        for name in _WORST:
            limit, value = getattr(self, f"max_{name}"), face.attributes.get(name, 0)
            if limit is not None and isinstance(value, int | float) and value > limit:
                return name
        if self.labels is not None and face.label not in self.labels:
            return f"label {face.label}"
        return ""


PRESETS: Final[Mapping[str, Rules]] = MappingProxyType(
    {"tfod": Rules(min_width=25, min_height=30, invalid=False)}
)
"""``tfod``: what a well-known script that trains TF Object Detection on WIDER FACE leaves out.

It also brings boxes to within 0.005 and 0.995 of the image: that is ``margin=TFOD_MARGIN``.
"""


def filtered(
    records: Iterable[ImageRecord], rules: Rules, dropped: Counter[str] | None = None
) -> Iterator[ImageRecord]:
    """Leave out faces.

    Args:
        records: Any stream of records.
        rules: Which faces stay.
        dropped: Counts what did not stay, by reason.

    Yields:
        The records with the faces that stay.

    Raises:
        DatasetError: If there is a margin, and an image's size is not known.
    """
    counts: Counter[str] = Counter() if dropped is None else dropped
    for record in records:
        kept = record.replace(faces=_kept(record, rules, counts))
        if not kept.faces and not rules.empty_images:
            counts["image without faces"] += 1
            continue
        yield kept


def _kept(record: ImageRecord, rules: Rules, counts: Counter[str]) -> Faces:
    """Return the faces of an image that stay."""
    faces = record.faces
    if isinstance(faces, FaceColumns) and not rules.mark and rules.margin is None:
        stay = np.ones(len(faces), dtype=bool)
        for reason, out in _reasons(faces, rules):
            counts[reason] += int((stay & out).sum())
            stay &= np.logical_not(out)
        return faces.take(stay)
    return tuple(_objects(record, rules, counts))


def _reasons(
    faces: FaceColumns, rules: Rules
) -> Iterator[tuple[str, bool | npt.NDArray[np.bool_]]]:
    """Yield what :meth:`Rules.reason` looks for, in its order: which faces it is true of."""
    x1, y1, x2, y2 = faces.boxes.T
    columns, absent = faces.attributes, np.zeros(len(faces), dtype=np.int64)
    if not rules.ignored:
        yield "ignored", faces.ignore
    if not rules.invalid:
        yield "invalid", columns.get("invalid", absent) != 0
    yield "small", (x2 - x1 < rules.min_width) | (y2 - y1 < rules.min_height)
    for name in _WORST:
        limit = getattr(rules, f"max_{name}")
        if limit is not None:
            yield name, columns.get(name, absent) > limit
    if rules.labels is not None and FACE not in rules.labels:
        yield f"label {FACE}", True


def _objects(record: ImageRecord, rules: Rules, counts: Counter[str]) -> Iterator[FaceRecord]:
    """Yield the faces of an image that stay, one by one."""
    for face in record.faces:
        reason = rules.reason(face)
        if reason:
            counts[reason] += 1
            if rules.mark:
                yield dataclasses.replace(face, ignore=True)
        elif rules.margin is None:
            yield face
        else:
            yield from _within(record, face, rules.margin, counts)


def _within(
    record: ImageRecord, face: FaceRecord, margin: float, counts: Counter[str]
) -> Iterator[FaceRecord]:
    """Yield a face with its box brought into the image, unless nothing is left of it."""
    height, width = known_size(record)
    if not all(map(math.isfinite, face.box)):
        where = place_of(record, face.line)
        raise DatasetError(where.file, where.line, f"not a box: {face.box}")
    x1, x2 = (min(max(x, margin * width), (1 - margin) * width) for x in face.box[::2])
    y1, y2 = (min(max(y, margin * height), (1 - margin) * height) for y in face.box[1::2])
    if x2 > x1 and y2 > y1:
        counts["brought into the image"] += (x1, y1, x2, y2) != face.box
        yield dataclasses.replace(face, box=(x1, y1, x2, y2))
    else:
        counts["outside the image"] += 1
