"""What an adapter would hand to its network, without running it.

Whoever needs a network's inputs, such as a quantiser that measures their ranges, gets them from the
adapter itself, prepared as in use: inside :func:`recording`, adapters are built around engines
that give their first inputs away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facekit.engines import Engine, FloatArray

__all__ = ["first_inputs", "in_place_of", "recording"]

_RECORDING: ContextVar[bool] = ContextVar("facekit_recording", default=False)


class _Taken(Exception):  # noqa: N818 - the aim, no error
    """Brings an engine's inputs out of the adapter that called it."""

    def __init__(self, arrays: tuple[FloatArray, ...]) -> None:
        super().__init__()
        self.arrays = arrays


class _Recorder:
    """Says of itself what the real engine says, and never answers."""

    def __init__(self, engine: Engine) -> None:
        self.metadata: Mapping[str, str] = engine.metadata

    def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
        raise _Taken(arrays)


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Have engines that are made inside record; in this thread alone."""
    token = _RECORDING.set(True)
    try:
        yield
    finally:
        _RECORDING.reset(token)


def in_place_of(engine: Engine) -> Engine:
    """Return an engine, or what records in its place inside :func:`recording`."""
    return _Recorder(engine) if _RECORDING.get() else engine


def first_inputs(call: Callable[[], object]) -> tuple[FloatArray, ...] | None:
    """Call an adapter that was built inside :func:`recording`.

    Args:
        call: Has it answer something.

    Returns:
        What its network would have been given first, ``None`` if it did not need its network.
    """
    try:
        call()
    except _Taken as taken:
        return taken.arrays
    return None
