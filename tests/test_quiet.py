"""Loggers that say nothing but errors for a while."""

from __future__ import annotations

import logging

import pytest

from facekit.quiet import errors_only


def test_only_errors_are_heard_in_the_block(caplog: pytest.LogCaptureFixture) -> None:
    first, second = logging.getLogger("talker.a"), logging.getLogger("talker.b")
    first.setLevel(logging.DEBUG)
    with errors_only("talker.a", "talker.b"):
        first.warning("hint")
        second.error("failed")
    first.debug("again")
    assert caplog.messages == ["failed", "again"]
    assert (first.level, second.level) == (logging.DEBUG, logging.NOTSET)
