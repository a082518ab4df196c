"""MMDetection's CocoDataset: COCO's JSON, as MMDetection reads it.

The file is that of :mod:`facekit.datasets.coco`. MMDetection takes an ``iscrowd`` as a region to
ignore, passes over boxes of less than one pixel, and finds categories by name: name them in the
configuration's ``metainfo=dict(classes=("face",))``. Its models with masks want a segmentation of
every face, so the outline of the box is written where there is none. The other flavour, one XML
an image, is :mod:`facekit.datasets.mmdet_voc`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from facekit.datasets import coco
from facekit.datasets.coco_objects import outline
from facekit.datasets.records import FaceRecord, ImageRecord

__all__ = ["HOLDS", "read", "write"]

HOLDS: Final = coco.HOLDS


def read(
    path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None
) -> Iterator[ImageRecord]:
    """Read COCO's JSON; a polygon that is only the outline of its box counts as none.

    Args:
        path: The JSON file.
        images: The folder of images; by default the one that holds the JSON.

    Yields:
        One record an image, in the file's order.

    Raises:
        DatasetError: If the file is malformed, with file, line and reason.
    """
    for record in coco.read(path, images=images):
        yield record.replace(faces=tuple(map(_without_outline, record.faces)))


def _without_outline(face: FaceRecord) -> FaceRecord:
    """Return the face without the polygon that :func:`write` adds."""
    added = face.polygons == (tuple(outline(face.box)),)
    return dataclasses.replace(face, polygons=None) if added else face


def write(
    records: Iterable[ImageRecord],
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
) -> None:
    """Write COCO's JSON with a segmentation of every face.

    Args:
        records: Any stream of records; see :func:`facekit.datasets.coco.write`.
        path: The JSON file.
        labels: Every category, in the order of their ids.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: As of :func:`facekit.datasets.coco.write`.
    """
    coco.write(records, path, labels=labels, rectangles=True)
