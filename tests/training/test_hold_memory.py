"""Memory that a training run holds from step to step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from facekit import memory


@pytest.mark.usefixtures("free_malloc")
def test_a_run_on_the_cpu_holds_its_memory_unless_told_not_to(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(memory, "_set", lambda _, options: told.append(options[memory._MMAP_MAX]))
    tiny("held", epochs=1)
    assert told == [0, memory._DEFAULTS[memory._MMAP_MAX]]
    tiny("not", epochs=1, hold_memory=False)
    assert len(told) == 2
