"""Records and a detector to predictions, and predictions to scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekit import parts
from facekit.datasets import ImageRecord
from facekit.errors import BackendError
from facekit.evaluation import candidates as naming
from facekit.evaluation import coco_results, wider_text
from facekit.evaluation.candidates import Candidate
from facekit.evaluation.protocols import HEIGHTS, Scale, by_group, check, protocol, truth_of
from facekit.evaluation.result import Curve, Result
from facekit.evaluation.runner import BATCH_SIZE, Run, Watch, run, unwatched
from facekit.evaluation.selection import Missing, Selection, is_at_hand, roots_of, select
from facekit.evaluation.store import Store, detection_store
from facekit.images import RgbImage
from facekit.parts import Part
from facekit.protocols import Detector
from facekit.types import Detections

__all__ = ["Scored", "detect_all", "evaluate_detector", "result_of", "score_detections"]


def detect_all(
    records: Sequence[ImageRecord],
    detector: Detector,
    *,
    store: Store[Detections] | None = None,
    batch_size: int = BATCH_SIZE,
    watch: Watch = unwatched,
) -> Run[Detections]:
    """Run a detector over images.

    Args:
        records: The images; all are at hand.
        detector: The detector, at the threshold to be measured at.
        store: Keeps predictions image by image; what it has is not asked of the detector again.
        batch_size: Images that the detector sees together.
        watch: Passes images on as they are done.

    Raises:
        ImageError: If an image cannot be read.
        BackendError: If the detector fails, or gives a box that is none.
        OutputError: If predictions cannot be kept.
        DatasetError: If kept predictions are damaged.
    """

    def step(some: Sequence[ImageRecord], pictures: Sequence[RgbImage]) -> list[Detections]:
        found = parts.one_each(detector, detector.detect(pictures), len(pictures))
        for record, one in zip(some, found, strict=True):
            _check(detector.name, record.name, one)
        return found

    return run(records, step, store=store, batch_size=batch_size, watch=watch)


def _check(detector: str, image: str, found: Detections) -> None:
    """Refuse boxes that are none: they would be false positives without anybody's knowing."""
    finite = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    good = finite & (found.boxes[:, 2:] >= found.boxes[:, :2]).all(axis=1)
    if good.all():
        return
    box = int(np.argmin(good))
    message = (
        f"{detector!r} gave a box that is none for {image}: {found.boxes[box].tolist()}, "
        f"score {found.scores[box]}"
    )
    raise BackendError(message)


def score_detections(
    records: Sequence[ImageRecord],
    predictions: Mapping[str, Detections],
    *,
    protocols: Sequence[str] = ("ap50",),
    heights: Sequence[float] = HEIGHTS,
    ground_truth: str | Path | None = None,
    groups: bool = True,
) -> Scored:
    """Score predictions.

    Args:
        records: The annotated images.
        predictions: By the image's name; an image without has no detection.
        protocols: Names of protocols; see :mod:`facekit.evaluation.protocols`.
        heights: For ``ap50``: the least heights of faces, pixels.
        ground_truth: For ``wider``: the folder of the official ``.mat`` files.
        groups: Whether folders of images are scored for themselves too.

    Raises:
        FacekitError: If a protocol cannot be had, or does not fit the images.
    """
    scales = [protocol(name, heights=heights, ground_truth=ground_truth) for name in protocols]
    return _scored(records, predictions, scales, groups=groups)


def _scored(
    records: Sequence[ImageRecord],
    predictions: Mapping[str, Detections],
    scales: Sequence[Scale],
    *,
    groups: bool = True,
) -> Scored:
    """Score predictions by several protocols."""
    found = [predictions.get(record.name, Detections.empty((1, 1))) for record in records]
    whole = Scored()
    for scale in scales:
        scores = scale(records, found)
        whole.values.update(scores.values)
        whole.curves.update(scores.curves)
        whole.notes.update(dict.fromkeys(scores.notes))
        for folder, values in (by_group(scale, records, found) if groups else {}).items():
            whole.groups.setdefault(folder, {}).update(values)
    return whole


@dataclasses.dataclass(eq=False)
class Scored:
    """What several protocols gave together; see :class:`~facekit.evaluation.result.Result`."""

    values: dict[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)
    groups: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    notes: dict[str, None] = dataclasses.field(default_factory=dict)


def result_of(
    label: str,
    selection: Selection,
    scored: Scored,
    *,
    setting: Mapping[str, str],
    seconds: float | None = None,
    fingerprint: Mapping[str, Any] | None = None,
) -> Result:
    """Join what is known of a run.

    Args:
        label: What tables call the backend.
        selection: The images.
        scored: Their scores.
        setting: How it was measured.
        seconds: Time in the detector for an image, where it was run.
        fingerprint: What made the predictions.
    """
    return Result(
        label=label,
        task="detection",
        setting=setting,
        images=len(selection.records),
        total=selection.total,
        faces=sum(int(truth_of(record).counted.sum()) for record in selection.records),
        values=scored.values,
        curves=scored.curves,
        groups=scored.groups,
        seconds_per_image=seconds,
        notes=(*selection.notes, *scored.notes),
        fingerprint=fingerprint or {},
    )


def evaluate_detector(
    records: Iterable[ImageRecord],
    detector: Part | Detector | Candidate,
    *,
    protocols: Sequence[str] = ("ap50",),
    heights: Sequence[float] = HEIGHTS,
    ground_truth: str | Path | None = None,
    folder: str | Path | None = None,
    restart: bool = False,
    missing: Missing = "error",
    batch_size: int = BATCH_SIZE,
    label: str = "",
    watch: Watch = unwatched,
) -> Result:
    """Measure a detector on a dataset.

    >>> from facekit import datasets, evaluation                      # doctest: +SKIP
    >>> records = datasets.read("wider_face:WIDER", split="val")      # doctest: +SKIP
    >>> evaluation.evaluate_detector(records, "tiny_ssd").values      # doctest: +SKIP

    Args:
        records: The annotated images.
        detector: A name of ``facekit backends``, one with options, or a ready one. By
            name it runs at its evaluation threshold; a ready one at the threshold that it has.
        protocols: ``ap50``, ``wider``, ``coco``; see :mod:`facekit.evaluation.protocols`.
        heights: For ``ap50``: the least heights of faces, pixels of the image as stored.
        ground_truth: For ``wider``: the folder of the official ``.mat`` files.
        folder: Where predictions are kept, in WIDER FACE's layout: a run that was stopped goes on
            from what is there. At the end they are beside it as COCO's results, ``<folder>.json``.
        restart: Whether predictions of something else in that folder are removed.
        missing: What becomes of images that are not at hand: ``"error"``, ``"skip"``, or
            ``"empty"`` (nothing is found in them).
        batch_size: Images that the detector sees together.
        label: What the result calls the detector; by default its name.
        watch: Passes images on as they are done, to show how far the run is.

    Raises:
        FacekitError: If the detector cannot be built, an image cannot be read, the folder holds
            predictions of something else, or a protocol does not fit.
    """
    selection = select(records, missing=missing)
    scales = [protocol(name, heights=heights, ground_truth=ground_truth) for name in protocols]
    for scale in scales:
        check(scale, selection.records)
    part, made, options = naming.built("detector", detector)
    made |= {"images": roots_of(selection.records)}
    setting = {
        "scale": naming.scale_of(part, options),
        "threshold": f"{part.score_threshold:g}",
    }
    store = None
    if folder is not None:
        wider_text.check_names([record.name for record in selection.records], folder)
        store = detection_store(Path(folder), fingerprint=made, setting=setting, restart=restart)
    here = [record for record in selection.records if is_at_hand(record)]
    done = detect_all(here, part, store=store, batch_size=batch_size, watch=watch)
    if folder is not None:
        place = Path(folder)
        coco_results.write(done.values, place.with_name(f"{place.name}.json"))
    scored = _scored(selection.records, done.values, scales)
    if part.score_threshold > part.evaluation_threshold:
        scored.notes[
            f"measured at a score of {part.score_threshold:g}, above the detector's evaluation "
            f"threshold of {part.evaluation_threshold:g}: the curve is cut short"
        ] = None
    return result_of(
        label or part.name,
        selection,
        scored,
        setting=setting,
        seconds=done.seconds_per_image,
        fingerprint=made,
    )
