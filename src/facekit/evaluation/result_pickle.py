"""MMDetection's ``result.pkl``, read without running what a pickle can run.

:mod:`facekit.pickled_arrays` admits numbers, text, lists, tuples, dicts, numpy's arrays
and torch's tensors (MMDetection 3 writes them; torch is not needed), and refuses all else.

Two layouts, both one entry an image in the dataset's order:

* MMDetection 1.x and 2.x: ``list[class]`` of ``(n, 5)`` x1, y1, x2, y2, score;
* MMDetection 3.x: a dict with ``pred_instances`` (``bboxes``, ``scores``, ``labels``), and mostly
  ``img_path``.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit.errors import DatasetError
from facekit.evaluation.wider_text import detections_of
from facekit.pickled_arrays import Refused, load
from facekit.types import Detections

__all__ = ["SUFFIXES", "read"]

SUFFIXES: Final = (".pkl", ".pickle")

_BOX: Final = 4
_Numbers = npt.NDArray[np.float64]


def read(
    path: str | os.PathLike[str],
    names: Sequence[str],
    *,
    category: int | None = None,
    inclusive: bool = False,
) -> dict[str, Detections]:
    """Read the results of ``tools/test.py --out result.pkl``.

    Args:
        path: The pickle.
        names: The images of the dataset, in the order in which MMDetection had them.
        category: The class to keep, from 0; needed where there are several.
        inclusive: Whether the boxes count pixels inclusively, as those of MMDetection 1.x do: the
            file cannot tell. One pixel is then added to x2 and y2.

    Returns:
        The predictions of every image, by name.

    Raises:
        DatasetError: If the pickle is refused or damaged, has another layout, another number of
            images, or names an image that the dataset does not have or has elsewhere.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            entries = load(opened)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise DatasetError(file, None, reason) from error
    except Refused as error:
        reason = f"{error}; write the results as COCO JSON instead"
        raise DatasetError(file, None, reason) from error
    except pickle.UnpicklingError as error:
        raise DatasetError(file, None, f"not a pickle of results: {error}") from error
    if not isinstance(entries, list | tuple):
        raise DatasetError(file, None, f"expected one entry an image, got {_kind(entries)}")
    named = _by_name(file, entries, names)
    return {
        name: _found(file, place, entry, category, inclusive=inclusive)
        for name, (place, entry) in named.items()
    }


def _kind(value: object) -> str:
    """Name a value's type."""
    return type(value).__name__


def _by_name(
    file: Path, entries: Sequence[Any], names: Sequence[str]
) -> dict[str, tuple[int, Any]]:
    """Return the entry of each image: by its path where entries have one, else by order."""
    paths = [one.get("img_path") if isinstance(one, dict) else None for one in entries]
    if entries and all(isinstance(path, str) for path in paths):
        return _by_path(file, entries, [str(path) for path in paths], names)
    if len(entries) != len(names):
        reason = f"{len(entries)} entries, but the dataset has {len(names)} images"
        raise DatasetError(file, None, reason)
    return dict(zip(names, enumerate(entries), strict=True))


def _by_path(
    file: Path, entries: Sequence[Any], paths: Sequence[str], names: Sequence[str]
) -> dict[str, tuple[int, Any]]:
    """Match the paths of entries with the ends that images' names are."""
    known = {PurePath(name).parts: name for name in names}
    longest = max((len(parts) for parts in known), default=0)
    found: dict[str, tuple[int, Any]] = {}
    for place, (path, entry) in enumerate(zip(paths, entries, strict=True)):
        parts = PurePath(path.replace("\\", "/")).parts
        ends = (parts[-length:] for length in range(longest, 0, -1))
        name = next((known[end] for end in ends if end in known), None)
        if name is None:
            raise DatasetError(file, None, f"[{place}]: {path!r} is no image of the dataset")
        if name in found:
            raise DatasetError(file, None, f"[{place}]: {name!r} is there twice")
        found[name] = (place, entry)
    return {name: found[name] for name in names if name in found}


def _found(
    file: Path, place: int, entry: object, category: int | None, *, inclusive: bool
) -> Detections:
    """Return the faces of one entry."""
    size = None
    if isinstance(entry, dict):
        boxes, scores = _of_instances(file, place, entry, category)
        shape = entry.get("ori_shape")
        if isinstance(shape, list | tuple) and len(shape) >= 2 and min(shape[:2]) > 0:  # noqa: PLR2004 - height and width
            size = int(shape[0]), int(shape[1])
    else:
        boxes, scores = _of_classes(file, place, entry, category)
    corners = boxes + np.array([0, 0, 1, 1]) * inclusive
    sides = corners[:, 2:] - corners[:, :2]
    if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
        raise DatasetError(file, None, f"[{place}]: a number is not finite")
    if (sides < 0).any():
        raise DatasetError(file, None, f"[{place}]: a box has x2 < x1 or y2 < y1")
    return detections_of(np.concatenate([corners[:, :2], sides], axis=1), scores, size)


def _array(file: Path, place: int, value: object, columns: int | None) -> _Numbers:
    """Return a value as float64 of ``(n,)``, or ``(n, columns)``."""
    try:
        array: _Numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros((0, 0, 0))
    if array.size == 0 and array.ndim in (1, 2):
        array = array.reshape((0,) if columns is None else (0, columns))
    if array.ndim != (1 if columns is None else 2) or (columns and array.shape[1] != columns):
        want = "(n,)" if columns is None else f"(n, {columns})"
        reason = f"[{place}]: expected numbers of shape {want}, got {_kind(value)} {array.shape}"
        raise DatasetError(file, None, reason)
    return array


def _of_classes(
    file: Path, place: int, entry: object, category: int | None
) -> tuple[_Numbers, _Numbers]:
    """Return boxes and scores of the layout of 1.x and 2.x."""
    # With masks an entry is a pair of boxes and masks.
    if isinstance(entry, tuple) and entry and isinstance(entry[0], list):
        entry = entry[0]
    if not isinstance(entry, list) or not entry:
        reason = f"[{place}]: expected a list of classes or a dict, got {_kind(entry)}"
        raise DatasetError(file, None, reason)
    if category is None and len(entry) > 1:
        reason = f"{len(entry)} classes; choose one, from 0, by --category"
        raise DatasetError(file, None, reason)
    if not 0 <= (category or 0) < len(entry):
        reason = f"[{place}]: no class {category}, there are {len(entry)}"
        raise DatasetError(file, None, reason)
    rows = _array(file, place, entry[category or 0], _BOX + 1)
    return rows[:, :_BOX], rows[:, _BOX]


def _of_instances(
    file: Path, place: int, entry: dict[str, Any], category: int | None
) -> tuple[_Numbers, _Numbers]:
    """Return boxes and scores of the layout of 3.x."""
    instances = entry.get("pred_instances")
    if not isinstance(instances, dict) or not {"bboxes", "scores"} <= set(instances):
        reason = f"[{place}]: expected pred_instances with bboxes and scores"
        raise DatasetError(file, None, reason)
    boxes = _array(file, place, instances["bboxes"], _BOX)
    scores = _array(file, place, instances["scores"], None)
    labels = _array(file, place, instances.get("labels", np.zeros(len(scores))), None)
    if not len(boxes) == len(scores) == len(labels):
        reason = f"[{place}]: {len(boxes)} boxes, {len(scores)} scores, {len(labels)} labels"
        raise DatasetError(file, None, reason)
    if category is None and len(set(labels.tolist())) > 1:
        raise DatasetError(file, None, f"[{place}]: several classes; choose one by --category")
    kept = np.ones(len(labels), dtype=bool) if category is None else labels == category
    return boxes[kept], scores[kept]
