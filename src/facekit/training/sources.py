"""Where a run's configuration comes from: a file, a shipped preset, or a run's folder."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from facekit.config import read_mapping
from facekit.errors import ConfigError, UnknownNameError
from facekit.training.config import ForeignConfig, TrainConfig
from facekit.training.recipes import RECIPES, is_foreign

__all__ = ["apply", "presets", "read_config", "read_run"]


def presets(recipe: str) -> list[str]:
    """Return the names of the presets that are shipped for a recipe.

    Args:
        recipe: A name of :data:`~facekit.training.recipes.RECIPES`.
    """
    folder = _presets() / recipe
    if not folder.is_dir():
        return []
    return sorted(file.stem for file in folder.iterdir() if file.suffix == ".yaml")


def read_config(
    source: Mapping[str, Any] | str | os.PathLike[str], settings: Iterable[str] = ()
) -> TrainConfig:
    """Read the configuration of a run in facekit's engine.

    Args:
        source: Values; or a file of them (its ``preset: RECIPE:PRESET`` names what it changes);
            or ``RECIPE:PRESET`` or ``RECIPE`` alone, which is its preset ``default``; or the
            folder of a run.
        settings: Changes like ``optimizer.lr=0.001``; values are YAML.

    Returns:
        The configuration, its recipe's options not yet checked.

    Raises:
        ConfigError: If the file is missing or malformed, or a value is wrong.
        UnknownNameError: If there is no such recipe or preset.
    """
    return TrainConfig.from_mapping(*_values(source, settings))


def read_run(
    source: Mapping[str, Any] | str | os.PathLike[str], settings: Iterable[str] = ()
) -> TrainConfig | ForeignConfig:
    """Read the configuration of a run in whoever's loop.

    Args:
        source: As for :func:`read_config`.
        settings: As for :func:`read_config`.

    Returns:
        A :class:`ForeignConfig` where another framework's trainer runs, else a
        :class:`TrainConfig`; the recipe's options not yet checked.

    Raises:
        ConfigError: If the file is missing or malformed, or a value is wrong.
        UnknownNameError: If there is no such recipe or preset.
    """
    values, name = _values(source, settings)
    if is_foreign(str(values.get("recipe", ""))):
        return ForeignConfig.from_mapping(values, name)
    return TrainConfig.from_mapping(values, name)


def _values(
    source: Mapping[str, Any] | str | os.PathLike[str], settings: Iterable[str]
) -> tuple[dict[str, Any], str]:
    """Return a configuration's values, presets and changes in them, and its name."""
    name = "configuration" if isinstance(source, Mapping) else str(source)
    values = dict(source) if isinstance(source, Mapping) else _read(str(source))
    if preset := values.pop("preset", None):
        values = merged(_preset(str(preset)), values)
    for setting in settings:
        values = apply(values, setting)
    # A run without a name of its own is called after what it was made from.
    values.setdefault("out", str(Path("runs") / Path(name.replace(":", "-")).stem))
    return values, name


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another; mappings in both are laid over each other in turn.

    Args:
        below: What holds where ``above`` says nothing.
        above: What holds.
    """
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            both[name] = merged(under, value)
        else:
            both[name] = value
    return both


def apply(values: Mapping[str, Any], setting: str) -> dict[str, Any]:
    """Return values with one change.

    Args:
        values: A configuration.
        setting: ``key=value`` or ``part.key=value``; the value is YAML.

    Raises:
        ConfigError: If it is not of that form.
    """
    path, equals, text = setting.partition("=")
    names = path.strip().split(".")
    if not equals or not all(names):
        message = f"--set {setting}: expected KEY=VALUE, e.g. optimizer.lr=0.001"
        raise ConfigError(message)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"--set {setting}: the value is not valid YAML"
        raise ConfigError(message) from error
    for name in reversed(names):
        value = {name: value}
    return merged(values, value)


def _presets() -> Path:
    return Path(str(importlib.resources.files("facekit.training"))) / "presets"


def _read(source: str) -> dict[str, Any]:
    """Read a file, a preset or a run's folder."""
    path = Path(source)
    if path.is_dir():
        if not (path / "config.yaml").is_file():
            message = f"{source}: is a folder without a run: it has no config.yaml"
            raise ConfigError(message)
        return {**read_mapping(path / "config.yaml"), "out": source}
    recipe = source.partition(":")[0]
    if not path.exists() and (recipe in RECIPES or not path.suffix):
        return _preset(source)
    return read_mapping(path)


def _preset(name: str) -> dict[str, Any]:
    """Read ``RECIPE:PRESET``."""
    recipe, _, preset = name.partition(":")
    preset = preset or "default"
    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    known = presets(recipe)
    if preset not in known:
        raise UnknownNameError(f"preset of {recipe}", preset, known)
    return {"recipe": recipe, **read_mapping(_presets() / recipe / f"{preset}.yaml")}
