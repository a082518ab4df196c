"""MMDetection's configs: found, checked before anything of them runs, and loaded."""

from __future__ import annotations

import ast
import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import mmdet
from mmengine.config import Config

from facekit.errors import ConfigError
from facekit.mmlab.literal import code_in, code_in_data

__all__ = ["ConfigCodeWarning", "load"]

SHIPPED: Final = Path(mmdet.__file__).parent / ".mim" / "configs"
"""Where an installed mmdet keeps its own configs."""

_SUFFIXES: Final = frozenset({".json", ".py", ".yaml", ".yml"})
_LIBRARIES: Final = frozenset({"facekit", "mmcv", "mmdet", "mmengine", "torch", "torchvision"})
_PATH: Final = re.compile(r"^(\w+)(\.\w+)+$")

_MIGRATE: Final = (
    "'facekit mmdet migrate OLD.py NEW.py' writes the tiny SSD's for 3.x; for another model take "
    "3.x's own config of it"
)


class ConfigCodeWarning(UserWarning):
    """A config is about to run code that is neither facekit's nor OpenMMLab's."""


def load(path: Path, overrides: Mapping[str, Any]) -> Config:
    """Load a config of MMDetection 3.x, with a warning where it runs code of its own.

    Args:
        path: A file, or the name of one below mmdet's own ``configs`` folder.
        overrides: Dotted keys to values, put over the config's own.

    Returns:
        The config, checked to be one of a model that can detect.

    Raises:
        ConfigError: If it cannot be read, or is of another generation of MMDetection.
    """
    file = _found(path)
    for line in _code(file, set()):
        # Python shows each text once, so a loop over many detectors says it once.
        warnings.warn(line, ConfigCodeWarning, stacklevel=2)
    try:
        loaded = Config.fromfile(str(file))
        loaded.merge_from_dict(dict(overrides))
    except Exception as error:
        # The config's own code runs, which may raise anything.
        raise ConfigError(f"{file}: not a config that mmengine loads: {_line(error)}") from error
    _check_generation(file, loaded)
    for kind in sorted(set(_foreign_types(loaded.to_dict()))):
        text = f"{file}: builds {kind}, which is neither facekit's nor OpenMMLab's"
        warnings.warn(text, ConfigCodeWarning, stacklevel=2)
    return loaded


def _found(path: Path) -> Path:
    """Return the config's file.

    Raises:
        ConfigError: If there is none.
    """
    for file in (path, SHIPPED / path):
        if file.is_file() and file.suffix.lower() in _SUFFIXES:
            return file
    if path.is_file():
        raise ConfigError(f"{path}: a config is one of {', '.join(sorted(_SUFFIXES))}")
    raise ConfigError(f"{path}: no such config, neither as a file nor below {SHIPPED}")


def _code(file: Path, seen: set[Path]) -> Iterator[str]:
    """Yield a line for each file, the config's or one that it inherits, that runs code."""
    file = file.resolve()
    if file in seen or file.is_relative_to(SHIPPED.resolve()) or not file.is_file():
        return
    seen.add(file)
    text = file.read_text(encoding="utf-8", errors="replace")
    runs = code_in(text) if file.suffix.lower() == ".py" else code_in_data(text)
    if runs:
        shown = ", ".join(f"line {line}: {what}" for line, what in runs[:3])
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""  # noqa: PLR2004 - a few
        yield f"{file}: this config runs code as it is loaded ({shown}{more}): trust its author"
    for base in _bases(text):
        yield from _code(file.parent / base, seen)


def _bases(text: str) -> list[str]:
    """Return the files that a config inherits, as far as they are written out."""
    found: list[str] = []
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.parse(text).body:
            match node:
                case ast.Assign(targets=[ast.Name(id="_base_")], value=value):
                    named = ast.literal_eval(value)
                    found += [named] if isinstance(named, str) else [*named]
    return [one for one in found if isinstance(one, str)]


def _check_generation(file: Path, loaded: Config) -> None:
    """Refuse what is no config of MMDetection 3.x.

    Raises:
        ConfigError: With the way out.
    """
    if "model" not in loaded:
        raise ConfigError(f"{file}: has no 'model', so it is no config of a detector")
    if "test_dataloader" in loaded:
        return
    data = loaded.get("data")
    if isinstance(data, Mapping):
        generation = "1.x" if "imgs_per_gpu" in data else "2.x"
        raise ConfigError(f"{file}: a config of MMDetection {generation}: {_MIGRATE}")
    message = "has no 'test_dataloader', whose pipeline says how photos are prepared"
    raise ConfigError(f"{file}: {message}")


def _foreign_types(value: Any) -> Iterator[str]:  # noqa: ANN401 - any config value
    """Yield what mmengine would import by its path to build it."""
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str) and (match := _PATH.match(kind)):
            # "scope.Class" is a name in another package's registry.
            is_scoped = kind.count(".") == 1 and match[1].startswith("mm")
            if match[1] not in _LIBRARIES and not is_scoped:
                yield kind
        for one in value.values():
            yield from _foreign_types(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _foreign_types(one)


def _line(error: Exception) -> str:
    """Return the error's type and the first line of its message."""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"
