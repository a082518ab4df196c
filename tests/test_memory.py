"""Memory held from step to step, counted by what the system had to clear anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facekit import memory
from facekit.memory import held_memory

if sys.platform != "linux":
    pytest.skip("only glibc's malloc has these options", allow_module_level=True)

import resource

BLOCK = 64 << 20
PAGE = resource.getpagesize()


pytestmark = pytest.mark.usefixtures("free_malloc")


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


KEPT = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from facekit.memory import held_memory, keep_memory
from tests.test_memory import BLOCK, PAGE, pages_of_a_block
keep_memory()
pages_of_a_block()
assert pages_of_a_block() < BLOCK // PAGE // 8
with held_memory():
    pages_of_a_block()
pages_of_a_block()
assert pages_of_a_block() < BLOCK // PAGE // 8, "a run that is over does not end it"
"""


def test_memory_is_kept_for_good_where_it_is_asked_for() -> None:
    root = Path(__file__).parents[1]
    # In a process of its own: the others of this one would keep theirs, too.
    done = subprocess.run(
        [sys.executable, "-c", KEPT, str(root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_a_choice_of_the_users_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "anything")
    assert memory._glibc() is None
    with held_memory():
        pages_of_a_block()
