"""The bar that a terminal shows, and nothing where nobody watches."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("training")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("screen", "shown"), [(Terminal, True), (io.StringIO, False)])
def test_a_run_shows_how_far_it_is_on_a_terminal(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, screen: type[io.StringIO], shown: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    written = screen()
    monkeypatch.setattr(sys, "stderr", written)
    tiny(epochs=3, progress=True)
    assert ("step 9" in written.getvalue()) is shown
    assert ("100%" in written.getvalue()) is shown
    assert bool(written.getvalue()) is shown
