"""Memory held from step to step, counted by what the system had to clear anew."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekit.training import memory
from facekit.training.memory import held_memory

if sys.platform != "linux":
    pytest.skip("only glibc's malloc has these options", allow_module_level=True)

import resource

BLOCK = 64 << 20
PAGE = resource.getpagesize()


@pytest.fixture(autouse=True)
def _no_choice_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    if memory._glibc() is None:
        pytest.skip("this C library is not glibc")


def pages_of_a_block() -> int:
    """Return how many pages the system clears for a block that is written once."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b"x" * BLOCK
    assert block[-1:] == b"x"
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_a_block_taken_again_is_not_cleared_again() -> None:
    with held_memory():
        pages_of_a_block()
        assert pages_of_a_block() < BLOCK // PAGE // 8


def test_the_end_gives_back_what_was_held() -> None:
    with held_memory():
        pages_of_a_block()
        held = resident()
    assert resident() < held - BLOCK // 2


@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_a_choice_of_the_users_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "anything")
    assert memory._glibc() is None
    with held_memory():
        pages_of_a_block()


def test_a_run_on_the_cpu_holds_its_memory_unless_told_not_to(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(memory, "_set", lambda _, options: told.append(options[memory._MMAP_MAX]))
    tiny("held", epochs=1)
    assert told == [0, memory._DEFAULTS[memory._MMAP_MAX]]
    tiny("not", epochs=1, hold_memory=False)
    assert len(told) == 2
