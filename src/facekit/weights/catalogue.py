"""The catalogue of known weights: what exists, where it lies, which hash it must have."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from facekit.config import validate_options
from facekit.errors import ConfigError, UnknownNameError, WeightsError, nearest
from facekit.weights.entry import Announce, Status, WeightsEntry, sha256
from facekit.weights.first_download import recorded

if TYPE_CHECKING:
    from facekit.weights.download import Retries

__all__ = ["CACHE_VARIABLE", "Catalogue"]

CACHE_VARIABLE = "FACEKIT_CACHE"
"""Environment variable that names the folder of downloaded weights."""


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

    def expected(self, name: str) -> str | None:
        """Return the hash that an entry's file must have.

        Returns:
            The entry's own, or that of its first download; ``None`` before that.

        Raises:
            UnknownNameError: If the name is unknown.
            WeightsError: If the record of the first download is damaged.
        """
        entry = self.entry(name)
        return recorded(self.path(name)) if entry.trust_first_download else entry.sha256

    def verify(self, name: str) -> Status:
        """Say whether an entry's file is there and has the right hash.

        Raises:
            UnknownNameError: If the name is unknown.
            WeightsError: If the file cannot be read, or the record of its first download.
        """
        path, expected = self.path(name), self.expected(name)
        if not path.is_file():
            return Status.ABSENT
        if expected is None:
            return Status.UNRECORDED
        return Status.OK if sha256(path) == expected else Status.DAMAGED

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
