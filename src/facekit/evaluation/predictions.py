"""Predictions from disk: evaluated without the model that made them, whoever that was.

A folder holds WIDER FACE's texts (:mod:`~facekit.evaluation.wider_text`), a ``.json`` COCO's
results (:mod:`~facekit.evaluation.coco_results`), a ``.pkl`` MMDetection's
(:mod:`~facekit.evaluation.result_pickle`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from facekit.datasets import ImageRecord
from facekit.errors import DatasetError
from facekit.evaluation import coco_results, result_pickle, store, wider_text
from facekit.evaluation.detection import result_of, score_detections
from facekit.evaluation.protocols import HEIGHTS
from facekit.evaluation.result import Result
from facekit.evaluation.selection import Missing, select
from facekit.types import Detections

__all__ = ["evaluate_predictions", "read_predictions"]


def read_predictions(
    path: str | os.PathLike[str],
    records: Sequence[ImageRecord],
    *,
    ids: str | os.PathLike[str] | None = None,
    category: int | None = None,
    inclusive: bool = False,
) -> dict[str, Detections]:
    """Read predictions of a dataset's images.

    Args:
        path: A folder of WIDER FACE's texts, COCO's ``.json``, or MMDetection's ``.pkl``.
        records: The dataset.
        ids: For COCO's results: the annotation file that numbers the images; by default the file
            that facekit wrote beside them.
        category: The class to keep, where there are several: a COCO ``category_id``, or a class
            of MMDetection from 0.
        inclusive: For MMDetection 1.x: boxes count pixels inclusively.

    Returns:
        By the image's name. An image that is not there has no predictions on disk; one in which
        nothing was found is there, empty.

    Raises:
        DatasetError: If something is malformed (file and line are named), or of an image that the
            dataset does not have.
    """
    place = Path(path)
    names = [record.name for record in records]
    if place.is_dir():
        return _of_folder(place, records)
    if not place.is_file():
        raise DatasetError(place, None, "no such file or folder of predictions")
    suffix = place.suffix.lower()
    if suffix == ".json":
        return coco_results.read(place, names, images=ids, category=category)
    if suffix in result_pickle.SUFFIXES:
        return result_pickle.read(place, names, category=category, inclusive=inclusive)
    known = ", ".join((".json", *result_pickle.SUFFIXES))
    raise DatasetError(place, None, f"predictions are a folder of texts, or {known}")


def _of_folder(folder: Path, records: Sequence[ImageRecord]) -> dict[str, Detections]:
    """Read WIDER FACE's texts."""
    wider_text.check_names([record.name for record in records], folder)
    files = wider_text.files_in(folder)
    if not files:
        reason = "no <event>/<image>.txt in it; WIDER FACE's layout of predictions has them"
        raise DatasetError(folder, None, reason)
    by_file = {wider_text.file_of(record.name): record for record in records}
    if unknown := [file for file in files if file not in by_file]:
        reason = (
            f"{len(unknown):,} of {len(files):,} files are of no image of the dataset (the first: "
            f"{unknown[0]})"
        )
        raise DatasetError(folder, None, reason)
    found = {
        by_file[file].name: wider_text.read_image(path, by_file[file].size)
        for file, path in files.items()
    }
    return {record.name: found[record.name] for record in records if record.name in found}


def evaluate_predictions(
    records: Iterable[ImageRecord],
    path: str | os.PathLike[str],
    *,
    protocols: Sequence[str] = ("ap50",),
    heights: Sequence[float] = HEIGHTS,
    ground_truth: str | Path | None = None,
    missing: Missing = "error",
    label: str = "",
    **reading: Any,  # noqa: ANN401 - the options of read_predictions
) -> Result:
    """Score predictions that are on disk; neither the model nor the images are needed.

    Args:
        records: The annotated images.
        path: As in :func:`read_predictions`.
        protocols: ``ap50``, ``wider``, ``coco``; see :mod:`facekit.evaluation.protocols`.
        heights: For ``ap50``: the least heights of faces, pixels of the image as stored.
        ground_truth: For ``wider``: the folder of the official ``.mat`` files.
        missing: What becomes of images that have no predictions on disk: ``"error"``, ``"skip"``,
            or ``"empty"`` (nothing was found in them).
        label: What the result calls the predictions; by default the folder's or file's name.
        **reading: ``ids``, ``category`` and ``inclusive``; see :func:`read_predictions`.

    Raises:
        FacekitError: If predictions are malformed or of unknown images, or a protocol does not fit.
    """
    everything = list(records)
    found = read_predictions(path, everything, **reading)
    selection = select(
        everything,
        has=lambda record: record.name in found,
        missing=missing,
        what="without predictions",
    )
    scored = score_detections(
        selection.records, found, protocols=protocols, heights=heights, ground_truth=ground_truth
    )
    place = Path(path)
    head = store.made_by(place) if place.is_dir() else None
    setting = {"scale": "not known", "threshold": "not known"} if head is None else head.setting
    return result_of(
        label or place.stem,
        selection,
        scored,
        setting=setting,
        fingerprint={} if head is None else head.fingerprint,
    )
