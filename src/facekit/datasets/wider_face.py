"""WIDER FACE's annotation text, one block an image; and the official ``.mat``, by another module.

::

    0--Parade/0_Parade_marchingband_1_849.jpg
    1
    449 330 122 149 0 0 0 0 0 0

A face is ``x y width height blur expression illumination invalid occlusion pose``; the box covers
``[x, x + width)``. An image with a count of 0 still has one line of zeros. Readers in circulation
take the last three columns in another order, or make a face of the line of zeros; the columns
here are those of the readme that comes with the annotations.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from facekit import atomic
from facekit.datasets.formats import Holds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import EMPTY, FaceRecord, ImageRecord, Value
from facekit.datasets.wider_face_columns import ATTRIBUTES, LARGEST
from facekit.datasets.wider_face_text import read_text
from facekit.errors import DatasetError

__all__ = ["ATTRIBUTES", "HOLDS", "LARGEST", "read", "write"]

_COLUMNS: Final = 4 + len(ATTRIBUTES)


def _accepts(name: str, value: Value) -> bool:
    """Tell whether a column can have a value."""
    return value in range(LARGEST.get(name, 1) + 1)


HOLDS: Final = Holds(
    fields=frozenset({"ignore"}),
    face_attributes=frozenset(ATTRIBUTES),
    decimals=0,
    face_defaults=MappingProxyType(dict.fromkeys(ATTRIBUTES, 0)),
    ignore_attribute="invalid",
    accepts=_accepts,
)

_SPLITS: Final = ("train", "val")


def read(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    images: str | os.PathLike[str] | None = None,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read WIDER FACE.

    Args:
        path: An annotation text, an official ``.mat``, or the dataset's folder (with
            ``wider_face_split/`` and ``WIDER_train/images/``, ``WIDER_val/images/``), whose texts
            are read.
        split: Of a folder: ``"train"`` or ``"val"``; by default both, train first.
        images: The folder of images; by default the one beside the annotations' folder, where
            there is one.
        on_malformed: Takes the error of each malformed line of a text, which is left out, and with
            it what cannot be told of its image; by default the first one is raised.

    Yields:
        One record an image, in the file's order. A face whose ``invalid`` is 1 has ``ignore``.

    Raises:
        DatasetError: If a line is malformed, with file, line and reason.
        MissingDependencyError: If a ``.mat`` is read and scipy is not installed.
    """
    place = Path(path)
    if place.suffix.lower() == ".mat":
        from facekit.datasets.wider_face_mat import read_mat  # noqa: PLC0415 - it imports this one

        yield from read_mat(place, _images_of(place, images))
        return
    if not place.is_dir():
        yield from read_text(place, _images_of(place, images), on_malformed)
        return
    chosen = [
        text
        for name in (_SPLITS if split is None else (split,))
        for text in sorted(place.glob(f"**/wider_face_{name}_bbx_gt.txt"))
    ]
    if not chosen:
        raise DatasetError(
            place, None, "no wider_face_train_bbx_gt.txt or wider_face_val_bbx_gt.txt"
        )
    for text in chosen:
        yield from read_text(text, _images_of(text, images), on_malformed)


def _images_of(text: Path, images: str | os.PathLike[str] | None) -> Path | None:
    """Find the folder of images that belongs to an annotation text."""
    if images is not None:
        return Path(images)
    split = next((name for name in _SPLITS if name in text.stem.split("_")), None)
    if split is None:
        return None
    for base in (text.parent, text.parent.parent):
        if (folder := base / f"WIDER_{split}" / "images").is_dir():
            return folder
    return None


def write(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write an annotation text.

    Args:
        records: Any stream of records. Coordinates are rounded to whole pixels, as published;
            an ignored face is written as invalid.
        path: The text file.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If the file is a ``.mat``, which is only read, or a name or attribute
            cannot be written.
    """
    if Path(path).suffix.lower() == ".mat":
        raise DatasetError(path, None, ".mat is only read; write the text, with the suffix .txt")
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            if record.name.split("\n") != [record.name.strip()]:
                raise DatasetError(path, None, f"a line cannot hold the name {record.name!r}")
            rows = [_row(face, path) for face in record.faces] or [" ".join("0" * _COLUMNS)]
            file.write("\n".join([record.name, str(len(record.faces)), *rows, ""]))


def _row(face: FaceRecord, path: str | os.PathLike[str]) -> str:
    """Return a face's line."""
    x1, y1, x2, y2 = (round(value) for value in face.box)
    attributes = face.attributes or EMPTY
    values = {name: attributes.get(name, 0) for name in ATTRIBUTES}
    for name, value in values.items():
        if not _accepts(name, value):
            reason = f"{name} must be 0 to {LARGEST.get(name, 1)}, got {value!r}"
            raise DatasetError(path, None, reason)
    flags = list(map(int, values.values()))
    # A box without area is ignored by every reader as it is.
    if face.ignore and x2 > x1 and y2 > y1:
        flags[ATTRIBUTES.index("invalid")] = 1
    return " ".join(map(str, [x1, y1, x2 - x1, y2 - y1, *flags]))
