"""PASCAL VOC: one XML an image.

::

    Annotations/2007/000001.xml
    ImageSets/Main/trainval.txt        one line an image: 2007/000001
    JPEGImages/2007/000001.jpg

VOC counts pixels from 1 and includes the last one: a box of facekit's ``x1 .. x2`` is written as
``xmin = x1 + 1``, ``xmax = x2``, and read by the inverse. ``difficult`` is facekit's ``ignore``.
A document type declaration, and with it every entity, is refused.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from facekit import atomic
from facekit.datasets.files import open_text
from facekit.datasets.folders import made
from facekit.datasets.formats import Holds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import ImageRecord, safe_name
from facekit.datasets.voc_xml import (
    DEFAULTS,
    FLAGS,
    Style,
    accepts,
    annotation,
    read_annotation,
)
from facekit.errors import DatasetError

__all__ = ["HOLDS", "listed", "read", "write", "write_files"]

HOLDS: Final = Holds(
    fields=frozenset({"label", "ignore", "size"}),
    face_attributes=frozenset({*FLAGS, "view"}),
    decimals=0,
    sized=True,
    face_defaults=DEFAULTS,
    accepts=accepts,
)

_STYLE: Final = Style()
_ANNOTATIONS, _IMAGES, _SETS = "Annotations", "JPEGImages", "ImageSets/Main"
_CLASS_FLAG: Final = re.compile(r"\s+-?[01]$")  # what the lists of one class add to each line


def read(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    images: str | os.PathLike[str] | None = None,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read PASCAL VOC.

    Args:
        path: The dataset's folder, any folder of XML files, or one XML.
        split: The list of ``ImageSets/Main`` to read; by default the only one there, and where
            there are none or several, every XML, sorted by name.
        images: The folder of images; by default ``JPEGImages``, or beside the XML files.
        on_malformed: Takes the error of each malformed file, which is left out; by default the
            first one is raised.

    Yields:
        One record an image.

    Raises:
        DatasetError: If a file is malformed, with file, line and reason.
    """
    place = Path(path)
    if place.is_file():
        root = place.parent if images is None else Path(images)
        yield read_annotation(place, PurePosixPath(), root, _STYLE)
        return
    named = (place / _ANNOTATIONS).is_dir()
    folder = place / _ANNOTATIONS if named else place
    default = place / _IMAGES if named else place
    root = default if images is None else Path(images)
    for file in _files(place, folder, split, on_malformed):
        inside = PurePosixPath(file.parent.relative_to(folder).as_posix())
        try:
            record = read_annotation(file, inside, root, _STYLE)
        except DatasetError as error:
            on_malformed(error)
        else:
            yield record


def _files(
    place: Path, folder: Path, split: str | None, on_malformed: OnMalformed
) -> Iterator[Path]:
    """Yield the XML files of a split."""
    lists = sorted((place / _SETS).glob("*.txt"))
    if split is not None:
        yield from listed(place / _SETS / f"{split}.txt", folder, on_malformed)
    elif len(lists) == 1:
        yield from listed(lists[0], folder, on_malformed)
    else:
        found = iter(sorted(folder.rglob("*.xml")))
        first = next(found, None)
        if first is None:
            raise DatasetError(place, None, "the folder has no XML files")
        yield from itertools.chain([first], found)


def listed(file: Path, folder: Path, on_malformed: OnMalformed = refuse) -> Iterator[Path]:
    """Yield the XML files that a list names, one line an image.

    Args:
        file: The list.
        folder: The folder of XML files.
        on_malformed: Takes the error of a line whose name is unsafe or whose XML is missing.

    Raises:
        DatasetError: If a name is unsafe or its XML is missing.
    """
    with open_text(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = _listed_file(line.strip(), file, number, folder)
            except DatasetError as error:
                on_malformed(error)
            else:
                yield found


def _listed_file(line: str, file: Path, number: int, folder: Path) -> Path:
    """Return the XML that a line names."""
    found = folder / f"{safe_name(line, file, number)}.xml"
    short = _CLASS_FLAG.sub("", line)
    if not found.is_file() and short != line:
        found = folder / f"{safe_name(short, file, number)}.xml"
    if not found.is_file():
        raise DatasetError(file, number, f"there is no {found}")
    return found


def write(
    records: Iterable[ImageRecord], path: str | os.PathLike[str], *, split: str = "trainval"
) -> None:
    """Write PASCAL VOC's XML files and their list; each file is replaced whole, the list last.

    Args:
        records: Any stream of records. Coordinates are rounded to whole pixels. The size of an
            image that has none is read from its header.
        path: The dataset's folder; made where it is missing. Images are not copied.
        split: The name of the list in ``ImageSets/Main``.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: If the size of an image is not known, a text or flag cannot be written, or
            two images need one file.
    """
    folder = Path(path)
    names = (
        (record, str(PurePosixPath(safe_name(record.name, path)).with_suffix("")))
        for record in records
    )
    write_files(names, folder / _ANNOTATIONS, folder / _SETS / f"{split}.txt", _STYLE)


def write_files(
    records: Iterable[tuple[ImageRecord, str]], folder: Path, names: Path, style: Style
) -> None:
    """Write an XML for each image, and the list of them.

    Args:
        records: Images, each with the name of its XML, without suffix.
        folder: The folder of XML files.
        names: The list.
        style: Which flavour.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: As of :func:`write`.
    """
    written: set[str] = set()
    made(names.parent)
    with atomic.atomic_path(names) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for record, given in records:
            name = safe_name(given, folder)
            if len(name.splitlines()) != 1:
                raise DatasetError(folder, None, f"a list of lines cannot hold the name {name!r}")
            text = annotation(record, folder, style)
            if name in written:
                reason = f"{record.name}: another image is already written as {name}.xml"
                raise DatasetError(folder, None, reason)
            written.add(name)
            atomic.write_text(
                made((folder / name).parent) / f"{PurePosixPath(name).name}.xml", text
            )
            lines.write(f"{name}\n")
