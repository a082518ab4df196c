"""How a detector's boxes relate to the square around the 68 points: fitted, and shown to matter.

Landmarkers crop by the canonical square. Each detector has its own idea of where a face ends, so
its boxes are put through a :class:`~facekit.boxes.BoxTransform` of four numbers, which are medians
over annotated faces: a few faces taken for others do no harm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from facekit import parts
from facekit.boxes import IDENTITY, BoxTransform, iou, squares_around, xyxy_to_cxcywh
from facekit.datasets import ImageRecord
from facekit.errors import DatasetError
from facekit.evaluation.landmarks import truth_points
from facekit.evaluation.photos import batches
from facekit.metrics.landmarks import nme
from facekit.protocols import Detector, Landmarker
from facekit.types import Detections

__all__ = ["ANNOTATED", "AS_THEY_ARE", "BUILT_IN", "FITTED", "Calibration", "calibrate", "fit"]

ANNOTATED: Final = "annotated squares"
AS_THEY_ARE: Final = "boxes as they are"
BUILT_IN: Final = "transform in force"
FITTED: Final = "transform fitted here"

_BATCH: Final = 8
_FIRST_OVERLAP: Final = 0.2
"""Least IoU of a face's square with a box before the detector's convention is known: a box of
twice the side about the same centre has 0.25."""

_OVERLAP: Final = 0.4
_FEWEST: Final = 10
_DECIMALS: Final = 3
"""Thousandths of a box: a tenth of a pixel of a face of 100 px."""

Boxes = npt.NDArray[np.floating]
Errors = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class _Photo:
    """An annotated image and what a detector found in it."""

    record: ImageRecord
    points: npt.NDArray[np.float64]
    found: Detections

    @property
    def squares(self) -> Boxes:
        return squares_around(self.points)

    def pairs(self, transform: BoxTransform, overlap: float) -> list[tuple[int, int]]:
        """Return faces and their boxes, the best overlap first, none used twice."""
        overlaps = iou(self.squares, transform.apply(self.found.boxes))
        pairs = []
        while overlaps.size and overlaps.max() >= overlap:
            face, box = (int(i) for i in np.unravel_index(overlaps.argmax(), overlaps.shape))
            pairs.append((face, box))
            overlaps[face, :] = overlaps[:, box] = -1
        return pairs


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What was fitted, and what it does for the landmarks.

    Attributes:
        detector: The detector's name.
        transform: From its boxes to the canonical squares.
        faces: Annotated faces that were looked at to fit.
        matched: Those that the detector found.
        measured: Annotated faces that were looked at to measure.
        errors: Interocular errors, fractions, of the faces found among those: by what the crops
            were made by, :data:`ANNOTATED`, :data:`AS_THEY_ARE`, :data:`BUILT_IN` and
            :data:`FITTED`.
    """

    detector: str
    transform: BoxTransform
    faces: int
    matched: int
    measured: int
    errors: Mapping[str, Errors]


def calibrate(
    records: Iterable[ImageRecord],
    detector: Detector,
    landmarker: Landmarker,
    *,
    measure: Iterable[ImageRecord] | None = None,
    batch_size: int = _BATCH,
) -> Calibration:
    """Fit a detector's transform on annotated faces, and measure the landmarks with and without.

    Args:
        records: Images whose faces have the landmarker's points; other faces are passed over.
        detector: Any detector, at its display threshold.
        landmarker: Any landmarker.
        measure: Images to measure on; by default those of the fit. Four numbers cannot learn
            hundreds of faces by heart, but a landmarker may have been trained on them.
        batch_size: Images that the detector sees together.

    Raises:
        DatasetError: If there is no annotated face, or the detector finds fewer than 10.
        FacekitError: As detector and landmarker raise it.
    """
    photos = list(_looked_at(records, detector, batch_size))
    transform, matched = _fitted(photos, detector)
    faces = sum(len(photo.points) for photo in photos)
    if measure is not None:
        photos = list(_looked_at(measure, detector, batch_size))
    ways = {
        AS_THEY_ARE: IDENTITY,
        BUILT_IN: detector.box_transform,
        FITTED: transform,
    }
    return Calibration(
        detector=detector.name,
        transform=transform,
        faces=faces,
        matched=matched,
        measured=sum(len(photo.points) for photo in photos),
        errors=_measured(photos, landmarker, transform, ways, batch_size),
    )


def fit(boxes: npt.ArrayLike, squares: npt.ArrayLike) -> BoxTransform:
    """Fit a transform by medians.

    Args:
        boxes: ``(n, 4)`` xyxy, a detector's; empty boxes are passed over.
        squares: ``(n, 4)`` xyxy, the canonical square of the same faces.

    Raises:
        ValueError: If no box is left.
    """
    theirs, ours = (np.asarray(array, dtype=np.float64) for array in (boxes, squares))
    whole = (theirs[:, 2:] > theirs[:, :2]).all(axis=1)
    if not whole.any():
        message = "a transform needs at least one box that is not empty"
        raise ValueError(message)
    box, square = xyxy_to_cxcywh(theirs[whole]), xyxy_to_cxcywh(ours[whole])
    shifts = np.median((square[:, :2] - box[:, :2]) / box[:, 2:], axis=0)
    sizes = np.median(square[:, 2:] / box[:, 2:], axis=0)
    return BoxTransform(*(round(float(value), _DECIMALS) for value in (*shifts, *sizes)))


def _looked_at(
    records: Iterable[ImageRecord], detector: Detector, batch_size: int
) -> Iterator[_Photo]:
    """Yield what the detector finds in images with annotated faces."""
    points = ((record, truth_points(record)) for record in records)
    annotated = {id(record): (record, own) for record, own in points if len(own)}
    if not annotated:
        raise DatasetError("dataset", None, "no face has landmarks to calibrate by")
    chosen = [record for record, _ in annotated.values()]
    for some, pictures in batches(chosen, batch_size):
        found = parts.one_each(detector, detector.detect(pictures), len(pictures))
        for record, one in zip(some, found, strict=True):
            yield _Photo(record, annotated[id(record)][1], one)


def _fitted(photos: Sequence[_Photo], detector: Detector) -> tuple[BoxTransform, int]:
    """Fit twice: the second time, faces are told from others by the first transform.

    Raises:
        DatasetError: If the detector finds too few of the faces.
    """
    transform = IDENTITY
    for overlap in (_FIRST_OVERLAP, _OVERLAP):
        boxes: list[Boxes] = []
        squares: list[Boxes] = []
        for photo in photos:
            for face, box in photo.pairs(transform, overlap):
                boxes.append(photo.found.boxes[box])
                squares.append(photo.squares[face])
        if len(boxes) < _FEWEST:
            count = sum(len(photo.points) for photo in photos)
            reason = (
                f"{detector.name!r} finds {len(boxes)} of {count} annotated faces, and at least "
                f"{_FEWEST} are needed; a lower score_threshold may help"
            )
            raise DatasetError("dataset", None, reason)
        transform = fit(boxes, squares)
    return transform, len(boxes)


def _measured(
    photos: Sequence[_Photo],
    landmarker: Landmarker,
    transform: BoxTransform,
    ways: Mapping[str, BoxTransform],
    batch_size: int,
) -> dict[str, Errors]:
    """Return the errors of the faces found, by the way that the crops were made."""
    rows = {id(photo.record): (photo, photo.pairs(transform, _OVERLAP)) for photo in photos}
    chosen = [photo.record for photo, pairs in rows.values() if pairs]
    if not chosen:
        raise DatasetError("dataset", None, "none of the faces to measure on is found")
    errors: dict[str, list[Errors]] = {name: [] for name in (ANNOTATED, *ways)}
    for some, pictures in batches(chosen, batch_size):
        own = [rows[id(record)] for record in some]
        truth = np.concatenate([photo.points[[face for face, _ in pairs]] for photo, pairs in own])
        crops = {ANNOTATED: [_annotated(photo, pairs) for photo, pairs in own]}
        for name, way in ways.items():
            crops[name] = [
                photo.found[[box for _, box in pairs]].replace(box_transform=way)
                for photo, pairs in own
            ]
        for name, faces in crops.items():
            placed = parts.one_each(landmarker, landmarker.locate(pictures, faces), len(pictures))
            errors[name].append(nme(np.concatenate([one.points for one in placed]), truth))
    return {name: np.concatenate(values) for name, values in errors.items()}


def _annotated(photo: _Photo, pairs: Sequence[tuple[int, int]]) -> Detections:
    """Return the annotated squares of the faces found, as detections."""
    squares = photo.squares[[face for face, _ in pairs]].astype(np.float32)
    return Detections(
        boxes=squares,
        scores=np.ones(len(squares), np.float32),
        image_size=photo.found.image_size,
    )
