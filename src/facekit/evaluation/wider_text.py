"""WIDER FACE's own layout of predictions: one text an image, ``<event>/<image>.txt``.

::

    0_Parade_marchingband_1_849
    2
    449 330 122 149 0.998
    100.5 30 12 14 0.12

The name, the number of faces, and ``x y width height score`` of each. Numbers are written so that
reading them back gives the same float32 boxes and scores. Exact duplicates are kept: each is one
more detection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit import atomic
from facekit.errors import DatasetError, OutputError
from facekit.types import Detections

__all__ = ["SUFFIX", "file_of", "files_in", "read_image", "text_of", "write", "write_image"]

SUFFIX: Final = ".txt"
_COLUMNS: Final = 5
_HEAD: Final = 2
_MAX_DIGITS: Final = 7


def file_of(name: str) -> str:
    """Return where an image's predictions stand: its own name with another suffix.

    Args:
        name: The image's name in its dataset, with forward slashes.
    """
    return str(PurePosixPath(name).with_suffix(SUFFIX))


def write(predictions: Mapping[str, Detections], folder: str | os.PathLike[str]) -> None:
    """Write the predictions of many images.

    Args:
        predictions: By the image's name.
        folder: Where the events' folders are made.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: If two images differ only by suffix, which this layout cannot tell apart.
    """
    check_names(predictions, folder)
    for name, found in predictions.items():
        write_image(Path(folder), name, found)


def check_names(names: Mapping[str, Any] | Sequence[str], folder: object) -> None:
    """Refuse images that would share a file.

    Args:
        names: The images' names.
        folder: Where they would be written, for the message.

    Raises:
        DatasetError: If two images differ only by suffix.
    """
    taken: dict[str, str] = {}
    for name in names:
        other = taken.setdefault(file_of(name), name)
        if other != name:
            reason = f"{other!r} and {name!r} would share the file {file_of(name)!r}"
            raise DatasetError(folder, None, reason)


def write_image(folder: Path, name: str, found: Detections) -> None:
    """Write the predictions of one image, atomically.

    Args:
        folder: The folder of the events' folders.
        name: The image's name.
        found: Its faces; masks, keypoints and class ids have no place in this layout.

    Raises:
        OutputError: If the file cannot be written.
    """
    target = folder / file_of(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{target.parent}: cannot be made: {error.strerror or error}"
        raise OutputError(message) from error
    atomic.write_text(target, text_of(name, found))


def text_of(name: str, found: Detections) -> str:
    """Return the text of one image.

    Args:
        name: The image's name.
        found: Its faces.
    """
    corners = found.boxes.astype(np.float64)
    # The difference of two float32 is exact in float64, so that x + width gives x2 back.
    sides = (corners[:, 2:] - corners[:, :2]).tolist()
    lines = [
        f"{x} {y} {width!r} {height!r} {score}"
        for (x, y), (width, height), score in zip(
            found.boxes[:, :2].astype(str).tolist(),
            sides,
            found.scores.astype(str).tolist(),
            strict=True,
        )
    ]
    return "\n".join([PurePosixPath(name).stem, str(len(lines)), *lines, ""])


def files_in(folder: Path) -> dict[str, Path]:
    """Return every file of predictions by its place in the folder, in order.

    Args:
        folder: The folder of the events' folders.
    """
    found = sorted(folder.rglob(f"*{SUFFIX}"))
    return {path.relative_to(folder).as_posix(): path for path in found}


def read_image(path: Path, image_size: tuple[int, int] | None = None) -> Detections:
    """Read the predictions of one image.

    Args:
        path: The text.
        image_size: Height and width of the image, pixels; by default what its boxes span.

    Returns:
        Its faces, scores descending; equal scores keep their order.

    Raises:
        DatasetError: If a line is malformed, a number is not finite, or a side is negative; with
            file and line.
    """
    rows = _rows(path)
    return detections_of(rows[:, :4], rows[:, 4], image_size)


def detections_of(
    xywh: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    image_size: tuple[int, int] | None,
) -> Detections:
    """Return predictions as a detector gives them.

    Args:
        xywh: ``(n, 4)`` x, y, width, height, pixels.
        scores: ``(n,)``, in any order.
        image_size: Height and width of the image, pixels; by default what the boxes span. Nothing
            that is measured depends on it.
    """
    order = np.argsort(-scores, kind="stable")
    start = xywh[order, :2]
    # x is float32's own number before the width is added to it: see ``text_of``.
    corners = np.concatenate([start, start.astype(np.float32) + xywh[order, 2:]], axis=1)
    if image_size is None:
        width, height = np.ceil(corners[:, 2:].max(axis=0, initial=1)).astype(int)
        image_size = max(1, int(height)), max(1, int(width))
    return Detections(
        boxes=corners.astype(np.float32),
        scores=scores[order].astype(np.float32),
        image_size=image_size,
    )


def _rows(path: Path) -> npt.NDArray[np.float64]:
    """Return ``(n, 5)`` x, y, width, height, score."""
    lines = _lines(path)
    if len(lines) < _HEAD:
        raise DatasetError(path, len(lines) or 1, "expected a name and a number of faces")
    _check_name(path, lines[0])
    count = lines[1].strip()
    if not count.isdecimal() or len(count) > _MAX_DIGITS:
        raise DatasetError(path, 2, f"expected the number of faces, got {count!r}")
    body = lines[_HEAD:]
    while len(body) > int(count) and not body[-1].strip():
        body.pop()
    if len(body) != int(count):
        line = _HEAD + min(len(body), int(count) + 1)
        reason = f"{count} faces are announced, but {len(body)} lines follow"
        raise DatasetError(path, line, reason)
    return _numbers(path, body)


def _lines(path: Path) -> list[str]:
    """Read a text."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DatasetError(path, None, "no such file") from None
    except UnicodeDecodeError as error:
        raise DatasetError(path, None, f"not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise DatasetError(path, None, f"cannot be read: {error.strerror or error}") from error


def _check_name(path: Path, line: str) -> None:
    """Refuse a text whose first line names another image; writers differ in folder and suffix."""
    name = PurePosixPath(line.strip())
    if path.stem not in {name.name, name.stem}:
        raise DatasetError(path, 1, f"expected the name {path.stem!r}, got {line.strip()!r}")


def _numbers(path: Path, body: list[str]) -> npt.NDArray[np.float64]:
    """Turn lines into numbers; the slow way is gone through for the message alone."""
    words = [line.split() for line in body]
    try:
        values = [float(word) for row in words for word in row]
    except ValueError:
        values = []
    if len(values) == _COLUMNS * len(body) and all(len(row) == _COLUMNS for row in words):
        rows = np.array(values, dtype=np.float64).reshape(-1, _COLUMNS)
        if np.isfinite(rows).all() and (rows[:, 2:4] >= 0).all():
            return rows
    for number, row in enumerate(words, start=_HEAD + 1):
        _check_row(path, number, row)
    raise AssertionError  # pragma: no cover - one of the rows was refused


def _check_row(path: Path, line: int, row: list[str]) -> None:
    """Say what is wrong with a line, if anything is."""
    text = " ".join(row)
    try:
        values = [float(word) for word in row]
    except ValueError:
        values = []
    if len(values) != _COLUMNS:
        raise DatasetError(path, line, f"expected x y width height score, got {text!r}")
    if not np.isfinite(values).all():
        raise DatasetError(path, line, f"a number is not finite: {text!r}")
    if min(values[2:4]) < 0:
        raise DatasetError(path, line, f"width and height must not be negative: {text!r}")
