"""CSV with one face a row, as the Detectron2 tutorial on faces writes it.

::

    file_name,width,height,x_min,y_min,x_max,y_max,class_name
    face_0.jpeg,650,333,56,102,112,151,face

Columns are found by name, in any order; ``filename``, ``class``, ``xmin`` ... of TensorFlow's
tutorials are understood too, and columns of other names become attributes. A face covers
``[x_min, x_max)``. Rows of one image belong to one record. Where they all stand together, records
are streamed; where those of any image stand apart, the rows are held in memory and images come in
the order of their first rows. A row whose four coordinates are empty is an image without a face.
"""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from facekit import atomic
from facekit.datasets.formats import Holds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import (
    EMPTY,
    FACE,
    FaceRecord,
    ImageRecord,
    Provenance,
    Repair,
    safe_name,
)
from facekit.datasets.rows import Row, headed_rows
from facekit.datasets.values import checked_box, checked_size, empty_box
from facekit.errors import DatasetError

__all__ = ["COLUMNS", "HOLDS", "read", "write"]

_BOX: Final = ("x_min", "y_min", "x_max", "y_max")
COLUMNS: Final = ("file_name", "width", "height", *_BOX, "class_name")
"""The columns, in the order of writing."""

HOLDS: Final = Holds(
    fields=frozenset({"label", "size"}), decimals=0, empty_images=False, sized=True
)

_ALIASES: Final = {
    "filename": "file_name",
    "xmin": "x_min",
    "ymin": "y_min",
    "xmax": "x_max",
    "ymax": "y_max",
    "class": "class_name",
}
_REQUIRED: Final = ("file_name", *_BOX)


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read a CSV of faces.

    Args:
        path: The CSV.
        images: The folder of images; by default the one that holds the CSV.
        on_malformed: Takes the error of each malformed row, which is left out; by default the first
            one is raised.

    Yields:
        One record an image. Two corners in the wrong order are swapped, and a face without area
        is ignored; both are named among the repairs.

    Raises:
        DatasetError: If a row is malformed, with file, line and reason.
    """
    file = Path(path)
    root = file.parent if images is None else Path(images)
    # What is malformed is told once, by the reading that gives records.
    together = _together(file, refuse if on_malformed is refuse else _pass_over)
    groups = (_groups if together else _gathered)(file, on_malformed)
    for name, rows in groups:
        if (record := _record(name, rows, str(file), root, on_malformed)) is not None:
            yield record


def _pass_over(error: DatasetError) -> None:
    """Leave an error to another reading."""


def _named_rows(file: Path, on_malformed: OnMalformed) -> Iterator[tuple[str, Row]]:
    """Stream the rows with the names of their images."""
    rows = headed_rows(file, on_malformed)
    header = next(rows)
    known = {column: _ALIASES.get(column.lower(), column) for column in header.cells}
    if missing := [column for column in _REQUIRED if column not in known.values()]:
        raise DatasetError(file, header.line, f"without the columns {', '.join(missing)}")
    if len(set(known.values())) < len(known):
        raise DatasetError(file, header.line, "two columns mean the same")
    for row in rows:
        cells = {known[column]: cell for column, cell in row.cells.items()}
        try:
            name = safe_name(cells["file_name"], file, row.line)
        except DatasetError as error:
            on_malformed(error)
        else:
            yield name, Row(cells, row.line)


def _together(file: Path, on_malformed: OnMalformed) -> bool:
    """Look whether the rows of every image stand together."""
    seen: set[int] = set()
    for name, _ in itertools.groupby(_named_rows(file, on_malformed), key=lambda pair: pair[0]):
        # A hash is a third of a name; a chance meeting costs memory, never a face.
        if (key := hash(name)) in seen:
            return False
        seen.add(key)
    return True


def _groups(file: Path, on_malformed: OnMalformed) -> Iterator[tuple[str, Iterable[Row]]]:
    """Stream the images with their rows."""
    for name, pairs in itertools.groupby(_named_rows(file, on_malformed), key=lambda pair: pair[0]):
        yield name, (row for _, row in pairs)


def _gathered(file: Path, on_malformed: OnMalformed) -> Iterator[tuple[str, Iterable[Row]]]:
    """Hold the whole file, and give the images with their rows."""
    gathered: dict[str, list[Row]] = {}
    for name, row in _named_rows(file, on_malformed):
        gathered.setdefault(name, []).append(row)
    yield from gathered.items()


def _record(
    name: str, rows: Iterable[Row], file: str, root: Path, on_malformed: OnMalformed
) -> ImageRecord | None:
    """Return the record of an image, unless all of its rows are malformed."""
    record = ImageRecord(name=name, root=root)
    faces: list[FaceRecord] = []
    repairs: list[Repair] = []
    for row in rows:
        where = Provenance(file, row.line)
        try:
            record = _placed(record, row.cells, where)
            face, mended = _face(row.cells, where)
        except DatasetError as error:
            on_malformed(error)
            continue
        faces += face
        repairs += mended
    if record.source is None:
        return None
    return record.replace(faces=tuple(faces), repairs=tuple(repairs))


def _placed(record: ImageRecord, cells: Mapping[str, str], where: Provenance) -> ImageRecord:
    """Return an image's record with what its first row says; refuse another row's other size."""
    size = _size(cells, where)
    if record.source is None:
        return record.replace(size=size, source=where)
    if size != record.size:
        reason = f"{record.name} has another size in line {record.source.line}"
        raise DatasetError(where.file, where.line, reason)
    return record


def _size(cells: Mapping[str, str], where: Provenance) -> tuple[int, int] | None:
    """Return the size that a row states, or ``None``."""
    texts = [cells.get(column, "") for column in ("height", "width")]
    if not any(texts):
        return None
    height, width = (_number(text, "width and height", where) for text in texts)
    return checked_size(_whole(height), _whole(width), where)


def _whole(value: float) -> float:
    """Return a whole number as an integer, and any other as it is."""
    return int(value) if value.is_integer() else value


def _number(text: str, what: str, where: Provenance) -> float:
    """Return a cell's number."""
    try:
        value = float(text)
    except ValueError:
        reason = f"{what} must be numbers of pixels, got {text!r}"
        raise DatasetError(where.file, where.line, reason) from None
    return value


def _face(
    cells: Mapping[str, str], where: Provenance
) -> tuple[tuple[FaceRecord, ...], tuple[Repair, ...]]:
    """Return the face of a row, if it has one, and what was mended."""
    if not any(cells[column] for column in _BOX):
        return (), ()
    given = checked_box([_number(cells[column], column, where) for column in _BOX], where)
    x1, x2 = sorted(given[::2])
    y1, y2 = sorted(given[1::2])
    box = (x1, y1, x2, y2)
    label = cells.get("class_name", FACE)
    if not label:
        raise DatasetError(where.file, where.line, "class_name is empty")
    repairs = empty_box(box, where)
    ignore = bool(repairs)
    if box != given:
        message = f"corners {given} are in the wrong order; taken as {box}"
        repairs = (Repair("swapped-corners", where, message), *repairs)
    more = {name: cell for name, cell in cells.items() if name not in COLUMNS and cell}
    face = FaceRecord(
        box=box, label=label, attributes=more or EMPTY, ignore=ignore, line=where.line
    )
    return (face,), repairs


def write(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write a CSV of faces with the tutorial's columns.

    Args:
        records: Any stream of records whose sizes are known. Coordinates are rounded to whole
            pixels, as in the tutorial.
        path: The CSV.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If a record's size is not known or a name or class cannot be written.
    """
    with (
        atomic.atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for record in records:
            writer.writerows(_rows(record, path))


def _rows(record: ImageRecord, path: str | os.PathLike[str]) -> Iterator[list[object]]:
    """Return the rows of an image."""
    if record.size is None:
        raise DatasetError(path, None, f"{record.name}: its size is not known")
    height, width = record.size
    for face in record.faces:
        for text in (record.name, face.label):
            if text != text.strip() or not text or "\0" in text:
                raise DatasetError(path, None, f"{record.name}: a cell cannot hold {text!r}")
        yield [record.name, width, height, *map(round, face.box), face.label]
