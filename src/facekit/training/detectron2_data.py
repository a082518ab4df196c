"""Annotated photos as what Detectron2 trains on: dicts, registered under a name of their own."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from detectron2.data import DatasetCatalog, MetadataCatalog
from pydantic import BaseModel, ConfigDict, Field, field_validator

from facekit import datasets
from facekit.datasets.detectron2 import dicts
from facekit.datasets.records import FACE, ImageRecord
from facekit.errors import ConfigError

__all__ = ["Source", "read", "registered"]

Share = Annotated[float, Field(ge=0, le=1)]
_NUMBERS: Final = itertools.count()


class Source(BaseModel):
    """A dataset to train or measure on.

    Attributes:
        data: ``FORMAT:PATH``; ``$VARIABLES`` of the environment are filled in.
        images: The folder of its images, for formats that do not say where they are.
        part: The photos from one share of the dataset to another, in its own order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    images: str | None = None
    part: tuple[Share, Share] = (0.0, 1.0)

    @field_validator("data", "images")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        """Fill the environment's variables in."""
        return None if value is None else os.path.expandvars(value)


def read(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Return Detectron2's dicts of the photos of some datasets; all faces are of one class.

    Args:
        sources: Which.

    Raises:
        DatasetError: If an annotation is malformed.
        ConfigError: If a dataset does not say where its images are.
    """
    found: list[dict[str, Any]] = []
    for source in sources:
        options: dict[str, Any] = {} if source.images is None else {"images": source.images}
        records = list(datasets.read(source.data, **options))
        first, last = (round(share * len(records)) for share in source.part)
        for record, one in zip(records[first:last], dicts(records[first:last]), strict=True):
            found.append({**one, "file_name": _path(record, source), "image_id": len(found)})
            for annotation in one["annotations"]:
                annotation["category_id"] = 0
    return found


def _path(record: ImageRecord, source: Source) -> str:
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
