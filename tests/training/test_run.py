"""A run from its configuration to its folder: the same for any workers, stops and resumes."""

from __future__ import annotations

import csv
import importlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekit import read_image
from facekit.errors import OutputError, TrainingError, WeightsError

Difference = Callable[[Path, Path], float]

pytestmark = pytest.mark.usefixtures("training")


def load(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)  # type: ignore[no-any-return, unused-ignore]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_loss_falls_and_the_folder_says_all_of_it(tiny: Any) -> None:
    recipes = importlib.import_module("tiny_recipe")
    result = tiny(epochs=40, optimizer={"lr": 0.02}, sheets=True, repeat=2, validate_every=20)
    folder = result.folder
    log = rows(folder.log)
    assert len(log) == 40
    assert float(log[-1]["loss"]) < 0.3 * float(log[0]["loss"])
    assert [row["epoch"] for row in log if row["error"]] == ["20", "40"]
    assert result.step == 40 * 24 * 2 // 8
    assert result.best == pytest.approx(min(float(r["error"]) for r in log if r["error"]), 1e-4)
    facts = json.loads(folder.best.with_suffix(".json").read_text())
    assert facts["metrics"]["error"] == result.best
    network = recipes.TinyRecipe(recipes.TinyOptions()).network()
    network.load_state_dict(load(folder.best))
    assert read_image(folder.sheet(40)).ndim == 3
    assert list(folder.tensorboard.glob("events.*"))


def test_any_number_of_workers_gives_the_same_weights(tiny: Any, difference: Difference) -> None:
    alone, helped = tiny("alone"), tiny("helped", workers=2)
    assert difference(alone.folder.state, helped.folder.state) == 0
    other = tiny("other", seed=1)
    assert difference(alone.folder.last, other.folder.last) > 0


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "muon"])
def test_a_run_stopped_anywhere_ends_bit_for_bit_where_the_undisturbed_one_does(
    tiny: Any, difference: Difference, name: str
) -> None:
    options = {"optimizer": {"name": name}, "epochs": 3, "channels_last": True, "clip": 1.0}
    undisturbed = tiny("undisturbed", **options)
    stopped = tiny("stopped", **options, signal_at=(5, int(signal.SIGTERM)))
    assert stopped.interrupted
    assert stopped.step == 5
    resumed = tiny("stopped", **options, resume=True)
    assert not resumed.interrupted
    assert difference(undisturbed.folder.state, resumed.folder.state) == 0
    assert difference(undisturbed.folder.best, resumed.folder.best) == 0


def test_long_epochs_are_kept_in_their_middle(tiny: Any, difference: Difference) -> None:
    options = {"seed": 3, "log_every": 1, "keep_minutes": 1e-9}
    undisturbed = tiny("undisturbed", **options)
    with pytest.raises(TrainingError, match="step 3"):
        tiny("failed", **options, broken=5)
    kept = load(undisturbed.folder.path.parent / "failed" / "state.safetensors")
    assert int(kept["network.1.num_batches_tracked"]) == 2
    resumed = tiny("failed", **options, resume=True)
    assert difference(undisturbed.folder.state, resumed.folder.state) == 0


def test_a_run_that_is_there_is_not_overwritten_unasked(tiny: Any) -> None:
    first = tiny(epochs=1)
    with pytest.raises(OutputError, match="holds a run already; go on with it by --resume"):
        tiny(epochs=1)
    # Before any data is read.
    with pytest.raises(OutputError, match="holds a run already"):
        tiny(epochs=1, crops=0)
    again = tiny(epochs=2, overwrite=True)
    assert len(rows(again.folder.log)) == 2
    assert first.step == 3


def test_a_folder_of_something_else_is_left_alone(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        tiny(overwrite=True)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_items(tiny: Any) -> None:
    with pytest.raises(TrainingError, match=r"step 3: the loss is (nan|inf).*crop 5"):
        tiny(broken=5, seed=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_item_that_cannot_be_made_stops_the_run_in_one_line(tiny: Any, workers: int) -> None:
    with pytest.raises(TrainingError, match=r"^nowhere\.jpg: no such file$"):
        tiny(missing=3, workers=workers)


# Eager compiles as far as it goes without a C++ compiler, which takes minutes.
def test_a_killed_worker_is_an_error_that_says_how_to_go_on(tiny: Any) -> None:
    with pytest.raises(TrainingError, match=r"was killed at step \d+, .* --resume$"):
        tiny(deadly=3, workers=1)


@pytest.mark.parametrize("compiler", [False, "eager"])
def test_mixed_precision_and_compiled_networks_train(tiny: Any, compiler: bool | str) -> None:
    result = tiny(precision="bf16", compile=compiler, channels_last=True, epochs=1)
    assert result.step == 3
    assert {str(one.dtype) for one in load(result.folder.last).values()} == {
        "torch.float32",
        "torch.int64",
    }


def test_gradients_are_clipped_whatever_the_optimiser(tiny: Any) -> None:
    options = {"precision": "bf16", "clip": 1e-9, "epochs": 1, "ema": None}
    sgd = {"name": "sgd", "lr": 1.0, "fused": True}
    still = tiny("still", optimizer=sgd, **options).folder.last
    moved = tiny("moved", optimizer=sgd, **{**options, "clip": None}).folder.last
    start = tiny("start", optimizer={**sgd, "lr": 1e-30}, **options).folder.last
    weights = [load(path)["0.weight"] for path in (start, still, moved)]
    assert float((weights[1] - weights[0]).abs().max()) < 1e-7
    assert float((weights[2] - weights[0]).abs().max()) > 1e-3
    assert tiny("adam", optimizer={"fused": True}, **options).step == 3


def test_a_validation_without_the_number_that_decides_is_refused(tiny: Any) -> None:
    message = "'error' decides, but its validation gives nme"
    with pytest.raises(TrainingError, match=message):
        tiny(measures="nme")


def test_weights_of_another_network_are_refused_before_anything_is_written(tiny: Any) -> None:
    first = tiny()
    state = first.folder.state.read_bytes()
    with pytest.raises(WeightsError, match="of another network"):
        tiny(resume=True, plain=True, epochs=9)
    assert first.folder.state.read_bytes() == state


def test_what_is_frozen_stays(tiny: Any) -> None:
    import torch

    result = tiny(frozen=True, epochs=2, ema=None, optimizer={"lr": 0.1})
    start = tiny("start", frozen=True, epochs=2, ema=None, optimizer={"lr": 1e-12})
    moved, still = load(result.folder.last), load(start.folder.last)
    assert torch.equal(moved["0.weight"], still["0.weight"])
    assert not torch.equal(moved["5.weight"], still["5.weight"])


def test_training_ends_when_nothing_gets_better(tiny: Any) -> None:
    stopping = {"patience": 2, "min_delta": 10.0}
    result = tiny(epochs=50, early_stopping=stopping)
    assert result.step == 3 * 3
    assert not result.interrupted


def test_time_ends_a_run_and_its_schedule(tiny: Any) -> None:
    result = tiny(epochs=None, max_minutes=0.03, repeat=20, validate_every=999)
    (*_, last) = rows(result.folder.log)
    assert int(last["step"]) == result.step
    assert last["error"]
    assert float(last["lr"]) < 3e-4
    assert not result.interrupted


def test_a_session_ends_early_and_is_resumed(tiny: Any) -> None:
    stopped = tiny(epochs=2000, session_minutes=0.005)
    assert stopped.interrupted
    resumed = tiny(epochs=stopped.step // 3 + 1, resume=True)
    assert not resumed.interrupted
    assert resumed.step == (stopped.step // 3 + 1) * 3


def test_a_run_that_is_over_stays_as_it_is(tiny: Any) -> None:
    first = tiny()
    before = first.folder.state.read_bytes()
    again = tiny(resume=True)
    assert again.step == first.step
    assert first.folder.state.read_bytes() == before
