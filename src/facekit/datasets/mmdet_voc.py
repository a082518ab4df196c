"""MMDetection's WIDERFaceDataset: PASCAL VOC's XML in a layout and a frame of its own.

::

    train.txt                                       one line an image: its name without suffix
    WIDER_train/0--Parade/0_Parade_849.jpg
    WIDER_train/Annotations/0_Parade_849.xml        <folder>0--Parade</folder>

Here pixels count from 0, and a box covers ``xmin .. xmax`` as it stands. The XML files of all
folders share one, so that an image's file name must be unique; and MMDetection opens images whose
names end in ``.jpg``, no others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from facekit.datasets import voc
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import ImageRecord, safe_name
from facekit.datasets.voc_xml import Style, read_annotation
from facekit.errors import DatasetError

__all__ = ["HOLDS", "read", "write"]

HOLDS: Final = voc.HOLDS

_STYLE: Final = Style(first=0, folder=True)


def read(
    path: str | os.PathLike[str],
    *,
    split: str = "train",
    images: str | os.PathLike[str] | None = None,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read the dataset of an MMDetection configuration.

    Args:
        path: Its ``data_root``.
        split: Which ``<split>.txt``.
        images: The folder of images; by default ``WIDER_<split>``.
        on_malformed: Takes the error of each malformed file, which is left out; by default the
            first one is raised.

    Yields:
        One record an image, in the order of the list.

    Raises:
        DatasetError: If a file is malformed, with file, line and reason.
    """
    folder = Path(path) / f"WIDER_{split}"
    root = folder if images is None else Path(images)
    for file in voc.listed(Path(path) / f"{split}.txt", folder / "Annotations", on_malformed):
        try:
            record = read_annotation(file, PurePosixPath(), root, _STYLE)
        except DatasetError as error:
            on_malformed(error)
        else:
            yield record


def write(
    records: Iterable[ImageRecord], path: str | os.PathLike[str], *, split: str = "train"
) -> None:
    """Write XML files and their list; each file is replaced whole, the list last.

    Args:
        records: Any stream of records; see :func:`facekit.datasets.voc.write`.
        path: The ``data_root`` of the configuration. Images are not copied.
        split: The name of the list, and of the folder ``WIDER_<split>``.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: If the size of an image is not known, or two images have one file name.
    """
    folder = Path(path)
    names = ((record, PurePosixPath(safe_name(record.name, path)).stem) for record in records)
    annotations = folder / f"WIDER_{split}" / "Annotations"
    voc.write_files(names, annotations, folder / f"{split}.txt", _STYLE)
