"""How detections are scored: three protocols, each a function from images to numbers.

* ``ap50``: average precision at overlap 0.5, for faces of at least some heights;
* ``wider``: WIDER FACE's official easy, medium and hard, or the same by face height;
* ``coco``: COCO's average precision over overlaps.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from facekit.datasets import ImageRecord
from facekit.errors import ConfigError, DatasetError, MissingDependencyError, UnknownNameError
from facekit.evaluation import wider_truth
from facekit.evaluation.result import Curve
from facekit.metrics.average_precision import average_precision
from facekit.metrics.coco import coco
from facekit.metrics.curve import PrecisionRecall
from facekit.metrics.truth import Truth
from facekit.metrics.wider_face import HEIGHTS as SETTING_HEIGHTS
from facekit.metrics.wider_face import WiderTruth, wider_face
from facekit.types import Detections

__all__ = ["HEIGHTS", "PROTOCOLS", "Scale", "Scores", "protocol", "truth_of", "wider_truth_of"]

HEIGHTS: Final = (50.0, 30.0, 10.0)
"""Least heights of faces that ``ap50`` measures, pixels of the image as stored."""

_MOST_GROUPS: Final = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What a protocol gave.

    Attributes:
        values: The numbers, by column.
        curves: Precision over recall, by panel.
        notes: What a reader of the numbers must know.
    """

    values: Mapping[str, float]
    curves: Mapping[str, Curve]
    notes: tuple[str, ...] = ()


Scale = Callable[[Sequence[ImageRecord], Sequence[Detections]], Scores]
"""Scores the predictions of images."""


def truth_of(record: ImageRecord) -> Truth:
    """Return an image's faces as arrays.

    Args:
        record: Any record; boxes without area are ignored.

    Raises:
        MetricsError: If a box has a negative side.
    """
    boxes = np.array([face.box for face in record.faces], dtype=np.float64).reshape(-1, 4)
    ignore = [face.ignore or face.width <= 0 or face.height <= 0 for face in record.faces]
    return Truth(boxes, np.array(ignore, dtype=bool))


def protocol(
    name: str,
    *,
    heights: Sequence[float] = HEIGHTS,
    ground_truth: str | os.PathLike[str] | None = None,
) -> Scale:
    """Return what scores by a protocol.

    Args:
        name: ``ap50``, ``wider`` or ``coco``.
        heights: For ``ap50``: the least heights of faces, pixels.
        ground_truth: For ``wider``: the folder of the official ``.mat`` files. Without it the
            settings are taken by face height, and the columns say so.

    Raises:
        UnknownNameError: If there is no such protocol.
        ConfigError: If there is no height or a negative one.
        MissingDependencyError: If the official files are to be read and scipy is not installed.
    """
    if name not in PROTOCOLS:
        kind = "protocol"
        raise UnknownNameError(kind, name, PROTOCOLS)
    if name == "ap50":
        if not heights or min(heights) < 0:
            message = f"ap50 needs least heights of 0 or more pixels, got {list(heights)}"
            raise ConfigError(message)
        return _ByHeight(tuple(heights))
    if name == "coco":
        if importlib.util.find_spec("faster_coco_eval") is None:
            needed = "COCO's average precision"
            raise MissingDependencyError(needed, "faster_coco_eval", 'pip install "facekit[eval]"')
        return _coco
    return _wider_by_height if ground_truth is None else _Wider(Path(ground_truth))


PROTOCOLS: Final = ("ap50", "wider", "coco")


class _ByHeight:
    """Average precision at overlap 0.5, by the least height of a face."""

    def __init__(self, heights: tuple[float, ...]) -> None:
        self._heights = heights

    def __call__(self, records: Sequence[ImageRecord], found: Sequence[Detections]) -> Scores:
        truths = [truth_of(record) for record in records]
        curves = {
            f"AP50, {height:g} px": average_precision(truths, found, min_height=height)
            for height in self._heights
        }
        return _scores(curves)


class _Wider:
    """The official protocol; images that are not among its 3,226 are refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._truth = wider_truth.read(folder)

    def __call__(self, records: Sequence[ImageRecord], found: Sequence[Detections]) -> Scores:
        curves = wider_face([self._of(record) for record in records], found)
        scores = _scores({f"WIDER {setting}": curve for setting, curve in curves.items()})
        if len(records) == len(self._truth):
            return scores
        note = (
            f"WIDER FACE's protocol on a subset, {len(records):,} of {len(self._truth):,} images: "
            "not the official number"
        )
        return dataclasses.replace(scores, notes=(*scores.notes, note))

    def check(self, records: Sequence[ImageRecord]) -> None:
        """Refuse images that have no official truth."""
        for record in records:
            self._of(record)

    def _of(self, record: ImageRecord) -> WiderTruth:
        truth = self._truth.get(record.name)
        if truth is None:
            reason = f"{record.name!r} is not in it: only the validation part has official numbers"
            raise DatasetError(self._folder, None, reason)
        return truth


def _wider_by_height(records: Sequence[ImageRecord], found: Sequence[Detections]) -> Scores:
    """The official protocol on any records, whose easy, medium and hard are heights."""
    truths = [wider_truth_of(record) for record in records]
    curves = wider_face(truths, found)
    scores = _scores({f"WIDER {setting}, by height": curve for setting, curve in curves.items()})
    heights = ", ".join(f"{name} above {height:g} px" for name, height in SETTING_HEIGHTS.items())
    note = (
        f"WIDER FACE's protocol without its official lists of faces: {heights}. On its annotation "
        "text, whose boxes are rounded, this is near the official number, and not the same"
    )
    return dataclasses.replace(scores, notes=(*scores.notes, note))


def wider_truth_of(record: ImageRecord) -> WiderTruth:
    """Return an image's faces with the settings that their heights give.

    Args:
        record: Any record; faces to ignore never count.

    Raises:
        MetricsError: If a number is not finite.
    """
    rows = [(*face.box[:2], face.width, face.height) for face in record.faces]
    ignore = np.array([face.ignore for face in record.faces], dtype=bool)
    return WiderTruth.by_height(rows, ignore)


def _coco(records: Sequence[ImageRecord], found: Sequence[Detections]) -> Scores:
    """COCO's average precision."""
    scores = coco([truth_of(record) for record in records], found)
    values = {
        "COCO AP": scores.ap,
        "COCO AP50": scores.ap50,
        "COCO AP75": scores.ap75,
        "COCO small": scores.small,
        "COCO medium": scores.medium,
        "COCO large": scores.large,
    }
    return Scores(values, {}, scores.notes)


def _scores(curves: Mapping[str, PrecisionRecall]) -> Scores:
    """Return curves as numbers and panels."""
    notes = dict.fromkeys(note for curve in curves.values() for note in curve.notes)
    return Scores(
        {name: curve.ap for name, curve in curves.items()},
        {name: Curve(curve.recall, curve.precision) for name, curve in curves.items()},
        tuple(notes),
    )


def check(scale: Scale, records: Sequence[ImageRecord]) -> None:
    """Check that a protocol fits the images, before hours of work.

    Args:
        scale: What scores.
        records: The images.

    Raises:
        MetricsError: If a box has a negative side.
        DatasetError: If an image has no official truth, and the protocol needs it.
    """
    for record in records:
        truth_of(record)
    if isinstance(scale, _Wider):
        scale.check(records)


def by_group(
    scale: Scale, records: Sequence[ImageRecord], found: Sequence[Detections]
) -> dict[str, dict[str, float]]:
    """Score each folder of images for itself, as WIDER FACE's events are.

    Args:
        scale: What scores.
        records: The images.
        found: Their predictions.

    Returns:
        Numbers by folder; empty where images are in one folder, or in more than a hundred.
    """
    places: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        folder, slash, _ = record.name.partition("/")
        places.setdefault(folder if slash else "", []).append(place)
    if not 1 < len(places) <= _MOST_GROUPS:
        return {}
    return {
        folder: dict(scale([records[i] for i in rows], [found[i] for i in rows]).values)
        for folder, rows in sorted(places.items(), key=lambda item: _natural(item[0]))
    }


def _natural(name: str) -> tuple[int, str]:
    """Sort ``4--Dancing`` before ``13--Interview``."""
    number = name.partition("--")[0]
    return (int(number) if number.isdecimal() else 0, name)
