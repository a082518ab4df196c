"""Records and a classifier to labels, and labels to scores.

What is classified are the annotated faces, or, where a dataset labels whole images and has no
faces (``labels:FILE.csv``), the whole image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit import parts
from facekit.datasets import ImageRecord
from facekit.datasets.records import FACE
from facekit.errors import BackendError, ConfigError, DatasetError
from facekit.evaluation import candidates as naming
from facekit.evaluation import wider_text
from facekit.evaluation.candidates import Candidate
from facekit.evaluation.result import Result
from facekit.evaluation.runner import BATCH_SIZE, Watch, run, unwatched
from facekit.evaluation.selection import Missing, Selection, roots_of, select
from facekit.evaluation.store import json_store
from facekit.images import RgbImage
from facekit.metrics.classification import classification_scores
from facekit.parts import Part
from facekit.protocols import Classifier
from facekit.types import Detections

__all__ = ["evaluate_classifier"]

Labels = list[str]


def evaluate_classifier(
    records: Iterable[ImageRecord],
    classifier: Part | Classifier | Candidate,
    *,
    attribute: str | None = None,
    folder: str | Path | None = None,
    restart: bool = False,
    missing: Missing = "error",
    batch_size: int = BATCH_SIZE,
    label: str = "",
    watch: Watch = unwatched,
) -> Result:
    """Measure a classifier on a dataset.

    Args:
        records: The annotated images.
        classifier: A name of ``facekit backends``, one with options, or a ready one.
        attribute: The attribute of faces or images that holds the true label; by default the
            faces' own label, or the only attribute that images have.
        folder: Where labels are kept, so that a run that was stopped goes on from there.
        restart: Whether labels of something else in that folder are removed.
        missing: What becomes of images that are not at hand: ``"error"`` or ``"skip"``.
        batch_size: Images that the classifier sees together.
        label: What the result calls the classifier; by default its name.
        watch: Passes images on as they are done, to show how far the run is.

    Raises:
        FacekitError: If the classifier cannot be built, an image cannot be read, the dataset has
            no such label or one that the classifier does not know, or the folder holds something
            else.
    """
    part, made, options = naming.built("classifier", classifier)
    everything = list(records)
    chosen = attribute or _attribute_of(everything)
    truth = {record.name: _truth(record, chosen) for record in everything}
    _check_known(everything, truth, part)
    labelled = [record for record in everything if any(truth[record.name])]
    made |= {"attribute": chosen, "images": roots_of(labelled)}
    selection = select(labelled, missing=missing, empty=False)
    setting = {"scale": naming.scale_of(part, options), "label": chosen or "label of the face"}
    store = None
    if folder is not None:
        wider_text.check_names([record.name for record in selection.records], folder)
        store = json_store(
            Path(folder),
            fingerprint=made,
            setting=setting,
            what="labels",
            pack=_pack,
            unpack=_unpack,
            restart=restart,
        )

    def step(some: Sequence[ImageRecord], pictures: Sequence[RgbImage]) -> list[Labels]:
        faces = [_faces(record, image) for record, image in zip(some, pictures, strict=True)]
        answers = parts.one_each(part, part.classify(pictures, faces), len(some))
        return [
            _of_count(part.name, one.best(), found)
            for one, found in zip(answers, faces, strict=True)
        ]

    done = run(selection.records, step, store=store, batch_size=batch_size, watch=watch)
    pairs = [
        (true, answer)
        for record in selection.records
        for true, answer in _paired(truth[record.name], done.values[record.name], record)
        if true
    ]
    scored = _result(label or part.name, selection, pairs, part.labels)
    return dataclasses.replace(
        scored, setting=setting, seconds_per_image=done.seconds_per_image, fingerprint=made
    )


def _of_count(name: str, labels: Labels, faces: Detections) -> Labels:
    """Check that a classifier answered every face."""
    if len(labels) != len(faces):
        message = f"{name!r} gave {len(labels)} answers to {len(faces)} faces"
        raise BackendError(message)
    return labels


def _paired(truth: Labels, given: Labels, record: ImageRecord) -> zip[tuple[str, str]]:
    """Return true and given labels side by side."""
    if len(truth) != len(given):
        reason = f"{len(given)} labels are kept for {len(truth)} faces; --restart gives them again"
        raise DatasetError(record.name, None, reason)
    return zip(truth, given, strict=True)


def _attribute_of(records: Sequence[ImageRecord]) -> str:
    """Return the attribute that holds the label: ``""`` for the faces' own label."""
    if any(face.label != FACE for record in records for face in record.faces):
        return ""
    names = sorted({name for record in records for name in record.attributes})
    if len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    message = (
        f"which label is measured is not clear: name the attribute by --label (known: {known})"
    )
    raise ConfigError(message)


def _truth(record: ImageRecord, attribute: str) -> Labels:
    """Return the true label of each thing to classify in an image; ``""`` for one without."""
    if not record.faces:
        return [str(record.attributes.get(attribute, ""))] if attribute else []
    if not attribute:
        return ["" if face.ignore else face.label for face in record.faces]
    return [
        ""
        if face.ignore
        else str(face.attributes.get(attribute, record.attributes.get(attribute, "")))
        for face in record.faces
    ]


def _check_known(
    records: Sequence[ImageRecord], truth: Mapping[str, Labels], classifier: Classifier
) -> None:
    """Refuse labels that the classifier cannot give, and a dataset without any."""
    if not any(any(labels) for labels in truth.values()):
        raise DatasetError("dataset", None, "nothing in it has the label that is measured")
    for record in records:
        for one in truth[record.name]:
            if one and one not in classifier.labels:
                file = record.source.file if record.source else record.name
                line = record.source.line if record.source else None
                known = ", ".join(classifier.labels)
                reason = f"{record.name} has the label {one!r}; {classifier.name!r} knows {known}"
                raise DatasetError(file, line, reason)


def _faces(record: ImageRecord, image: RgbImage) -> Detections:
    """Return the annotated faces, or the whole image where there are none."""
    height, width = image.shape[:2]
    boxes = [face.box for face in record.faces] or [(0.0, 0.0, float(width), float(height))]
    array: npt.NDArray[np.float32] = np.array(boxes, dtype=np.float32)
    return Detections(
        boxes=array, scores=np.ones(len(array), np.float32), image_size=(height, width)
    )


def _result(
    label: str, selection: Selection, named: Sequence[tuple[str, str]], labels: Sequence[str]
) -> Result:
    """Score labels."""
    numbers = {name: number for number, name in enumerate(labels)}
    pairs = [(numbers[true], numbers[answer]) for true, answer in named]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    scores = classification_scores(rows[:, 0], rows[:, 1], classes=len(numbers))
    parts_ = {}
    for name, number in numbers.items():
        parts_[f"recall {name}"] = float(scores.recall[number])
        parts_[f"precision {name}"] = float(scores.precision[number])
    return Result(
        label=label,
        task="classification",
        setting={},
        images=len(selection.records),
        total=selection.total,
        faces=scores.faces,
        values={"accuracy": scores.accuracy, "balanced accuracy": scores.balanced_accuracy},
        confusion=(tuple(labels), scores.confusion.tolist()),
        parts=parts_,
        notes=selection.notes,
    )


def _pack(labels: Labels) -> dict[str, Any]:
    """Return the labels of an image as JSON has them."""
    return {"labels": labels}


def _unpack(document: Mapping[str, Any]) -> Labels:
    """Return the labels of an image that were kept."""
    return [str(one) for one in document["labels"]]
