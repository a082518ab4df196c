"""Files that appear whole or not at all.

A killed run leaves the old file or the new one, never half of one: everything is written to a
temporary file in the target's own folder and then renamed over it (``os.replace`` is atomic
within one file system).
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from facekit.errors import OutputError

__all__ = ["atomic_path", "check_writable", "write_bytes", "write_text"]


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Check at the door that a file can be written, before any work is done.

    Args:
        path: The file to be written.

    Returns:
        The path.

    Raises:
        OutputError: If the folder does not exist, the path is a folder, or writing is not allowed.
    """
    target = Path(path)
    if not target.parent.is_dir():
        message = f"{target}: the folder {str(target.parent)!r} does not exist; create it first"
        raise OutputError(message)
    if target.is_dir():
        message = f"{target}: is a folder; give the name of a file"
        raise OutputError(message)
    if not os.access(target.parent, os.W_OK) or (
        target.exists() and not os.access(target, os.W_OK)
    ):
        message = f"{target}: may not be written; choose another place or change its permissions"
        raise OutputError(message)
    return target


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path that replaces ``path`` when the block ends without an error.

    The temporary file keeps the target's suffix, because encoders choose the format by it.

    Args:
        path: The file to be written.

    Yields:
        A path in the same folder, to be written by the caller.

    Raises:
        OutputError: If the target cannot be written.
    """
    target = check_writable(path)
    temporary = target.with_name(f".part-{uuid.uuid4().hex}{target.suffix}")
    try:
        # Created here, so that a folder that refuses files says so before the caller's work.
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        message = f"{target}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` atomically.

    Args:
        path: The file to be written.
        data: Its whole content.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with Unix line ends.

    Args:
        path: The file to be written.
        text: Its whole content.

    Raises:
        OutputError: If the file cannot be written.
    """
    write_bytes(path, text.encode())
