"""A dataset as a training configuration names it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from facekit import datasets
from facekit.datasets.records import ImageRecord
from facekit.errors import DatasetError

__all__ = ["DataSource", "DataSources"]

Share = Annotated[float, Field(ge=0, le=1)]


class DataSource(BaseModel):
    """A dataset.

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

    def read(self) -> Sequence[ImageRecord]:
        """Read the part's records.

        Raises:
            DatasetError: If the annotation is malformed, or there is no photo in the part.
        """
        options: dict[str, Any] = {} if self.images is None else {"images": self.images}
        records = list(datasets.read(self.data, **options))
        first, last = (round(share * len(records)) for share in self.part)
        if first >= last:
            _, _, path = self.data.partition(":")
            raise DatasetError(Path(path), None, f"no photos in its part {self.part}")
        return records[first:last]


def _several(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """Let a dataset be its name alone, and a single one stand without a list."""
    several = [value] if isinstance(value, str | dict) else value
    if not isinstance(several, list | tuple):
        return several
    return [{"data": one} if isinstance(one, str) else one for one in several]


DataSources = Annotated[tuple[DataSource, ...], BeforeValidator(_several)]
"""Several datasets, or one."""
