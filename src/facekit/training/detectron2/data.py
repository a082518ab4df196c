"""Annotated photos as what Detectron2 trains on: dicts, registered under a name of their own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from detectron2.data import DatasetCatalog, MetadataCatalog

from facekit.datasets.detectron2 import dicts
from facekit.datasets.records import FACE, ImageRecord
from facekit.errors import ConfigError
from facekit.training.data_source import DataSource

__all__ = ["read", "registered"]

_NUMBERS: Final = itertools.count()


def read(sources: Sequence[DataSource]) -> list[dict[str, Any]]:
    """Return Detectron2's dicts of the photos of some datasets; all faces are of one class.

    Args:
        sources: Which.

    Raises:
        DatasetError: If an annotation is malformed.
        ConfigError: If a dataset does not say where its images are.
    """
    found: list[dict[str, Any]] = []
    for source in sources:
        records = source.read()
        for record, one in zip(records, dicts(records), strict=True):
            found.append({**one, "file_name": _path(record, source), "image_id": len(found)})
            for annotation in one["annotations"]:
                annotation["category_id"] = 0
    return found


def _path(record: ImageRecord, source: DataSource) -> str:
    """Return where an image is.

    Raises:
        ConfigError: If nobody knows, or there is no such file: Detectron2 would say so only when
            it comes to it.
    """
    path = record.path
    if path is None or record.data is not None:
        raise ConfigError(f"{source.data}: does not say where its images are: give `images`")
    if not path.is_file():
        raise ConfigError(f"{source.data}: no such image: {path}")
    return str(path)


@contextlib.contextmanager
def registered(photos: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Register photos while a block runs.

    Args:
        photos: As of `read`.

    Yields:
        The name to use in ``DATASETS``.
    """
    name = f"facekit_{next(_NUMBERS)}"
    DatasetCatalog.register(name, lambda: list(photos))
    MetadataCatalog.get(name).set(thing_classes=[FACE])
    try:
        yield name
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
