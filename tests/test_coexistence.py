"""PyTorch and TensorFlow in one process: the interpreter must live on, whatever comes first.

Each story is told in an interpreter of its own, since what it guards against ends the process.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facekit import coexistence

Make = Callable[[str], Path]

NETWORKS = Path(__file__).parent / "data" / "networks"

PROLOGUE = """
import sys, facekit
from facekit.images import read
photo, graph, weights, config = sys.argv[1:]
photo = read(photo)

def tensorflow():
    detector = facekit.create_detector("tfod", weights=graph)
    return len(detector.detect([photo])[0])

def torch():
    detector = facekit.create_detector("mask_rcnn", config=config, weights=weights)
    return len(detector.detect([photo])[0])
"""

# Each prints 1 for a face of TensorFlow's, 2 for one of PyTorch's.
STORIES = {
    "tensorflow first": "print(tensorflow(), 2 * (torch() > 0), tensorflow())",
    "torch first": "print(2 * (torch() > 0), tensorflow(), 2 * (torch() > 0))",
    "the user's own tensorflow first": """
import tensorflow as tf
print(int(tf.constant(1)), 2 * (torch() > 0))
""",
    "in threads": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    jobs = [pool.submit(job) for job in (tensorflow, torch) * 3]
    print(*[min(job.result(), 1) * (1 + i % 2) for i, job in enumerate(jobs)])
""",
}
ENDS = ["1 2 1", "2 1 2", "1 2", "1 2 1 2 1 2"]


@pytest.mark.parametrize(("story", "end"), [*zip(STORIES, ENDS, strict=True)])
def test_the_interpreter_lives_on(
    story: str, end: str, tfod_graph: Make, astronaut_path: Path, require: Callable[[str], object]
) -> None:
    require("torch")
    if importlib.util.find_spec("torchvision") is None:
        require("torchvision")
    network = (NETWORKS / f"mask_rcnn_astronaut.{suffix}" for suffix in ("pkl", "yaml"))
    given = map(str, (astronaut_path, tfod_graph("saved_model_2x"), *network))
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + STORIES[story], *given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == end


def test_without_triton_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, coexistence._LIBRARY, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not coexistence.make_peace()


def test_flags_are_put_back() -> None:
    if not hasattr(os, "RTLD_DEEPBIND"):
        pytest.skip("this system cannot prefer a library's own symbols")
    before = sys.getdlopenflags()
    with coexistence._own_symbols_first():
        assert sys.getdlopenflags() & os.RTLD_DEEPBIND
    assert sys.getdlopenflags() == before
