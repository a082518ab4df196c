"""The catalogue of known weights: what exists, where it lies, which hash it must have."""

from __future__ import annotations

import enum
import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from facekit.config import validate_options
from facekit.errors import ConfigError, UnknownNameError, WeightsError, nearest
from facekit.registry import Role

if TYPE_CHECKING:
    from facekit.weights.download import Retries

__all__ = ["CACHE_VARIABLE", "Announce", "Catalogue", "Status", "WeightsEntry", "sha256"]

CACHE_VARIABLE = "FACEKIT_CACHE"
"""Environment variable that names the folder of downloaded weights."""

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
    sha256: str = Field(pattern=_HASH)
    size: int = Field(gt=0)
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

    @property
    def bundled(self) -> bool:
        """Whether the file ships with the catalogue."""
        return self.file is not None

    @property
    def cache_name(self) -> str:
        """The file's name in the cache; with the hash's start, so that versions never meet."""
        return f"{self.sha256[:12]}-{PurePosixPath(urlsplit(self.url or '').path).name}"


class Status(enum.StrEnum):
    """What stands at an entry's place."""

    OK = "ok"
    ABSENT = "absent"
    DAMAGED = "damaged"


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


class Catalogue:
    """Known weights.

    Attributes:
        entries: By name, in the order of the catalogue's file; read-only.
    """

    entries: Mapping[str, WeightsEntry]

    def __init__(self, entries: Mapping[str, WeightsEntry], folder: Path) -> None:
        """Take checked entries; :meth:`load` reads them from a file.

        Args:
            entries: By name.
            folder: Where the shipped files lie.
        """
        self.entries = MappingProxyType(dict(entries))
        self._folder = folder

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a catalogue.

        Args:
            path: A TOML file with one table a name; shipped files lie beside it.

        Raises:
            ConfigError: If the file is missing or malformed, or an entry is wrong.
        """
        file = Path(path)
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            message = f"{file}: cannot be read: {error.strerror or error}"
            raise ConfigError(message) from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            message = f"{file}: not valid TOML: {error}"
            raise ConfigError(message) from error
        entries = {}
        for name, table in tables.items():
            if not isinstance(table, dict):
                message = f"{file}: {name}: expected a table [{name}]"
                raise ConfigError(message)
            owner = f"{file}: [{name}]"
            entries[name] = validate_options(WeightsEntry, {"name": name, **table}, owner)
        return cls(entries, file.parent)

    def entry(self, name: str) -> WeightsEntry:
        """Return the entry of a name.

        Raises:
            UnknownNameError: If the name is unknown; the nearest are in the message.
        """
        if name not in self.entries:
            raise UnknownNameError("weights", name, self.entries)
        return self.entries[name]

    def path(self, name: str) -> Path:
        """Return where an entry's file lies, or will lie once it is downloaded.

        Raises:
            UnknownNameError: If the name is unknown.
        """
        entry = self.entry(name)
        if entry.file is not None:
            return self._folder / entry.file
        return _cache_folder() / entry.cache_name

    def verify(self, name: str) -> Status:
        """Say whether an entry's file is there and has the right hash.

        Raises:
            UnknownNameError: If the name is unknown.
            WeightsError: If the file cannot be read.
        """
        path = self.path(name)
        if not path.is_file():
            return Status.ABSENT
        return Status.OK if sha256(path) == self.entry(name).sha256 else Status.DAMAGED

    def fetch(
        self,
        name: str,
        *,
        progress: bool = True,
        announce: Announce | None = None,
        retries: Retries | None = None,
    ) -> Path:
        """Return an entry's file, checked; download it if it is not there or damaged.

        Args:
            name: The entry.
            progress: Whether to show a progress bar on standard error.
            announce: Called before a download, to show the licence; by default it is logged.
            retries: How patient to be with the server.

        Raises:
            UnknownNameError: If the name is unknown.
            WeightsError: If a shipped file is missing or damaged, or a download fails, or is
                needed while ``FACEKIT_OFFLINE`` is set.
            OutputError: If the cache folder cannot be written.
        """
        entry, path, status = self.entry(name), self.path(name), self.verify(name)
        if status is Status.OK:
            return path
        if not entry.bundled:
            from facekit.weights.download import download  # noqa: PLC0415 - pooch only if needed

            return download(entry, path, progress=progress, announce=announce, retries=retries)
        if status is Status.ABSENT:
            raise WeightsError(path, f"the shipped weights {name!r} are missing; reinstall facekit")
        reason = f"the shipped weights {name!r} are damaged; reinstall facekit"
        raise WeightsError(path, reason, expected=entry.sha256, actual=sha256(path))

    def resolve(
        self, weights: str | os.PathLike[str] | None, *, default: str, sha256: str | None = None
    ) -> Path:
        """Turn what a user wrote as ``weights=`` into a checked file.

        Args:
            weights: A file, or a name of the catalogue (a file of that name wins), or ``None``.
            default: The entry that ``None`` stands for.
            sha256: The hash that the file must have, any case.

        Returns:
            An existing file. Entries of the catalogue have their own hash checked as well.

        Raises:
            WeightsError: If there is no such file or name, or its hash is wrong.
            OutputError: If it is to be downloaded and the cache folder cannot be written.
        """
        path = self._find(default if weights is None else os.fspath(weights), weights is None)
        if sha256 is not None:
            _check(path, sha256.lower())
        return path

    def _find(self, weights: str, is_default: bool) -> Path:  # noqa: FBT001 - private
        """Return the file of a path or a name.

        Raises:
            WeightsError: If it is neither.
        """
        file = Path(weights)
        try:
            is_file, is_folder = file.is_file(), file.is_dir()
        except OSError as error:
            raise WeightsError(file, f"cannot be read: {error.strerror}") from error
        if is_file and not is_default:
            return file
        if weights in self.entries:
            return self.fetch(weights)
        if is_folder:
            raise WeightsError(file, "is a folder; give the weights file in it")
        close = nearest(weights, self.entries)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        known = ", ".join(self.entries) or "none"
        raise WeightsError(weights, f"no such file, and no known weights: {hint}known: {known}")


def _check(path: Path, expected: str) -> None:
    """Refuse a file of another hash.

    Raises:
        WeightsError: With both hashes.
    """
    actual = sha256(path)
    if actual != expected:
        reason = "not the expected file; check where it came from, or correct the sha256 option"
        raise WeightsError(path, reason, expected=expected, actual=actual)


def _cache_folder() -> Path:
    """Return the folder of downloaded weights; it may not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE, "")
    if chosen:
        return Path(chosen).expanduser()
    import pooch  # noqa: PLC0415 - imports requests; most runs download nothing

    return Path(pooch.os_cache("facekit"))
