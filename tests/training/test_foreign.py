"""Another framework's loop in a facekit run: its folder, resuming, Ctrl-C, errors."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from facekit.errors import ConfigError, MissingDependencyError, OutputError, TrainingError
from facekit.training import RECIPES, recipes, sources, train

RECIPE = "foreign_recipe:Count"
Count = Callable[..., Any]


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Run the counting recipe in this process; keywords change the configuration."""
    monkeypatch.syspath_prepend(Path(__file__).parent)

    def run(*, resume: bool = False, overwrite: bool = False, **changes: Any) -> Any:
        values = {"recipe": RECIPE, "steps": 3, "out": str(tmp_path / "run"), **changes}
        return train(values, resume=resume, overwrite=overwrite)

    return run


def counted(result: Any) -> int:
    return len(result.weights.read_text())


def test_a_run_its_folder_and_its_result(count: Count, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    result = count(seed=7)
    assert signal.getsignal(signal.SIGINT) is before
    assert (result.step, result.monitor, result.best, result.interrupted) == (3, "count", 3, False)
    assert result.weights == result.folder.work / "count_7.txt"
    assert sorted(path.name for path in result.folder.path.iterdir()) == ["config.yaml", "work"]
    written = yaml.safe_load(result.folder.config.read_text())
    assert written["recipe"] == RECIPE
    assert (written["seed"], written["steps"]) == (7, 3)
    assert sources.read_run(result.folder.path).options == {"steps": 3}
    # Standard output is for results.
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "a framework's banner\n")


def test_a_run_is_gone_on_with_or_replaced_only_when_that_is_said(count: Count) -> None:
    assert counted(count(resume=True)) == 3, "there was nothing to go on with"
    with pytest.raises(OutputError, match="holds a run already"):
        count()
    with pytest.raises(ConfigError, match="all 3 steps are over"):
        count(resume=True)
    assert counted(count(steps=5, resume=True)) == 5
    (count(steps=6, resume=True).folder.work / "more").mkdir()
    assert counted(count(steps=2, overwrite=True)) == 2
    assert not list(Path(count(steps=4, resume=True).folder.work).glob("more"))


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("early", r"^recipe 'count': KeyError: 'a plain exception\\nwith a second line'$"),
        ("late", r"^recipe 'count': ValueError: a plain exception$"),
        ("exit", r"^recipe 'count': SystemExit: 3$"),
    ],
)
def test_what_a_framework_raises_is_one_line(count: Count, fails: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        count(fails=fails)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepps": 3}, "unknown option 'stepps', did you mean 'steps'"),
        ({"batch_size": 3}, r"unknown option 'batch_size'.*knows: fails, signal_at, steps\)"),
        ({"steps": "many"}, "steps: Input should be a valid integer"),
        ({"steps": -1}, "there are no negative ones"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ],
)
def test_nothing_is_written_when_the_configuration_is_wrong(
    count: Count, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        count(**changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"])
def test_further_processes_write_nothing(
    count: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    result = count()
    assert not result.is_first
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv(variable, "0")
    assert count().is_first


# In a process of its own: a signal that comes late, or to another thread, would end these tests.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_its_step(tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "count.yaml"
    config.write_text(f"recipe: {RECIPE}\nsteps: 4\nsignal_at: [2, {int(number)}]\nout: r\n")

    def facekit(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = [str(Path(__file__).parent), *filter(None, sys.path)]
        code = f"import sys; sys.path[:0] = {path}; from facekit.cli import main; main()"
        command = [sys.executable, "-c", code, "train", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    stopped = facekit(str(config))
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr.splitlines()[1:] == [
        "interrupted: stopped at step 2; go on by: facekit train r --resume"
    ]
    done = facekit("r", "--resume", "--set", "signal_at=null")
    assert (done.returncode, done.stdout) == (0, "r: best count 4\n")
    over = facekit("r", "--resume", "--set", "signal_at=null")
    assert over.returncode == 2
    assert over.stderr == "error: all 4 steps are over: give more steps\n"


def test_shipped_recipes_of_other_frameworks_are_what_they_say() -> None:
    assert recipes.FOREIGN.keys() <= RECIPES.keys()
    assert not recipes.is_foreign("ssd")
    assert not recipes.is_foreign("nothing")
    assert not recipes.is_foreign("nowhere:Nothing")


@pytest.mark.parametrize("name", recipes.FOREIGN)
def test_a_missing_framework_is_named_with_its_install_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = recipes.FOREIGN[name]
    module = RECIPES[name].partition(":")[0]
    for package in needs.packages:
        monkeypatch.setitem(sys.modules, package, None)
    for loaded in [one for one in sys.modules if one.startswith(module)]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(MissingDependencyError) as caught:
        recipes.load_foreign(name)
    assert needs.install in str(caught.value)


def test_no_framework_is_imported_by_the_mechanism() -> None:
    code = "import facekit.training, sys; print({'torch', 'lightning'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
