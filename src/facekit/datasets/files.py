"""Annotation files opened so that whatever is wrong with them is a :class:`DatasetError`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from facekit.errors import DatasetError

__all__ = ["open_bytes", "open_text"]


@contextlib.contextmanager
def open_text(
    path: str | os.PathLike[str], *, encoding: str = "utf-8-sig", newline: str | None = None
) -> Iterator[IO[str]]:
    """Open a text file; errors while the block reads it are told too.

    Args:
        path: The file.
        encoding: By default UTF-8, with or without a byte order mark.
        newline: As of :func:`open`.

    Yields:
        The open file.

    Raises:
        DatasetError: If it is missing, a folder, unreadable or in another encoding.
    """
    with _explained(path), Path(path).open(encoding=encoding, newline=newline) as file:
        yield file


@contextlib.contextmanager
def open_bytes(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file of bytes; errors while the block reads it are told too.

    Args:
        path: The file.

    Yields:
        The open file.

    Raises:
        DatasetError: If it is missing, a folder or unreadable.
    """
    with _explained(path), Path(path).open("rb") as file:
        yield file


@contextlib.contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the errors of reading into one line."""
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(path, None, "no such file") from None
    except IsADirectoryError:
        raise DatasetError(path, None, "is a folder, not a file") from None
    except UnicodeDecodeError as error:
        raise DatasetError(path, None, f"not {error.encoding} text: {error.reason}") from error
    except OSError as error:
        raise DatasetError(path, None, f"cannot be read: {error.strerror or error}") from error
