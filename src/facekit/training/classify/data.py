"""Labelled faces for classification: from a CSV of the user's own, or from any dataset format.

A CSV has a row an image, or a row a face where it has columns for the box::

    Image_Name,Gender                Image_Name,x,y,w,h,label
    a,female                         photo.jpg,79,105,30,37,without_mask

``x, y, w, h`` and ``x_min, y_min, x_max, y_max`` are understood, in pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from facekit.datasets.formats import formats, read
from facekit.datasets.records import (
    Box,
    FaceRecord,
    ImageRecord,
    Provenance,
    Value,
    safe_name,
)
from facekit.datasets.rows import Row, headed_rows
from facekit.datasets.split import plan
from facekit.datasets.values import checked_box
from facekit.errors import DatasetError, nearest

__all__ = ["Sample", "labels_of", "read_samples", "split_samples", "targets_of"]

_NAMES: Final = ("Image_Name", "file_name", "filename", "image")
_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_BOXES: Final = (("x", "y", "w", "h"), ("x_min", "y_min", "x_max", "y_max"))


@dataclasses.dataclass(frozen=True)
class Sample:
    """One labelled face.

    Attributes:
        name: The image's name, relative to its folder.
        path: The image's file, which exists.
        box: ``x1, y1, x2, y2``, pixels, or ``None``: the face fills the image.
        labels: Its labels; exactly one unless several are allowed.
        source: Where it was read.
    """

    name: str
    path: Path
    box: Box | None
    labels: tuple[str, ...]
    source: Provenance


def read_samples(
    data: str,
    *,
    column: str,
    images: Path | None = None,
    extension: str = "",
    several: bool = False,
    min_height: float = 0,
) -> list[Sample]:
    """Read every labelled face.

    Args:
        data: A CSV, or ``FORMAT:PATH`` of a dataset.
        column: The column of the labels; of a dataset an attribute of faces or images, or
            ``label``, the faces' class.
        images: The folder of images; by default the one that holds the CSV.
        extension: Appended to names without a suffix, e.g. ``.jpg``.
        several: Whether a cell may hold several labels, with blanks between them, or none.
        min_height: Faces whose box is lower than this are left out, pixels.

    Raises:
        DatasetError: If a row is malformed, the column is missing, an image does not exist, or
            there is no face; with file, line and reason.
    """
    name, colon, _ = data.partition(":")
    known = {one.name for one in formats()}
    if colon and name in known:
        rows = _record_rows(data, column, images)
    else:
        rows = _csv_rows(Path(data), column, images)
    samples = [
        _sample(*row, extension=extension, several=several)
        for row in rows
        if row[2] is None or row[2][3] - row[2][1] >= min_height
    ]
    if not samples:
        few = f" at least {min_height:g} px high" if min_height else ""
        raise DatasetError(data, None, f"has no labelled face{few}")
    return samples


_Row = tuple[str, Path, Box | None, str, Provenance]
"""Name, folder of the images, box, text of the label, place."""


def _sample(
    name: str,
    root: Path,
    box: Box | None,
    text: str,
    where: Provenance,
    *,
    extension: str,
    several: bool,
) -> Sample:
    """Check a row: its image and its label."""
    path = _image(root, name, extension, where)
    labels = tuple(dict.fromkeys(text.split())) if several else (text.strip(),)
    if not several and not labels[0]:
        raise DatasetError(where.file, where.line, f"{name}: the label is empty")
    return Sample(name, path, box, labels, where)


def _image(root: Path, name: str, extension: str, where: Provenance) -> Path:
    """Find an image."""
    suffixes = ["", extension, *_SUFFIXES] if not Path(name).suffix else ["", extension]
    for suffix in dict.fromkeys(suffixes):
        if (path := root / f"{name}{suffix}").is_file():
            return path
    raise DatasetError(
        where.file, where.line, f"names the image {name + extension!r}, which {root} lacks"
    )


def _csv_rows(file: Path, column: str, images: Path | None) -> Iterator[_Row]:
    """Stream the rows of a CSV."""
    rows = headed_rows(file)
    header = next(rows)
    if column not in header.cells:
        raise DatasetError(file, header.line, _lacking(column, header.cells))
    lowered = {name.lower(): name for name in reversed(header.cells)}
    naming = next((lowered[name.lower()] for name in _NAMES if name.lower() in lowered), None)
    if naming is None:
        raise DatasetError(file, header.line, f"no column is named {' or '.join(_NAMES)}")
    corners = next((names for names in _BOXES if set(names) <= set(header.cells)), None)
    root = file.parent if images is None else images
    for row in rows:
        where = Provenance(str(file), row.line)
        box = None if corners is None else _box(row, corners, where)
        yield safe_name(row.cells[naming], file, row.line), root, box, row.cells[column], where


def _lacking(column: str, known: Iterable[str]) -> str:
    """Say that a column is missing, and which there are."""
    names = list(known)
    close = nearest(column, names)
    hint = f", did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"has no column {column!r}{hint} (it has: {', '.join(names)})"


def _box(row: Row, columns: Sequence[str], where: Provenance) -> Box:
    """Return a row's box as two corners."""
    texts = [row.cells[name] for name in columns]
    try:
        left, top, third, fourth = map(float, texts)
    except ValueError:
        reason = f"{', '.join(columns)} must be numbers of pixels, got {', '.join(texts)}"
        raise DatasetError(where.file, where.line, reason) from None
    if columns == _BOXES[0]:
        third, fourth = left + third, top + fourth
    box = checked_box((left, top, third, fourth), where)
    if third <= left or fourth <= top:
        raise DatasetError(where.file, where.line, f"the box {', '.join(texts)} has no area")
    return box


def _record_rows(data: str, column: str, images: Path | None) -> Iterator[_Row]:
    """Stream the faces of a dataset, or its images where it has no faces."""
    for record in read(data):
        root = images or record.root
        if root is None:
            reason = f"does not say where {record.name} is: give the folder of images"
            raise DatasetError(data, None, reason)
        where = record.source or Provenance(data)
        if not record.faces:
            if (value := record.attributes.get(column)) is not None:
                yield record.name, root, None, str(value), where
            continue
        for face in record.faces:
            if not face.ignore:
                place = Provenance(where.file, face.line or where.line)
                yield record.name, root, face.box, _label(record, face, column, place), place


def _label(record: ImageRecord, face: FaceRecord, column: str, where: Provenance) -> str:
    """Return what a dataset says of a face."""
    known: Mapping[str, Value] = {"label": face.label, **record.attributes, **face.attributes}
    if column not in known:
        raise DatasetError(where.file, where.line, f"{record.name}: {_lacking(column, known)}")
    return str(known[column])


def split_samples(
    samples: Sequence[Sample], fraction: float, *, by: str, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Hold out a part that shares no group with the rest.

    Args:
        samples: All faces.
        fraction: The share to hold out.
        by: What is never divided: ``photo``, ``person``, or a regular expression; see
            :func:`facekit.datasets.split.group_key`.
        seed: Another seed holds out others.

    Returns:
        The faces to train on, and those that are held out.

    Raises:
        DatasetError: If there are too few groups.
    """
    boxes: dict[str, list[FaceRecord]] = {}
    for sample in samples:
        faces = boxes.setdefault(sample.name, [])
        if sample.box is not None:
            faces.append(FaceRecord(box=sample.box))
    records = {name: ImageRecord(name=name, faces=tuple(faces)) for name, faces in boxes.items()}
    decided = plan(records.values(), (1 - fraction, fraction), by=by, seed=seed)
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        parts[decided.part_of(records[sample.name])].append(sample)
    return parts


def labels_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return every label that occurs, sorted."""
    return tuple(sorted({label for sample in samples for label in sample.labels}))


def targets_of(samples: Sequence[Sample], labels: Sequence[str]) -> list[list[int]]:
    """Turn labels into numbers.

    Args:
        samples: The faces.
        labels: The labels that the network knows.

    Returns:
        Of each face the places of its labels.

    Raises:
        DatasetError: If a face has another label: the network could never be right about it.
    """
    places = {label: place for place, label in enumerate(labels)}
    targets = []
    for sample in samples:
        for label in sample.labels:
            if label not in places:
                reason = (
                    f"the label {label!r} is in no row that is trained on "
                    f"(those have: {', '.join(labels)})"
                )
                raise DatasetError(sample.source.file, sample.source.line, reason)
        targets.append([places[label] for label in sample.labels])
    return targets
