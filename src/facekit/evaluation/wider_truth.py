"""The official ground truth of WIDER FACE's validation part: which faces count as easy, ...

``wider_face_val.mat`` has the boxes; ``wider_easy_val.mat``, ``wider_medium_val.mat`` and
``wider_hard_val.mat`` have ``gt_list``, the numbers (from 1) of the faces that count.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from facekit.errors import DatasetError, MissingDependencyError
from facekit.metrics.wider_face import SETTINGS, WiderTruth

__all__ = ["find", "read"]

_BOXES: Final = "wider_face_val.mat"
_INSTALL: Final = 'pip install "facekit[eval]"'


def find(place: str | os.PathLike[str]) -> Path | None:
    """Find the ground truth beside a dataset.

    Args:
        place: The dataset: a folder or an annotation file.

    Returns:
        The folder with the four files, or ``None``.
    """
    start = Path(place)
    bases = [start, start.parent, start.parent.parent] if start.is_dir() else [*start.parents][:2]
    for base in bases:
        for folder in (base / "ground_truth", base / "eval_tools" / "ground_truth", base):
            if (folder / _BOXES).is_file() and (folder / "wider_hard_val.mat").is_file():
                return folder
    return None


def read(folder: str | os.PathLike[str]) -> dict[str, WiderTruth]:
    """Read the ground truth.

    Args:
        folder: With ``wider_face_val.mat`` and ``wider_{easy,medium,hard}_val.mat``.

    Returns:
        The truth of each of the 3,226 images by ``<event>/<file>.jpg``, in the official order.

    Raises:
        MissingDependencyError: If scipy is not installed.
        DatasetError: If a file is missing or is not WIDER FACE's.
    """
    place = Path(folder)
    lists = {name: _load(place / f"wider_{name}_val.mat", ("gt_list",)) for name in SETTINGS}
    cells = _load(place / _BOXES, ("event_list", "file_list", "face_bbx_list"))
    try:
        return dict(_truths(cells, {name: one["gt_list"] for name, one in lists.items()}))
    except (IndexError, TypeError, AttributeError, ValueError) as error:
        reason = f"the four files are not WIDER FACE's ground truth: {error}"
        raise DatasetError(place, None, reason) from error


def _load(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Read some cells of a file."""
    try:
        from scipy.io import loadmat  # noqa: PLC0415 - optional package
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "scipy":
            raise
        raise MissingDependencyError("WIDER FACE's .mat", "scipy", _INSTALL) from error
    if not path.is_file():
        raise DatasetError(path, None, "no such file: WIDER FACE's eval_tools/ground_truth has it")
    try:
        cells: dict[str, Any] = loadmat(path, variable_names=list(names), appendmat=False)
    except Exception as error:
        # scipy raises whatever its parser stumbles over.
        raise DatasetError(path, None, f"scipy cannot read it: {error}") from error
    if missing := [name for name in names if name not in cells]:
        raise DatasetError(path, None, f"{', '.join(missing)} missing; WIDER FACE's .mat has them")
    return cells


def _truths(cells: Mapping[str, Any], lists: Mapping[str, Any]) -> Any:  # noqa: ANN401 - pairs
    """Yield the name and truth of each image."""
    for event, (label,) in enumerate(cells["event_list"]):
        files = cells["file_list"][event, 0]
        boxes = cells["face_bbx_list"][event, 0]
        for image in range(len(files)):
            rows = np.asarray(boxes[image, 0], dtype=np.float64).reshape(-1, 4)
            counted = {
                name: _flags(cell[event, 0][image, 0], len(rows)) for name, cell in lists.items()
            }
            yield f"{label[0]}/{files[image, 0][0]}.jpg", WiderTruth(rows, counted)


def _flags(numbers: Any, count: int) -> Any:  # noqa: ANN401 - arrays of the .mat
    """Turn numbers from 1 into flags."""
    chosen = np.asarray(numbers).ravel().astype(np.intp)
    if chosen.size and not (chosen.min() >= 1 and chosen.max() <= count):
        message = f"a face number is not within 1 to {count}"
        raise ValueError(message)
    flags = np.zeros(count, dtype=bool)
    flags[chosen - 1] = True
    return flags
