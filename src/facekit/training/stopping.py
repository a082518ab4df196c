"""Ctrl-C and SIGTERM end a run after its step, so that it can be gone on with."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["StopSignals"]

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Remembers that the run was asked to stop; a second Ctrl-C does not wait for it.

    Attributes:
        asked: Whether a signal came.
    """

    def __init__(self) -> None:
        """Catch nothing yet."""
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def catch(self) -> None:
        """Begin to catch; outside the main thread there is nothing to catch."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _CAUGHT}

    def release(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
