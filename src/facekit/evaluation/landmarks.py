"""Records and a landmarker to points, and points to scores.

The faces to crop are the annotation's own (``boxes="truth"``: the canonical square around the
annotated points, so that the landmarker alone is measured), or those that a detector finds, so that
the pair is measured as it is used. A face that the detector does not find is a failure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit import parts
from facekit.boxes import iou, squares_around
from facekit.datasets import ImageRecord
from facekit.datasets.records import FaceRecord
from facekit.errors import BackendError, DatasetError
from facekit.evaluation import candidates as naming
from facekit.evaluation import wider_text
from facekit.evaluation.candidates import Candidate
from facekit.evaluation.result import Curve, Result
from facekit.evaluation.runner import BATCH_SIZE, Watch, run, unwatched
from facekit.evaluation.selection import Missing, Selection, roots_of, select
from facekit.evaluation.store import json_store
from facekit.images import RgbImage
from facekit.metrics.landmarks import (
    LandmarkScores,
    Normalisation,
    landmark_scores,
    point_errors,
)
from facekit.parts import Part
from facekit.protocols import Detector, Landmarker
from facekit.types import Detections

__all__ = ["TRUTH", "evaluate_landmarker"]

TRUTH: Final = "truth"
_FOUND: Final = 0.4

Points = npt.NDArray[np.float32]


def evaluate_landmarker(
    records: Iterable[ImageRecord],
    landmarker: Part | Landmarker | Candidate,
    *,
    boxes: Part | Detector | Candidate = TRUTH,
    normalise: Normalisation = "interocular",
    folder: str | Path | None = None,
    restart: bool = False,
    missing: Missing = "error",
    batch_size: int = BATCH_SIZE,
    label: str = "",
    watch: Watch = unwatched,
) -> Result:
    """Measure a landmarker on a dataset.

    Args:
        records: The annotated images; faces without landmarks, and ignored ones, are passed over.
        landmarker: A name of ``facekit backends``, one with options, or a ready one.
        boxes: ``"truth"``, or the detector whose boxes are cropped, at its display threshold.
        normalise: The length that errors are divided by.
        folder: Where points are kept, so that a run that was stopped goes on from there.
        restart: Whether points of something else in that folder are removed.
        missing: What becomes of images that are not at hand: ``"error"`` or ``"skip"``.
        batch_size: Images that the landmarker sees together.
        label: What the result calls the landmarker; by default its name.
        watch: Passes images on as they are done, to show how far the run is.

    Raises:
        FacekitError: If a backend cannot be built, an image cannot be read, no face has landmarks
            of the landmarker's scheme, or the folder holds something else.
    """
    part, made, options = naming.built("landmarker", landmarker)
    detector, finder = _detector(boxes)
    annotated = [record for record in records if any(map(_has_points, record.faces))]
    made |= {"boxes": finder, "images": roots_of(annotated)}
    _check_scheme(annotated, part)
    selection = select(annotated, missing=missing, empty=False)
    setting = {
        "scale": naming.scale_of(part, options),
        "boxes": TRUTH if detector is None else f"{detector.name} >= {detector.score_threshold:g}",
        "error": normalise,
    }
    store = None
    if folder is not None:
        wider_text.check_names([record.name for record in selection.records], folder)
        store = json_store(
            Path(folder),
            fingerprint=made,
            setting=setting,
            what="points",
            pack=_pack,
            unpack=_unpack,
            restart=restart,
        )

    def step(some: Sequence[ImageRecord], pictures: Sequence[RgbImage]) -> list[Points]:
        return _located(some, pictures, part, detector)

    chosen = selection.records
    done = run(chosen, step, store=store, batch_size=batch_size, watch=watch)
    placed = [_of_count(done.values[record.name], record, part) for record in chosen]
    scores = landmark_scores(
        point_errors(
            np.concatenate(placed),
            np.concatenate(list(map(truth_points, chosen))),
            normalise=normalise,
        )
    )
    scored = _result(label or part.name, selection, scores, setting)
    return dataclasses.replace(scored, seconds_per_image=done.seconds_per_image, fingerprint=made)


def _detector(boxes: Part | Detector | Candidate) -> tuple[Detector | None, Any]:
    """Return the detector whose boxes are cropped, and its fingerprint."""
    if boxes == TRUTH:
        return None, TRUTH
    candidate = naming.candidate_of("detector", boxes)
    if candidate is None:
        ready: Detector = parts.build("detector", boxes)
        return ready, naming.fingerprint_of(ready)
    detector: Detector = candidate.build()
    return detector, naming.fingerprint(candidate, detector)


def _has_points(face: FaceRecord) -> bool:
    return bool(face.landmarks) and not face.ignore


def truth_points(record: ImageRecord) -> npt.NDArray[np.float64]:
    """Return an image's annotated points, ``(n, k, 2)`` pixels; faces without are passed over.

    Args:
        record: Any record with landmarks.
    """
    return np.array([face.landmarks for face in record.faces if _has_points(face)], np.float64)


def _check_scheme(records: Sequence[ImageRecord], landmarker: Landmarker) -> None:
    """Refuse landmarks that the landmarker does not place."""
    for record in records:
        for face in filter(_has_points, record.faces):
            count = len(face.landmarks or ())
            if count != landmarker.point_count or face.scheme not in {"", landmarker.scheme}:
                where = record.source.file if record.source else record.name
                reason = (
                    f"{record.name} has {count} points of the scheme {face.scheme!r}; "
                    f"{landmarker.name!r} places {landmarker.point_count} of {landmarker.scheme!r}"
                )
                raise DatasetError(where, face.line, reason)
    if not records:
        raise DatasetError("dataset", None, "no face has landmarks to measure against")


def _of_count(points: Points, record: ImageRecord, landmarker: Landmarker) -> Points:
    """Check points that were kept."""
    want = (len(truth_points(record)), landmarker.point_count, 2)
    if points.shape != want:
        reason = f"points kept for {record.name} have shape {points.shape}, not {want}"
        raise DatasetError(record.name, None, reason + "; --restart places them again")
    return points


def _located(
    records: Sequence[ImageRecord],
    pictures: Sequence[RgbImage],
    landmarker: Landmarker,
    detector: Detector | None,
) -> list[Points]:
    """Place the points of each annotated face of some images."""
    squares = [squares_around(truth_points(record)) for record in records]
    if detector is None:
        faces = [_as_found(own, image) for own, image in zip(squares, pictures, strict=True)]
        rows = [np.arange(len(own)) for own in squares]
    else:
        found = parts.one_each(detector, detector.detect(pictures), len(pictures))
        rows = [_matched(own, one) for own, one in zip(squares, found, strict=True)]
        faces = [one[row[row >= 0]] for one, row in zip(found, rows, strict=True)]
    answers = parts.one_each(landmarker, landmarker.locate(pictures, faces), len(pictures))
    placed = []
    for row, answer in zip(rows, answers, strict=True):
        points = np.full((len(row), landmarker.point_count, 2), np.nan, dtype=np.float32)
        points[row >= 0] = answer.points
        placed.append(points)
    for record, answer in zip(records, answers, strict=True):
        if not np.isfinite(answer.points).all():
            message = f"{landmarker.name!r} gave a point that is none for {record.name}"
            raise BackendError(message)
    return placed


def _as_found(squares: npt.NDArray[np.float32], image: RgbImage) -> Detections:
    """Return the annotated faces as a detector of canonical squares would give them."""
    size = (image.shape[0], image.shape[1])
    return Detections(boxes=squares, scores=np.ones(len(squares), np.float32), image_size=size)


def _matched(squares: npt.NDArray[np.float32], found: Detections) -> npt.NDArray[np.intp]:
    """Return the detection of each annotated face, -1 where there is none; none is used twice.

    The pair of the largest overlap goes first; squares of the detector overlap those of the truth
    by 0.4 at least, which is much less than a wrong face's and more than a good one's.
    """
    overlaps = iou(squares, found.canonical_squares())
    rows = np.full(len(squares), -1, dtype=np.intp)
    while overlaps.size and overlaps.max() >= _FOUND:
        face, box = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        rows[face] = box
        overlaps[face, :] = -1
        overlaps[:, box] = -1
    return rows


def _result(
    label: str, selection: Selection, scores: LandmarkScores, setting: Mapping[str, str]
) -> Result:
    """Join what is known of a run."""
    at = f"{100 * scores.threshold:g} %"
    notes = list(selection.notes)
    if scores.missing:
        notes.append(
            f"{label}: {scores.missing:,} of {scores.faces:,} faces were not found: they are "
            "failures, and not among the faces of the NME"
        )
    return Result(
        label=label,
        task="landmarks",
        setting=setting,
        images=len(selection.records),
        total=selection.total,
        faces=scores.faces,
        values={
            "NME %": 100 * scores.nme,
            f"AUC {at}": scores.auc,
            f"failures > {at}": scores.failure_rate,
            "not found": scores.missing / scores.faces,
        },
        curves={f"CED, {setting['error']}": Curve(scores.ced_x, scores.ced_y)},
        parts={f"{name} NME %": 100 * value for name, value in scores.per_region.items()},
        notes=tuple(notes),
    )


def _pack(points: Points) -> dict[str, Any]:
    """Return the points of an image as JSON has them: ``null`` for a face that was not found."""
    # A float32 as float64 reads back as the same float32.
    rows = [None if np.isnan(one).all() else one.astype(float).tolist() for one in points]
    return {"count": points.shape[1], "points": rows}


def _unpack(document: Mapping[str, Any]) -> Points:
    """Return the points of an image that were kept."""
    none = np.full((document["count"], 2), np.nan)
    rows = [none if one is None else one for one in document["points"]]
    return np.array(rows, dtype=np.float32).reshape(len(rows), document["count"], 2)
