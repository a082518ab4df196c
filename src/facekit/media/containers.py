"""Is a video file as long as it says? Two containers' outermost sizes, read directly.

OpenCV ends a truncated video as it ends a whole one, and its frame count is often an estimate;
the container's own sizes are exact.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["is_truncated"]

_ISO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".3gp"})
_HEADER = 8


def is_truncated(path: Path) -> bool:
    """Whether a file is shorter than its container's outermost sizes add up to.

    Args:
        path: A video file. ISO base media (``.mp4``, ``.mov``) and RIFF (``.avi``) are checked;
            of other containers the answer is no.
    """
    suffix = path.suffix.lower()
    length = path.stat().st_size
    with path.open("rb") as file:
        if suffix in _ISO_SUFFIXES:
            return any(end > length for end in _iso_box_ends(file))
        if suffix == ".avi":
            return any(end > length for end in _riff_chunk_ends(file))
    return False


def _iso_box_ends(file: BinaryIO) -> Iterator[int]:
    """Yield where each outermost box of an ISO base media file ends (ISO/IEC 14496-12, 4.2)."""
    start = 0
    while len(header := _read_at(file, start, 2 * _HEADER)) >= _HEADER:
        (size,) = struct.unpack(">I", header[:4])
        if size == 1 and len(header) == 2 * _HEADER:
            (size,) = struct.unpack(">Q", header[_HEADER:])
        if size < _HEADER:  # 0: the last box, up to the end of the file
            return
        start += size
        yield start


def _riff_chunk_ends(file: BinaryIO) -> Iterator[int]:
    """Yield where each outermost RIFF chunk of an AVI file ends (OpenDML has several)."""
    start = 0
    while (header := _read_at(file, start, _HEADER))[:4] == b"RIFF" and len(header) == _HEADER:
        (size,) = struct.unpack("<I", header[4:])
        start += _HEADER + size + size % 2
        yield start


def _read_at(file: BinaryIO, start: int, count: int) -> bytes:
    """Read up to ``count`` bytes from ``start``."""
    file.seek(start)
    return file.read(count)
