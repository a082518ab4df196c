"""The rows of CSV files, each with its line, from files that nobody vouches for."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from facekit.datasets.files import open_text
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.errors import DatasetError

__all__ = ["Row", "headed_rows"]


class Row(NamedTuple):
    """One row.

    Attributes:
        cells: Its cells by the names of their columns, without blanks around them.
        line: The line that it ends in, from 1.
    """

    cells: dict[str, str]
    line: int


def headed_rows(path: str | os.PathLike[str], on_malformed: OnMalformed = refuse) -> Iterator[Row]:
    """Stream the rows below a header; blank lines are no rows.

    Args:
        path: A CSV file with commas, in UTF-8, with or without a byte order mark.
        on_malformed: Takes the error of each malformed row, which is left out; by default the first
            one is raised.

    Yields:
        The header itself, each cell its own name; then each row.

    Raises:
        DatasetError: If the file is no CSV, a column has no name or the name of another, or a row
            has another number of cells.
    """
    file = str(Path(path))
    header: list[str] = []
    for cells, line in _rows(path, on_malformed):
        if not any(cells):
            continue
        if not header:
            header = cells
            _check_header(header, file, line)
        if len(cells) != len(header):
            reason = f"expected {len(header)} cells as in the header, got {len(cells)}"
            on_malformed(DatasetError(file, line, reason))
            continue
        yield Row(dict(zip(header, cells, strict=True)), line)
    if not header:
        raise DatasetError(file, 1, "the file is empty; its first line names the columns")


def _rows(
    path: str | os.PathLike[str], on_malformed: OnMalformed
) -> Iterator[tuple[list[str], int]]:
    """Stream every row."""
    with open_text(path, newline="") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        refused: OnMalformed = refuse  # without its header nothing of the file is known
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                refused(DatasetError(Path(path), reader.line_num, f"not CSV: {error}"))
                continue
            if cells is None:
                return
            refused = on_malformed
            yield [cell.strip() for cell in cells], reader.line_num


def _check_header(header: list[str], file: str, line: int) -> None:
    """Refuse columns without a name and names that are there twice."""
    if "" in header:
        raise DatasetError(file, line, f"column {header.index('') + 1} has no name")
    if twice := {name for name in header if header.count(name) > 1}:
        raise DatasetError(file, line, f"two columns are named {min(twice)!r}")
