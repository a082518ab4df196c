"""Memory that a training run holds from step to step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from facekit import memory


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's malloc has these options")
def test_a_run_on_the_cpu_holds_its_memory_unless_told_not_to(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    if memory._glibc() is None:
        pytest.skip("this C library is not glibc")
    told: list[int] = []
    monkeypatch.setattr(memory, "_set", lambda _, options: told.append(options[memory._MMAP_MAX]))
    tiny("held", epochs=1)
    assert told == [0, memory._DEFAULTS[memory._MMAP_MAX]]
    tiny("not", epochs=1, hold_memory=False)
    assert len(told) == 2
