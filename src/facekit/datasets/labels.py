"""A folder of images with a CSV of labels, for classification.

::

    Image_Name,Gender,Age
    a.jpg,female,30

The first of the columns ``Image_Name``, ``file_name``, ``filename`` and ``image`` names the image;
every other column is an attribute of the image, and an empty cell none. A cell that is written as
Python writes an integer, a fraction, ``True`` or ``False`` is one; any other is text, so ``007``
stays what it is. A name without a suffix is looked up among the images.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from facekit import atomic
from facekit.datasets.formats import Holds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import EMPTY, ImageRecord, Provenance, Repair, Value, safe_name
from facekit.datasets.rows import Row, headed_rows
from facekit.errors import DatasetError

__all__ = ["HOLDS", "NAME", "read", "write"]

NAME: Final = "Image_Name"
"""The column of the image's name, as it is written."""

_NAMES: Final = (NAME, "file_name", "filename", "image")


def _accepts(name: str, value: Value) -> bool:
    """Tell whether a column can have a name and a cell a value."""
    named = name.lower() not in {one.lower() for one in _NAMES}
    return named and _is_cell(name) and _is_cell(str(value))


def _is_cell(text: str) -> bool:
    """Tell whether text is read back as it is written."""
    return text == text.strip() and text != "" and "\0" not in text


HOLDS: Final = Holds(image_attributes=None, faces=False, accepts=_accepts)

_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_INTEGER: Final = re.compile(r"0|-?[1-9]\d{0,17}")


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read a CSV of labels.

    Args:
        path: The CSV, or a folder with one CSV.
        images: The folder of images; by default the one that holds the CSV.
        on_malformed: Takes the error of each malformed row, which is left out; by default the first
            one is raised.

    Yields:
        One record a row, without faces.

    Raises:
        DatasetError: If a row is malformed or an image is there twice, with file, line and reason.
    """
    file = _csv_of(Path(path))
    root = file.parent if images is None else Path(images)
    rows = headed_rows(file, on_malformed)
    header = next(rows)
    column = _name_column(file, header)
    seen: set[str] = set()
    for row in rows:
        source = Provenance(str(file), row.line)
        try:
            name = _new_name(row.cells.pop(column), seen, source)
        except DatasetError as error:
            on_malformed(error)
            continue
        name, repairs = _suffixed(name, root, source)
        attributes = {key: _value(text) for key, text in row.cells.items() if text}
        yield ImageRecord(
            name=name, root=root, attributes=attributes or EMPTY, source=source, repairs=repairs
        )


def _new_name(text: str, seen: set[str], source: Provenance) -> str:
    """Return an image's name, and remember it; refuse one that is unsafe or there twice."""
    name = safe_name(text, source.file, source.line)
    if name in seen:
        reason = f"{name} is there twice; labels are of whole images"
        raise DatasetError(source.file, source.line, reason)
    seen.add(name)
    return name


def _csv_of(place: Path) -> Path:
    """Return the CSV of a folder."""
    if not place.is_dir():
        return place
    found = sorted(place.glob("*.csv"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DatasetError(place, None, f"the folder must have one CSV, got {names}; name the file")
    return found[0]


def _name_column(file: Path, header: Row) -> str:
    """Return the column that names the image."""
    lowered = {column.lower(): column for column in reversed(header.cells)}
    for name in _NAMES:
        if name.lower() in lowered:
            return lowered[name.lower()]
    raise DatasetError(file, header.line, f"no column is named {' or '.join(_NAMES)}")


def _suffixed(name: str, root: Path, source: Provenance) -> tuple[str, tuple[Repair, ...]]:
    """Complete a name that is given without its suffix."""
    if Path(name).suffix.lower() in _SUFFIXES or (root / name).is_file():
        return name, ()
    for suffix in _SUFFIXES:
        if (root / (name + suffix)).is_file():
            full = name + suffix
            return full, (Repair("added-suffix", source, f"{name!r} is taken for {full!r}"),)
    return name, ()


def _value(text: str) -> Value:
    """Return a cell's value."""
    if text in ("True", "False"):
        return text == "True"
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if repr(number) == text and number - number == 0 else text


def write(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write a CSV of labels; its columns are all attributes of all images.

    Args:
        records: Any stream of records; it is read once and kept on disk until its end, when the
            columns are known.
        path: The CSV.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If a name or value cannot be written, or an attribute is named as the images.
    """
    with (
        atomic.atomic_path(path) as temporary,
        tempfile.TemporaryFile("w+", encoding="utf-8") as spool,
    ):
        columns = _spooled(records, spool, path)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [NAME, *columns], lineterminator="\n")
            writer.writeheader()
            spool.seek(0)
            writer.writerows(map(json.loads, spool))


def _spooled(
    records: Iterable[ImageRecord], spool: IO[str], path: str | os.PathLike[str]
) -> list[str]:
    """Keep the rows on disk; return the attributes in the order of their first use."""
    columns: dict[str, None] = {}
    for record in records:
        for name, value in record.attributes.items():
            if name.lower() in {one.lower() for one in _NAMES}:
                raise DatasetError(path, None, f"{record.name}: an attribute is named {name!r}")
            for text in (name, str(value)):
                _check_cell(text, record, path)
            columns[name] = None
        _check_cell(record.name, record, path)
        row = {name: str(value) for name, value in record.attributes.items()}
        spool.write(json.dumps({NAME: record.name, **row}) + "\n")
    return list(columns)


def _check_cell(text: str, record: ImageRecord, path: str | os.PathLike[str]) -> None:
    """Refuse text that would not be read back."""
    if not _is_cell(text):
        raise DatasetError(path, None, f"{record.name}: a cell cannot hold {text!r}")
