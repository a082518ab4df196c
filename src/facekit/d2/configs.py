"""Detectron2's two kinds of configuration: YAML, and "lazy" ones, which are Python.

A YAML file is read without the tags that call functions, which Detectron2 itself lets through. A
lazy config is a program, and Detectron2 executes it: nobody can read it otherwise, so
`ConfigCodeWarning` says so first, save of those that Detectron2 ships.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import detectron2
from detectron2.config import LazyConfig, get_cfg

from facekit.errors import ConfigError

__all__ = ["ConfigCodeWarning", "found", "is_lazy", "read_lazy", "read_yaml"]

_SHIPPED: Final = Path(detectron2.__file__).parent / "model_zoo" / "configs"


class ConfigCodeWarning(UserWarning):
    """A lazy config is a program, which is about to run."""


def found(config: Path) -> Path:
    """Return where a config is: as named, or among those that Detectron2 ships.

    Args:
        config: A file, or a name like ``COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml``.

    Raises:
        ConfigError: If there is none.
    """
    for path in (config, _SHIPPED / config):
        if path.is_file():
            return path
    raise ConfigError(f"{config}: no such file, nor a config that Detectron2 ships")


def is_lazy(config: Path) -> bool:
    """Say whether a config is a program."""
    return config.suffix == ".py"


def read_yaml(config: Path, overrides: Mapping[str, Any]) -> Any:  # noqa: ANN401 - CfgNode
    """Read a YAML config and what it is based on.

    Args:
        config: The file.
        overrides: Values by dotted key.

    Returns:
        Detectron2's ``CfgNode``.

    Raises:
        ConfigError: If it is no YAML, asks for more than values, or has keys that Detectron2 does
            not have.
    """
    values = get_cfg()
    try:
        values.merge_from_file(str(config), allow_unsafe=False)
        values.merge_from_list(list(_flat(overrides)))
    except Exception as error:
        # yacs raises anything from AssertionError to yaml's own errors.
        raise ConfigError(f"{config}: {_first_line(error)}") from error
    return values


def read_lazy(config: Path, overrides: Mapping[str, Any]) -> Any:  # noqa: ANN401 - DictConfig
    """Execute a lazy config.

    Args:
        config: The file.
        overrides: Values by dotted key.

    Returns:
        omegaconf's ``DictConfig``.

    Raises:
        ConfigError: If it fails, or has no model.
    """
    if not config.resolve().is_relative_to(_SHIPPED.resolve()):
        text = f"{config}: a lazy config is a program, and is executed"
        warnings.warn(text, ConfigCodeWarning, stacklevel=2)
    try:
        values = LazyConfig.load(str(config))
        for key, value in overrides.items():
            _set(values, key, value)
    except Exception as error:
        # A program raises anything.
        raise ConfigError(f"{config}: {type(error).__name__}: {_first_line(error)}") from error
    if "model" not in values:
        raise ConfigError(f"{config}: a lazy config of a model has `model`; this one has not")
    return values


def _flat(overrides: Mapping[str, Any]) -> Iterator[Any]:
    """Yield keys and values in turn."""
    for key, value in overrides.items():
        yield from (key, value)


def _set(values: Any, key: str, value: Any) -> None:  # noqa: ANN401 - DictConfig
    """Change a value by its dotted key.

    Raises:
        KeyError: If there is no such place.
    """
    *parts, last = key.split(".")
    for part in parts:
        values = values[part]
    values[last] = value


def _first_line(error: Exception) -> str:
    """Return the first line of a message that may go on for a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
