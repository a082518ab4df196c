"""The run configuration that a command line stands for."""

from __future__ import annotations

from typing import Any

import yaml

from facekit import config
from facekit.cli.detect import Request
from facekit.config import BackendConfig, RunConfig
from facekit.errors import ConfigError

__all__ = ["NO_LANDMARKER", "run_config", "source_name"]

NO_LANDMARKER = "none"
_ROLES = ("detector", "landmarker")


def source_name(request: Request) -> str:
    """Return what messages call the configuration."""
    return "command line" if request.config is None else str(request.config)


def run_config(request: Request) -> RunConfig:
    """Merge the configuration file, if there is one, with the options of the command line.

    Args:
        request: What the user asked for. Another backend than the file's drops the options that
            the file has for its own.

    Raises:
        ConfigError: If the file or a ``KEY=VALUE`` word is wrong.
    """
    base = RunConfig() if request.config is None else config.load(request.config)
    options = _options(request)
    detector = _merged(base.detector, request.detector, options["detector"])
    if request.landmarker == NO_LANDMARKER or (
        request.landmarker is None and base.landmarker is None
    ):
        if options["landmarker"]:
            message = "there are options for the landmarker, but no landmarker: leave them out"
            raise ConfigError(message)
        return base.model_copy(update={"detector": detector, "landmarker": None})
    landmarker = _merged(
        base.landmarker or BackendConfig(backend=str(request.landmarker)),
        request.landmarker,
        options["landmarker"],
    )
    return base.model_copy(update={"detector": detector, "landmarker": landmarker})


def _merged(base: BackendConfig, name: str | None, options: dict[str, Any]) -> BackendConfig:
    """Put options of the command line over a backend's own."""
    if name is not None and name != base.backend:
        base = BackendConfig(backend=name)
    return BackendConfig(backend=base.backend, **{**base.options, **options})


def _options(request: Request) -> dict[str, dict[str, Any]]:
    """Return the command line's options by role."""
    found: dict[str, dict[str, Any]] = {role: {} for role in _ROLES}
    for word in request.options:
        role, key, value = _parsed(word)
        found[role][key] = value
    named = {
        "weights": request.weights,
        "score_threshold": request.score_threshold,
        "engine": request.engine,
    }
    found["detector"].update({key: value for key, value in named.items() if value is not None})
    return found


def _parsed(word: str) -> tuple[str, str, Any]:
    """Split ``KEY=VALUE`` or ``landmarker.KEY=VALUE``; the value is read as YAML.

    Raises:
        ConfigError: If it is neither.
    """
    path, equals, text = word.partition("=")
    role, dot, key = path.partition(".")
    if not dot:
        role, key = "detector", path
    if not equals or not key.isidentifier() or role not in _ROLES:
        message = f"--option {word!r}: write KEY=VALUE or landmarker.KEY=VALUE, such as threads=2"
        raise ConfigError(message)
    if key == "backend":
        message = f"--option {word!r}: choose the backend by --{role}"
        raise ConfigError(message)
    try:
        return role, key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"--option {word!r}: the value is not valid YAML"
        raise ConfigError(message) from error
