"""The run configuration: which backends with which options, from YAML, TOML or JSON.

A file names one backend a role; each adapter owns its options, so they are checked against its
own model once the adapter is known. Every message has the option's path in the file.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from facekit.errors import ConfigError, nearest
from facekit.registry import DEFAULT_DETECTOR, DEFAULT_LANDMARKER

__all__ = ["BackendConfig", "RunConfig", "load", "read_mapping", "validate_options"]

Model = TypeVar("Model", bound=BaseModel)


class BackendConfig(BaseModel):
    """One backend and its options, e.g. ``{backend: s3fd, score_threshold: 0.5}``.

    Attributes:
        backend: A name of ``facekit backends``. Every other key is an option of that backend.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    backend: str

    @property
    def options(self) -> dict[str, Any]:
        """The options, not yet checked against the backend's own model."""
        return dict(self.__pydantic_extra__ or {})


class RunConfig(BaseModel):
    """What a :class:`~facekit.analyzer.FaceAnalyzer` is made of.

    Attributes:
        detector: The detector; by default the bundled one.
        landmarker: The landmarker, or ``None`` for boxes alone; by default the bundled one.
        classifiers: Any number of classifiers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: BackendConfig = BackendConfig(backend=DEFAULT_DETECTOR)
    landmarker: BackendConfig | None = BackendConfig(backend=DEFAULT_LANDMARKER)
    classifiers: tuple[BackendConfig, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str = "configuration") -> Self:
        """Check a mapping.

        Args:
            values: As read from a file.
            source: Where it came from, for messages.

        Raises:
            ConfigError: If a key is unknown or a value is wrong; its path is named.
        """
        return _validate(cls, values, source)


def load(path: str | os.PathLike[str]) -> RunConfig:
    """Read a run configuration.

    Args:
        path: A ``.yaml``, ``.yml``, ``.toml`` or ``.json`` file. Relative weights paths in it are
            relative to the working folder, as on the command line.

    Raises:
        ConfigError: If the file is missing, malformed, or has an unknown key.
    """
    values = read_mapping(path, "with detector, landmarker, classifiers")
    return RunConfig.from_mapping(values, source=str(path))


def read_mapping(path: str | os.PathLike[str], of_what: str = "") -> dict[str, Any]:
    """Read a configuration file, whatever it configures.

    Args:
        path: A ``.yaml``, ``.yml``, ``.toml`` or ``.json`` file.
        of_what: What its mapping holds, for messages.

    Returns:
        Its values; none for an empty file.

    Raises:
        ConfigError: If the file is missing, malformed, or holds no mapping.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{file}: cannot be read: {reason}"
        raise ConfigError(message) from error
    values = _parse(text, file)
    if values is None:
        return {}
    if not isinstance(values, dict):
        message = f"{file}: expected a mapping {of_what}".rstrip()
        raise ConfigError(message)
    return values


def _parse(text: str, file: Path) -> object:
    """Parse by suffix.

    Raises:
        ConfigError: With file and line, if the text is malformed or the suffix unknown.
    """
    suffix = file.suffix.lower()
    try:
        if suffix in {".yaml", ".yml"}:
            return yaml.safe_load(text)
        if suffix == ".toml":
            return tomllib.loads(text)
        if suffix == ".json":
            return json.loads(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = f"{file}:{line}: not valid YAML: {error.problem}"
        raise ConfigError(message) from error
    except yaml.YAMLError as error:
        message = f"{file}: not valid YAML: {' '.join(str(error).split())}"
        raise ConfigError(message) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{file}: not valid TOML: {error}"
        raise ConfigError(message) from error
    except json.JSONDecodeError as error:
        message = f"{file}:{error.lineno}: not valid JSON: {error.msg}"
        raise ConfigError(message) from error
    except (ValueError, RecursionError) as error:
        # YAML builds dates and numbers while it parses; both parsers recurse into nesting.
        message = f"{file}: not valid {suffix[1:].upper()}: {error}"
        raise ConfigError(message) from error
    message = f"{file}: a configuration is .yaml, .toml or .json"
    raise ConfigError(message)


def validate_options(
    model: type[Model], options: Mapping[str, Any], owner: str, *, path: str = ""
) -> Model:
    """Check a backend's options against its own model.

    Args:
        model: The backend's options model.
        options: The options as the user gave them.
        owner: The backend, or the file that the options are from, for messages.
        path: Where the options are in that file, e.g. ``"detector"``.

    Returns:
        The checked options.

    Raises:
        ConfigError: If an option is unknown (the nearest are named) or has a wrong value.
    """
    return _validate(model, options, owner, path)


def _validate(model: type[Model], values: Mapping[str, Any], source: str, path: str = "") -> Model:
    """Validate, turning pydantic's report into one line."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = "; ".join(_describe(problem, model, path) for problem in error.errors())
        message = f"{source}: {problems}"
        raise ConfigError(message) from error


def _describe(
    problem: Any,  # noqa: ANN401 - pydantic's TypedDict
    model: type[BaseModel],
    where: str,
) -> str:
    """Put one of pydantic's findings into words."""
    name = ".".join(str(part) for part in problem["loc"])
    path = ".".join(part for part in (where, name) if part)
    if problem["type"] != "extra_forbidden":
        return f"{path}: {problem['msg']}"
    # Only the top level's names are at hand, and only the top level forbids extras by itself.
    known = sorted(model.model_fields)
    close = nearest(name, known)
    hint = f", did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"unknown option {path!r}{hint} (known: {', '.join(known)})"
