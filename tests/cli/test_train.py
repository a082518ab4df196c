"""``facekit train`` at its door: one line and exit code 2, whatever is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Facekit = Callable[..., Result]
Require = Callable[[str], Any]

TESTS = Path(__file__).parents[1] / "training"


@pytest.fixture
def config(tmp_path: Path, require: Require, monkeypatch: pytest.MonkeyPatch) -> Path:
    for package in ("torch", "torchvision", "lightning", "tensorboard", "safetensors"):
        require(package)
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "recipe: tiny_recipe:TinyRecipe\nepochs: 1\nbatch_size: 8\nworkers: 0\naccelerator: cpu\n"
    )
    return path


def test_a_run_and_its_folder(facekit: Facekit, config: Path) -> None:
    done = facekit("train", config, "--set", "epochs=2", "--out", "mine")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("mine: best error 0.")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("tiny: 24 items, 3 steps of 8 an epoch, cpu x 1")
    assert [line.partition("  ")[0] for line in lines[1:]] == ["epoch 1/2", "epoch 2/2"]
    assert Path("mine", "sheets", "epoch_002.jpg").is_file()
    again = facekit("train", config, "--out", "mine")
    assert again.exit_code == 2
    assert again.stderr.startswith("error: mine: holds a run already")
    longer = facekit("train", "mine", "--resume", "--set", "epochs=3")
    assert longer.exit_code == 0
    assert "on from step 6" in longer.stderr
    assert "epoch 3/3" in longer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epoch=3"], "unknown option 'epoch', did you mean 'epochs'?"),
        (["--set", "crop=3"], "tiny.yaml: unknown option 'crop', did you mean 'crops'"),
        (["--set", "crops=many"], "crops: Input should be a valid integer"),
        (["--set", "crops=0"], "finds nothing to train on"),
        (["--set", "recipe=nothing"], "unknown recipe 'nothing'"),
        (["--set", "recipe=tiny_recipe:Nothing"], "has no attribute 'Nothing'"),
        (["--set", "recipe=tiny_recipe:Crops"], "is not a recipe"),
        (["--set", "precision=16"], "precision 16 needs a GPU"),
        (["--set", "accelerator=abacus"], "abacus"),
        (["--set", "strategy=nothing"], "nothing"),
        (["--out", "tiny.yaml"], "tiny.yaml: is no folder"),
        (["--resume", "--overwrite"], "give one of them"),
    ],
)
def test_what_is_wrong_is_one_line(
    facekit: Facekit, config: Path, arguments: list[str], message: str
) -> None:
    done = facekit("train", config, *arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not done.stdout


def test_a_missing_file_is_one_line(facekit: Facekit) -> None:
    done = facekit("train", "nowhere.yaml")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "nowhere.yaml: cannot be read: No such file or directory" in done.stderr


def test_without_the_extra_its_install_line_is_shown(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("recipe: any.module:Recipe\nepochs: 1\n")
    program = (
        "import sys; sys.modules['lightning'] = None\n"
        "from facekit.cli import main\n"
        f"sys.argv = ['facekit', 'train', {str(config)!r}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert 'run: pip install "facekit[train]"' in line
