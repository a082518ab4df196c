"""One known weights file: what the catalogue says of it."""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from facekit.errors import WeightsError
from facekit.registry import Role

__all__ = ["Announce", "Status", "WeightsEntry", "sha256"]

_HASH = r"^[0-9a-f]{64}$"


class WeightsEntry(BaseModel):
    """One known weights file: in the wheel (``file``) or to be downloaded (``url``).

    Attributes:
        name: What users write as ``weights=``.
        backend: The backend that reads it.
        role: The backend's role.
        file: The file's name beside the catalogue, for weights that ship with it.
        url: Where it is published, for weights that are downloaded.
        sha256: Its hash, 64 lower-case hexadecimal digits.
        size: Its size, bytes.
        trust_first_download: Its publisher gives no hash: that of the first download is recorded
            beside it, and later ones must have the same.
        licence: The SPDX expression of its licence, or what its source says of it.
        source: Where it comes from and what it was trained on.
        summary: One line for ``facekit weights list``.
        card: The file name of its model card beside the catalogue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    backend: str
    role: Role
    file: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    url: str | None = Field(default=None, pattern=r"^https?://[^/]+/.*[^/]$")
    sha256: str | None = Field(default=None, pattern=_HASH)
    size: int | None = Field(default=None, gt=0)
    trust_first_download: bool = False
    licence: str = Field(min_length=1)
    source: str
    summary: str
    card: str | None = Field(default=None, pattern=r"^[\w.-]+$")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.url is None):
            message = "an entry has either file (shipped) or url (downloaded)"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _known_bytes(self) -> Self:
        is_known = self.sha256 is not None and self.size is not None
        if self.trust_first_download and (self.bundled or self.sha256 is not None):
            message = "trust_first_download is for files with a url and without a sha256"
            raise ValueError(message)
        if not self.trust_first_download and not is_known:
            message = "an entry has sha256 and size, or trust_first_download"
            raise ValueError(message)
        return self

    @property
    def bundled(self) -> bool:
        """Whether the file ships with the catalogue."""
        return self.file is not None

    @property
    def cache_name(self) -> str:
        """The file's name in the cache; with a hash's start, so that versions never meet."""
        version = self.sha256 or hashlib.sha256((self.url or "").encode()).hexdigest()
        return f"{version[:12]}-{PurePosixPath(urlsplit(self.url or '').path).name}"


class Status(enum.StrEnum):
    """What stands at an entry's place."""

    OK = "ok"
    ABSENT = "absent"
    DAMAGED = "damaged"
    UNRECORDED = "without the record of its first download"


Announce = Callable[[WeightsEntry], None]
"""Called before a download, to show the entry's licence."""


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file.

    Args:
        path: Any file.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        WeightsError: If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(path, f"cannot be read: {error.strerror or error}") from error
