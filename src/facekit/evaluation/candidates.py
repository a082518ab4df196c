"""What is measured: a backend with its options, as a user names it, and what tells it apart."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from facekit import __version__, config, parts, registry, weights
from facekit.config import BackendConfig
from facekit.errors import ConfigError, FacekitError
from facekit.protocols import Detector
from facekit.registry import Role

__all__ = [
    "Candidate",
    "built",
    "candidate_of",
    "candidates",
    "digest",
    "fingerprint",
    "fingerprint_of",
    "options_of",
    "scale_of",
]

_CONFIGURATIONS: Final = (".yaml", ".yml", ".toml", ".json")
# They change how fast a backend is, and its numbers by rounding at most.
_NEUTRAL: Final = frozenset({"batch_size", "sha256", "threads", "weights", "score_threshold"})
_SIDES: Final = 2
_SIZE_WORDS: Final = ("size", "side", "scale", "resize")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backend to be measured.

    Attributes:
        label: What tables and folders call it.
        role: What it does.
        config: The backend and its options.
        source: What messages call the options.
        path: Where the options are in the source.
    """

    label: str
    role: Role
    config: BackendConfig
    source: str = "command line"
    path: str = ""

    def build(self, **changes: Any) -> Any:  # noqa: ANN401 - an adapter by role
        """Build the backend.

        Args:
            **changes: Options that are put over the candidate's own.

        Raises:
            FacekitError: If it cannot be built; see :func:`facekit.registry.create`.
        """
        options = {**self.config.options, **changes}
        return registry.create(
            self.role, self.config.backend, options, source=self.source, path=self.path
        )

    def build_to_measure(self) -> Any:  # noqa: ANN401 - an adapter by role
        """Build the backend as it is to be measured: a detector at its evaluation threshold.

        The threshold that a user chose for display does not count here: above the evaluation
        threshold, the curve would be cut short.

        Raises:
            FacekitError: If it cannot be built.
        """
        if self.role != "detector":
            return self.build()
        owner = registry.load_class(registry.find("detector", self.config.backend))
        threshold = getattr(owner, "evaluation_threshold", None)
        if not isinstance(threshold, int | float):
            threshold = self.build().evaluation_threshold
        return self.build(score_threshold=float(threshold))

    @property
    def weights_file(self) -> Path | None:
        """The weights, where the backend has a file of them."""
        try:
            return weights.resolve(self.config.options.get("weights"), default=self.config.backend)
        except (FacekitError, TypeError):
            return None


def candidates(role: Role, words: Iterable[str]) -> list[Candidate]:
    """Read what a user wants measured.

    Args:
        role: What they do.
        words: ``NAME``, ``NAME=WEIGHTS``, or a run configuration (``.yaml``, ``.toml``, ``.json``).

    Returns:
        The candidates, in order, with labels that no two share.

    Raises:
        ConfigError: If a configuration is wrong or has no such part.
        UnknownNameError: If there is no such backend.
    """
    found: list[Candidate] = []
    for word in words:
        found += _of_word(role, word)
    counts: dict[str, int] = {}
    unique = []
    for one in found:
        counts[one.label] = number = counts.get(one.label, 0) + 1
        label = one.label if number == 1 else f"{one.label}_{number}"
        unique.append(dataclasses.replace(one, label=label))
    return unique


def _of_word(role: Role, word: str) -> list[Candidate]:
    """Read one word."""
    if word.lower().endswith(_CONFIGURATIONS) and "=" not in word:
        return _of_file(role, Path(word))
    name, equals, file = word.partition("=")
    if equals and not file:
        message = f"{word!r}: write NAME=WEIGHTS, such as tiny_ssd=tiny_ssd.onnx"
        raise ConfigError(message)
    registry.find(role, name)
    options = {"weights": file} if file else {}
    label = f"{name}-{Path(file).stem}" if file else name
    return [Candidate(label=label, role=role, config=BackendConfig(backend=name, **options))]


def _of_file(role: Role, file: Path) -> list[Candidate]:
    """Read the part, or for classifiers the parts, of a configuration."""
    run = config.load(file)
    parts: list[tuple[str, BackendConfig | None]] = [(role, getattr(run, role, None))]
    if role == "classifier":
        parts = [(f"classifiers.{i}", part) for i, part in enumerate(run.classifiers)]
    found = [
        Candidate(
            label=f"{part.backend}-{file.stem}",
            role=role,
            config=part,
            source=str(file),
            path=path,
        )
        for path, part in parts
        if part is not None
    ]
    if not found:
        message = f"{file}: has no {role}"
        raise ConfigError(message)
    for one in found:
        registry.find(role, one.config.backend)
    return found


def candidate_of(role: Role, given: Any) -> Candidate | None:  # noqa: ANN401 - see parts.build
    """Return what a name, a configuration or a candidate means; ``None`` for a ready object.

    Args:
        role: What it should do.
        given: As :func:`facekit.parts.build` takes it, or a candidate.

    Raises:
        ConfigError: If a configuration is wrong.
    """
    if isinstance(given, Candidate):
        return given
    if isinstance(given, str):
        given = BackendConfig(backend=given)
    elif isinstance(given, Mapping):
        given = BackendConfig.model_validate(dict(given))
    if isinstance(given, BackendConfig):
        return Candidate(label=given.backend, role=role, config=given, source="configuration")
    return None


def built(role: Role, given: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:  # noqa: ANN401
    """Return a part to measure, its fingerprint, and its options where they are known.

    Args:
        role: What it should do.
        given: A name, one with options, a candidate, or a ready object.

    Raises:
        FacekitError: If it cannot be built.
    """
    candidate = candidate_of(role, given)
    if candidate is None:
        ready = parts.build(role, given)
        return ready, fingerprint_of(ready), {}
    part = candidate.build_to_measure()
    return part, fingerprint(candidate, part), options_of(candidate, part)


def fingerprint(candidate: Candidate, part: Any) -> dict[str, Any]:  # noqa: ANN401 - by role
    """Return what must be the same for predictions to be the same: plain JSON values.

    Args:
        candidate: The backend with its options.
        part: The backend as built.
    """
    checked = config.validate_options(part.Options, candidate.config.options, candidate.source)
    options = {
        key: value for key, value in checked.model_dump(mode="json").items() if key not in _NEUTRAL
    }
    file = candidate.weights_file
    return {
        "backend": candidate.config.backend,
        "options": options,
        "weights": None if file is None else weights.sha256(file),
        "score_threshold": getattr(part, "score_threshold", None),
        "facekit": __version__,
    }


def fingerprint_of(part: Any) -> dict[str, Any]:  # noqa: ANN401 - an adapter by role
    """Return what is known of a ready object, whose options and weights nobody can ask for.

    Args:
        part: A detector, landmarker or classifier.
    """
    return {
        "backend": part.name,
        "class": f"{type(part).__module__}.{type(part).__qualname__}",
        "score_threshold": getattr(part, "score_threshold", None),
        "facekit": __version__,
    }


def digest(values: Mapping[str, Any]) -> str:
    """Return a short hash of plain values.

    Args:
        values: Plain JSON values.
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def scale_of(part: Any, options: Mapping[str, Any] | None = None) -> str:  # noqa: ANN401
    """Say at which scale a backend sees its images: no number of a detector holds without it.

    Args:
        part: The backend. Its own words, ``part.test_scale``, go first.
        options: Its options by name, where they are known.
    """
    own = getattr(part, "test_scale", None)
    if isinstance(own, str) and own:
        return own
    known = dict(options or {})
    size = known.pop("input_size", None) or getattr(part, "input_size", None)
    rest = [
        f"{key} {value}"
        for key, value in known.items()
        if any(word in key for word in _SIZE_WORDS) and key not in _NEUTRAL and value is not None
    ]
    if size is None:
        return ", ".join([_crop_of(part) or "images as stored", *rest])
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return ", ".join([f"{width} x {height} px", *rest])


def _crop_of(part: Any) -> str:  # noqa: ANN401 - an adapter by role
    """Return the size of the crops of a landmarker or classifier whose module declares it."""
    spec = getattr(sys.modules.get(type(part).__module__), "SPEC", None)
    shape: tuple[int, ...] = getattr(spec, "input_shape", ())
    if hasattr(part, "detect") or len(shape) < _SIDES:
        return ""
    height, width = shape[-_SIDES:]
    return f"crops of {width} x {height} px"


def options_of(candidate: Candidate, part: Detector | Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a backend's options as checked, by name.

    Args:
        candidate: The backend with its options.
        part: The backend as built.
    """
    checked = config.validate_options(part.Options, candidate.config.options, candidate.source)
    named: dict[str, Any] = checked.model_dump(mode="json")
    return named
