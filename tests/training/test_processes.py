"""Runs in processes of their own: killed for real, shared by two, stopped from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.usefixtures("training")

Difference = Callable[[Path, Path], float]

TINY = "tiny_recipe:TinyRecipe"


class Start:
    """Starts ``facekit train`` of the tiny recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, out: str, *arguments: str, **changes: Any) -> subprocess.Popen[str]:
        values = {"recipe": TINY, "epochs": 2, "batch_size": 8, "workers": 0, "ema": 0.9}
        values |= {"accelerator": "cpu", "sheets": False, **changes}
        file = self.folder / f"{out}.yaml"
        file.write_text(yaml.safe_dump(values))
        places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
        command: Sequence[str] = [sys.executable, "-m", "facekit", "train", str(file)]
        process = subprocess.Popen(
            [*command, "--out", str(self.folder / out), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.started.append(process)
        return process


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    starter = Start(tmp_path)
    yield starter
    for process in starter.started:
        process.kill()
        process.communicate()


def test_a_run_killed_in_the_middle_goes_on_from_its_last_epoch(
    start: Start, tiny: Any, difference: Difference, tmp_path: Path
) -> None:
    options = {"epochs": 4, "workers": 2, "clip": 1.0}
    undisturbed = tiny("undisturbed", **options)
    # Epochs have three steps: the third is not over.
    killed = start("killed", **options, signal_at=[8, int(signal.SIGKILL)])
    _, errors = killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert "epoch 2/4" in errors
    assert "epoch 3/4" not in errors
    resumed = tiny("killed", **options, resume=True)
    for name in ("state", "last", "best"):
        one, other = (getattr(result.folder, name) for result in (undisturbed, resumed))
        assert difference(one, other) == 0
    log = (tmp_path / "killed" / "log.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in log] == ["epoch", "1", "2", "3", "4"]


def test_two_processes_train_together(
    start: Start, tiny: Any, difference: Difference, tmp_path: Path
) -> None:
    # Plain: batch norms see, and dropout draws for, the batch of one process.
    options = {"epochs": 2, "plain": True}
    together = start("together", **options, devices=2, strategy="ddp")
    printed, errors = together.communicate()
    assert together.returncode == 0, errors
    assert "cpu x 2" in errors
    assert errors.count("epoch 2/2") == 1
    assert printed.startswith(str(tmp_path / "together"))
    alone = tiny("alone", **options)
    other = tmp_path / "together" / "last.safetensors"
    assert difference(alone.folder.last, other) < 1e-6
    assert difference(alone.folder.last, tiny("other", **options, seed=1).folder.last) > 1e-4


def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(start: Start, tmp_path: Path) -> None:
    process = start("stopped", epochs=100_000, workers=1)
    log = tmp_path / "stopped" / "log.csv"
    while process.poll() is None and not log.is_file():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate()
    assert process.returncode == 130, errors
    assert not printed
    (*_, last) = errors.splitlines()
    again = f"go on by: facekit train {tmp_path / 'stopped'} --resume"
    assert last.startswith("interrupted: stopped at step ")
    assert last.endswith(again)
    assert "Traceback" not in errors
