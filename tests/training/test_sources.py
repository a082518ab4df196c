"""Configurations from files, presets, run folders and the command line's changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from facekit.errors import ConfigError, MissingDependencyError, UnknownNameError
from facekit.training import RECIPES
from facekit.training.config import ForeignConfig, check_names
from facekit.training.recipes import load_foreign, load_recipe
from facekit.training.sources import presets, read_config, read_run

SHIPPED = [f"{recipe}:{preset}" for recipe in RECIPES for preset in presets(recipe)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "first.yaml"
    path.write_text("recipe: tiny\nepochs: 3\noptimizer: {name: sgd, lr: 0.1}\ncrops: 7\n")
    return path


def test_a_file_holds_the_engines_keys_and_the_recipes_options(file: Path) -> None:
    config = read_config(file)
    assert (config.recipe, config.epochs, config.optimizer.lr) == ("tiny", 3, 0.1)
    assert config.options == {"crops": 7}
    assert config.out == Path("runs/first")


def test_settings_change_single_keys(file: Path) -> None:
    settings = ["optimizer.lr=1e-2", "crops=9", "ema=0.99", "early_stopping={patience: 2}", "out=x"]
    config = read_config(file, settings)
    assert (config.optimizer.lr, config.optimizer.name) == (0.01, "sgd")
    assert (config.options, config.ema) == ({"crops": 9}, 0.99)
    assert config.early_stopping is not None
    assert config.early_stopping.patience == 2
    assert config.out == Path("x")


def test_what_is_written_reads_back_the_same(file: Path, tmp_path: Path) -> None:
    config = read_config(file, ["early_stopping.patience=3", "precision=16"])
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config.to_mapping()))
    again = read_config(folder)
    assert again == config.model_copy(update={"out": folder})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["epochs"], "--set epochs: expected KEY=VALUE"),
        (["=3"], "expected KEY=VALUE"),
        (["a..b=3"], "expected KEY=VALUE"),
        (["epochs=[1"], "the value is not valid YAML"),
        (["epochs=0"], "epochs: Input should be greater than or equal to 1"),
        (["epochs=null"], "a run needs an end: give epochs, steps or max_minutes"),
        (["schedule.follow=time"], "follow: time needs max_minutes"),
        (["schedule.follow=steps", "epochs=null", "max_minutes=1"], "needs epochs or steps"),
        (["optimizer.lr=nan"], "optimizer.lr"),
        (["optimizer.speed=1"], "optimizer.speed"),
        (["schedule=fast"], "schedule"),
        (["precision=8"], "precision"),
    ],
)
def test_wrong_values_are_named(file: Path, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as caught:
        read_config(file, settings)
    assert message in str(caught.value)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        read_config(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="a folder without a run"):
        read_config(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="expected a mapping"):
        read_config(tmp_path / "list.yaml")
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(ConfigError, match="recipe: Field required"):
        read_config(tmp_path / "empty.yaml")


def test_unknown_recipes_and_presets() -> None:
    with pytest.raises(UnknownNameError, match="unknown recipe 'nothing'"):
        read_config("nothing:default")
    with pytest.raises(UnknownNameError, match="unknown recipe 'nothing'"):
        load_recipe("nothing")
    with pytest.raises(ConfigError, match=r"'no.where:Recipe' cannot be imported"):
        load_recipe("no.where:Recipe")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_presets_are_valid(
    name: str, tmp_path: Path, require: Callable[[str], Any]
) -> None:
    config = read_run(name)
    assert config.recipe == name.partition(":")[0]
    assert config.out == Path("runs", name.replace(":", "-"))
    above = tmp_path / "mine.yaml"
    above.write_text(f"preset: {name}\nseed: 5\n")
    changed = read_run(above)
    assert changed == config.model_copy(update={"seed": 5, "out": changed.out})
    if isinstance(config, ForeignConfig):
        try:
            kind = load_foreign(config.recipe)
        except MissingDependencyError as error:
            pytest.skip(f"{error.package} is not installed")
        check_names(config, kind.Options, name)
        return
    above.write_text(f"preset: {name}\noptimizer: {{lr: 0.5}}\n")
    moved = read_config(above).optimizer
    assert moved == config.optimizer.model_copy(update={"lr": 0.5})
    for package in ("torch", "torchvision", "lightning"):
        require(package)
    check_names(config, load_recipe(config.recipe).Options, name)


@pytest.mark.skipif(not SHIPPED, reason="no preset is shipped yet")
def test_unknown_presets_are_named_with_the_known() -> None:
    recipe = SHIPPED[0].partition(":")[0]
    with pytest.raises(UnknownNameError, match=f"unknown preset of {recipe} 'nothing'.*known: "):
        read_config(f"{recipe}:nothing")
