"""The signals that end a run: caught, remembered and given back."""

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from facekit.training.stopping import StopSignals

BOTH = [signal.SIGINT, signal.SIGTERM]


def handler(number: signal.Signals) -> Callable[[int, Any], None]:
    """What Python calls when the signal comes; sent for real, it could reach these tests late."""
    found = signal.getsignal(number)
    assert callable(found)
    return found


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_remembered_and_no_more(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    signals = StopSignals()
    assert signal.getsignal(number) is before
    signals.catch()
    try:
        assert not signals.asked
        handler(number)(number, None)
        assert signals.asked
    finally:
        signals.release()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("first", BOTH)
def test_a_second_ctrl_c_does_not_wait(first: signal.Signals) -> None:
    signals = StopSignals()
    signals.catch()
    try:
        handler(first)(first, None)
        handler(signal.SIGTERM)(signal.SIGTERM, None)
        with pytest.raises(KeyboardInterrupt):
            handler(signal.SIGINT)(signal.SIGINT, None)
    finally:
        signals.release()


def test_outside_the_main_thread_there_is_nothing_to_catch() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    signals = StopSignals()
    seen: list[Any] = []

    def work() -> None:
        signals.catch()
        seen.extend(signal.getsignal(number) for number in BOTH)
        signals.release()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
