"""Hashes recorded at a first download, for weights whose publisher gives none.

What came first is trusted, as by SSH of a host's key; whatever comes later must be the same. The
record lies beside the file, in the format of ``sha256sum``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from facekit import atomic
from facekit.errors import WeightsError

__all__ = ["check_kind", "record_path", "recorded", "write_record"]

_LINE: Final = re.compile(r"([0-9a-f]{64})  \S+\n?")
_CHECKPOINTS: Final = frozenset({".pt", ".pth"})
_STARTS: Final = (b"PK\x03\x04", b"\x80")
"""A zip archive, which PyTorch writes since 1.6, and a pickle, as it wrote before."""


def record_path(path: Path) -> Path:
    """Return where the record of a file lies.

    Args:
        path: The file in the cache.
    """
    return path.with_name(f"{path.name}.sha256")


def recorded(path: Path) -> str | None:
    """Return the hash of a file's first download; ``None`` where there was none.

    Args:
        path: The file in the cache, which need not be there any more.

    Raises:
        WeightsError: If the record cannot be read, or is none.
    """
    record = record_path(path)
    try:
        text = record.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(record, f"cannot be read: {error}") from error
    match = _LINE.fullmatch(text)
    if match is None:
        reason = "is no record of a hash; delete it, and the next download counts as the first"
        raise WeightsError(record, reason)
    return match[1]


def write_record(path: Path, digest: str) -> Path:
    """Record a file's hash.

    Args:
        path: Where the file will lie.
        digest: Its sha256.

    Returns:
        The record.

    Raises:
        OutputError: If it cannot be written.
    """
    record = record_path(path)
    atomic.write_text(record, f"{digest}  {path.name}\n")
    return record


def check_kind(url: str, start: bytes) -> None:
    """Refuse what is no checkpoint before it is trusted: a page, a message.

    Args:
        url: Where it came from.
        start: Its first bytes.

    Raises:
        WeightsError: If the URL names a checkpoint of PyTorch and this is none.
    """
    if Path(url).suffix.lower() in _CHECKPOINTS and not start.startswith(_STARTS):
        raise WeightsError(url, "what came is no checkpoint of PyTorch, and is not kept")
