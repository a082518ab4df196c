"""An analyzer's parts: from names, configurations and ready objects to adapters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from facekit import registry
from facekit.config import BackendConfig, RunConfig
from facekit.errors import BackendError, ConfigError
from facekit.protocols import Classifier, Detector, Landmarker
from facekit.registry import Role

__all__ = ["Part", "build", "by_name", "configured", "one_each"]

Part = str | BackendConfig | Mapping[str, Any]
"""A name of ``facekit backends``, or one with options."""

Result = TypeVar("Result")

_PROTOCOLS: dict[Role, type] = {
    "detector": Detector,
    "landmarker": Landmarker,
    "classifier": Classifier,
}


def build(role: Role, given: Any) -> Any:  # noqa: ANN401 - an adapter by role
    """Build a part by name or configuration, or check a ready one.

    Args:
        role: What it should do.
        given: A :data:`Part`, or an object that satisfies the role's protocol.

    Raises:
        ConfigError: If it is neither.
        FacekitError: If it cannot be built; see :func:`facekit.registry.create`.
    """
    if isinstance(given, str):
        return registry.create(role, given, {})
    if isinstance(given, Mapping):
        checked = RunConfig.from_mapping(
            {"classifiers": [given]} if role == "classifier" else {role: given}
        )
        given = checked.classifiers[0] if role == "classifier" else getattr(checked, role)
    if isinstance(given, BackendConfig):
        return registry.create(role, given.backend, given.options)
    protocol = _PROTOCOLS[role]
    wanted = [name for name in vars(protocol) if not name.startswith("_")]
    if lacking := [name for name in wanted if not hasattr(given, name)]:
        message = (
            f"{role}: {type(given).__name__} is no name and no {role}: it lacks "
            f"{', '.join(lacking)} (see facekit.protocols.{protocol.__name__})"
        )
        raise ConfigError(message)
    return given


def configured(role: Role, part: BackendConfig, source: str, path: str) -> Any:  # noqa: ANN401
    """Build a part of a configuration.

    Args:
        role: What it should do.
        part: The backend and its options.
        source: What messages call the configuration.
        path: Where the part is in it, e.g. ``"classifiers.0"``: a wrong option is named by it.

    Raises:
        FacekitError: If it cannot be built; see :func:`facekit.registry.create`.
    """
    return registry.create(role, part.backend, part.options, source=source, path=path)


def by_name(classifiers: Iterable[Classifier]) -> dict[str, Classifier]:
    """Key classifiers by name; the second of one name is ``name_2``, the third ``name_3``."""
    named: dict[str, Classifier] = {}
    for classifier in classifiers:
        names = itertools.chain(
            [classifier.name], (f"{classifier.name}_{i}" for i in itertools.count(2))
        )
        named[next(name for name in names if name not in named)] = classifier
    return named


def one_each(part: Any, results: Sequence[Result], count: int) -> list[Result]:  # noqa: ANN401
    """Check that a part answered every image.

    Args:
        part: The detector, landmarker or classifier.
        results: What it gave.
        count: The number of images.

    Raises:
        BackendError: If it did not; anything else would give a face to the wrong photo.
    """
    if len(results) != count:
        message = f"{part.name!r} gave {len(results)} results for {count} images"
        raise BackendError(message)
    return list(results)
