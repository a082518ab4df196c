"""COCO's results: a JSON list of ``{image_id, category_id, bbox, score}``, ``bbox`` x y w h.

The list knows images by number only, and says nothing of images without a face. So a second file,
``<stem>_images.json``, has the ``images`` of a COCO annotation: ``id``, ``file_name``, ``width``,
``height``. Results of others are read with their annotation file in its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit import atomic
from facekit.errors import DatasetError
from facekit.evaluation.wider_text import detections_of
from facekit.types import Detections

__all__ = ["images_file", "read", "write"]

_BOX: Final = 4
_SEVERAL: Final = "several categories ({known}); choose one"


def images_file(path: Path) -> Path:
    """Return where the numbers of the images stand.

    Args:
        path: The results.
    """
    return path.with_name(f"{path.stem}_images.json")


def write(predictions: Mapping[str, Detections], path: str | os.PathLike[str]) -> None:
    """Write results, and the numbers of their images beside them.

    Args:
        predictions: By the image's name; numbers are given in this order, from 1.
        path: The JSON file.

    Raises:
        OutputError: If a file cannot be written.
    """
    target = Path(path)
    numbered = list(enumerate(predictions.items(), start=1))
    rows = [row for number, (_, found) in numbered for row in _rows(number, found)]
    images = [
        {
            "id": number,
            "file_name": name,
            "height": found.image_size[0],
            "width": found.image_size[1],
        }
        for number, (name, found) in numbered
    ]
    atomic.write_text(images_file(target), json.dumps({"images": images}))
    atomic.write_text(target, "[" + ",\n".join(json.dumps(row) for row in rows) + "]\n")


def _rows(number: int, found: Detections) -> list[dict[str, Any]]:
    """Return one entry a face, with the numbers that float32 boxes stand for exactly."""
    # float32 in words and back is the shortest number that reads as the same float32.
    starts = found.boxes[:, :2].astype(str).astype(np.float64).tolist()
    corners = found.boxes.astype(np.float64)
    sides = (corners[:, 2:] - corners[:, :2]).tolist()
    scores = found.scores.astype(str).astype(np.float64).tolist()
    kinds = [0] * len(found) if found.class_ids is None else found.class_ids.tolist()
    return [
        {"image_id": number, "category_id": 1 + kind, "bbox": [*start, *side], "score": score}
        for start, side, score, kind in zip(starts, sides, scores, kinds, strict=True)
    ]


def read(
    path: str | os.PathLike[str],
    names: Sequence[str],
    *,
    images: str | os.PathLike[str] | None = None,
    category: int | None = None,
) -> dict[str, Detections]:
    """Read results.

    Args:
        path: The JSON file.
        names: The images of the dataset; an image without an entry had no face found in it.
        images: A JSON file with ``images`` (``id`` and ``file_name``): by default the one beside
            the results, if there is one. Without one, an ``image_id`` must be an image's name.
        category: The ``category_id`` to keep; needed where there are several.

    Returns:
        The predictions of each image of the dataset that the results cover, in the dataset's
        order; by name. Exact duplicates are kept.

    Raises:
        DatasetError: If the file is no list of results, an entry is malformed (its place in the
            list is named), or an image is unknown.
    """
    file = Path(path)
    entries = _load(file)
    if not isinstance(entries, list):
        raise DatasetError(file, None, "COCO results are a list of {image_id, bbox, score}")
    beside = images_file(file)
    given = Path(images) if images is not None else beside if beside.is_file() else None
    known = _names_by_id(given, names)
    rows: dict[str, list[list[float]]] = {name: [] for name in known.values()}
    categories = set()
    for place, entry in enumerate(entries):
        where = f"[{place}]"
        if not isinstance(entry, dict):
            raise DatasetError(file, None, f"{where}: expected a result, got {entry!r}")
        kind = entry.get("category_id", 1)
        if category is not None and kind != category:
            continue
        categories.add(kind)
        rows[_name(file, where, entry, known)].append(_numbers(file, where, entry))
    if len(categories) > 1:
        listing = ", ".join(sorted(map(str, categories)))
        raise DatasetError(file, None, _SEVERAL.format(known=listing) + " by --category")
    sizes = _sizes(given)
    order = [name for name in names if name in rows] if given is not None else list(names)
    return {name: _detections(rows[name], sizes.get(name)) for name in order}


def _detections(rows: list[list[float]], size: tuple[int, int] | None) -> Detections:
    """Return one image's faces."""
    array: npt.NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(-1, _BOX + 1)
    return detections_of(array[:, :_BOX], array[:, _BOX], size)


def _load(path: Path) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """Parse a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DatasetError(path, None, "no such file") from None
    except OSError as error:
        raise DatasetError(path, None, f"cannot be read: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise DatasetError(path, error.lineno, f"not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(path, None, f"not valid JSON: {error}") from error


def _images(path: Path | None) -> list[dict[str, Any]]:
    """Return the ``images`` of a file."""
    if path is None:
        return []
    document = _load(path)
    listed = document.get("images") if isinstance(document, dict) else None
    good = isinstance(listed, list) and all(
        isinstance(one, dict) and isinstance(one.get("file_name"), str) and "id" in one
        for one in listed
    )
    if not good:
        raise DatasetError(path, None, "expected 'images', each with 'id' and 'file_name'")
    return list(listed or [])


def _names_by_id(path: Path | None, names: Sequence[str]) -> dict[object, str]:
    """Return the image that each id means."""
    if path is None:
        return {name: name for name in names}
    known = set(names)
    found: dict[object, str] = {}
    for image in _images(path):
        if image["file_name"] not in known:
            raise DatasetError(path, None, f"{image['file_name']!r} is no image of the dataset")
        if not isinstance(image["id"], int | str) or image["id"] in found:
            raise DatasetError(path, None, f"the image id {image['id']!r} is there twice, or none")
        found[image["id"]] = image["file_name"]
    return found


def _sizes(path: Path | None) -> dict[str, tuple[int, int]]:
    """Return the sizes of the images that have one."""
    sizes = {}
    for image in _images(path):
        height, width = image.get("height"), image.get("width")
        if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
            sizes[image["file_name"]] = (height, width)
    return sizes


def _name(file: Path, where: str, entry: dict[str, Any], known: Mapping[object, str]) -> str:
    """Return the image of a result."""
    number = entry.get("image_id")
    name = known.get(number) if isinstance(number, int | str) else None
    if name is None:
        reason = (
            f"{where}: image_id {number!r} is no image of the dataset; the annotation file that "
            "numbers the images is given by --ids"
        )
        raise DatasetError(file, None, reason)
    return name


def _numbers(file: Path, where: str, entry: dict[str, Any]) -> list[float]:
    """Return x, y, width, height and score of a result."""
    box, score = entry.get("bbox"), entry.get("score")
    values = [*box, score] if isinstance(box, list) else []
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    if len(values) != _BOX + 1 or not numbers:
        reason = f"{where}: expected a bbox of four numbers and a score, got {box!r} and {score!r}"
        raise DatasetError(file, None, reason)
    if not np.isfinite(values).all():
        raise DatasetError(file, None, f"{where}: a number is not finite: {values}")
    if min(values[2:_BOX]) < 0:
        raise DatasetError(file, None, f"{where}: width and height must not be negative: {values}")
    return [float(one) for one in values]
