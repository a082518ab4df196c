"""Memory that a network on the CPU took, and takes again at the next layer or step.

By default glibc asks the system for every block above 32 MiB, and gives it back when it is freed:
each time the system clears the same blocks anew, page by page, before the network may write them.
Blocks that are held spare that; no number that is computed changes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["held_memory", "keep_memory"]

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MMAP_MAX: Final = -4
_NEVER: Final = -1

_DEFAULTS: Final = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""glibc's own; of its thresholds, which follow the blocks freed so far, the largest."""

_HELD: Final = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER}

_USERS_OWN: Final = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


class _Kept:
    """Whether the process was told to hold its memory for good."""

    told = False


def keep_memory() -> None:
    """Hold freed memory for this process's next use, for as long as it lives.

    Does nothing where `held_memory` does nothing.
    """
    libc = _glibc()
    if libc is not None:
        _set(libc, _HELD)
        _Kept.told = True


@contextlib.contextmanager
def held_memory(*, wanted: bool = True) -> Iterator[None]:
    """Hold freed memory for this process's next use; give it back at the end.

    Where `keep_memory` was told to, what is freed later is held still.

    Does nothing without glibc, and where the environment already chooses how memory is managed.

    Args:
        wanted: Whether to.
    """
    libc = _glibc() if wanted else None
    if libc is None:
        yield
        return
    _set(libc, _HELD)
    try:
        yield
    finally:
        if not _Kept.told:
            _set(libc, _DEFAULTS)
        libc.malloc_trim(0)


def _set(libc: Any, options: dict[int, int]) -> None:  # noqa: ANN401 - a loaded library
    """Set options of malloc."""
    for option, value in options.items():
        libc.mallopt(option, value)


def _glibc() -> Any | None:  # noqa: ANN401 - a loaded library
    """Return the C library, if it is one whose malloc has these options and they are free."""
    if sys.platform != "linux" or any(name.startswith(_USERS_OWN) for name in os.environ):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
