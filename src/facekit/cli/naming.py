"""File names for results: never twice the same, never an input's."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from facekit import atomic
from facekit.errors import OutputError
from facekit.media import Source

__all__ = ["Names", "check_file", "check_folder", "stem_of"]


def _key(path: Path) -> str:
    """Return what two names of one file share, also where case does not tell names apart."""
    return os.path.realpath(path).casefold()


class Names:
    """Hands out file names; each only once."""

    def __init__(self, inputs: Iterable[Path]) -> None:
        """Protect files from being written.

        Args:
            inputs: Files that no result may replace.
        """
        self._taken = {_key(path) for path in inputs}

    def is_taken(self, path: Path) -> bool:
        """Whether a result may not have this name."""
        return _key(path) in self._taken

    def claim(self, folder: Path, stem: str, suffix: str) -> Path:
        """Return a free name: ``stem.suffix``, or ``stem_2.suffix`` and so on.

        Args:
            folder: Where the file will be.
            stem: The wished name.
            suffix: With its dot.
        """
        numbered = (f"{stem}_{number}" for number in itertools.count(2))
        for name in itertools.chain([stem], numbered):
            path = folder / f"{name}{suffix}"
            if not self.is_taken(path):
                self._taken.add(_key(path))
                return path
        raise AssertionError  # pragma: no cover - the names never end


def stem_of(source: Source | Path | None, frame: int | None = None) -> str:
    """Return a file name's stem for what came from a source.

    Args:
        source: The source or its path; ``None`` for a camera.
        frame: The frame's number in a video.
    """
    path = source.path if isinstance(source, Source) else source
    stem = "camera" if path is None else path.stem
    return stem if frame is None else f"{stem}_{frame:06d}"


def check_file(path: Path, names: Names, option: str) -> None:
    """Check at the door that a result can be written.

    Args:
        path: The result's file.
        names: What must not be overwritten.
        option: The option that named it, for messages.

    Raises:
        OutputError: If it is an input, its folder does not exist, or it may not be written.
    """
    if names.is_taken(path):
        message = f"{option} {path}: is one of the inputs, and would be overwritten; name another"
        raise OutputError(message)
    atomic.check_writable(path)
    _probe(path.parent, path)


def check_folder(folder: Path) -> None:
    """Check at the door that files can be written into a folder, which may not exist yet.

    Args:
        folder: An existing folder, or one whose parent exists.

    Raises:
        OutputError: If it is a file, its parent does not exist, or it may not be written.
    """
    if folder.exists() and not folder.is_dir():
        message = f"{folder}: is a file; give a folder for the results of many inputs"
        raise OutputError(message)
    inside = folder / "result" if folder.is_dir() else folder
    atomic.check_writable(inside)
    _probe(inside.parent, folder)


def _probe(folder: Path, target: Path) -> None:
    """Create a file and remove it: permissions alone do not tell what a file system allows.

    Raises:
        OutputError: If that is refused.
    """
    probe = folder / f".part-{uuid.uuid4().hex}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        message = f"{target}: cannot be written: {error.strerror or error}; choose another place"
        raise OutputError(message) from error
