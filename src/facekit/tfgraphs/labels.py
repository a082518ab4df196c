"""Which number of a graph's classes is the face's, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from facekit.datasets.label_map import read_label_map
from facekit.errors import ConfigError, nearest

__all__ = ["BESIDE", "face_of"]

BESIDE: Final = "label_map.pbtxt"
"""The label map that is found by itself, in the weights' folder."""

_FACE: Final = "face"


def face_of(
    label_map: Path | None, wanted: str | int | None, weights: Path, class_count: int | None
) -> tuple[int, str]:
    """Return the number of the face's class, from 1, and its name.

    Args:
        label_map: The ``.pbtxt`` that the user named.
        wanted: The class that the user named, by its name or its number in the label map.
        weights: The graph, beside which a label map may lie.
        class_count: How many classes the graph has, where it tells.

    Raises:
        ConfigError: If the label map is missing where it is needed, or has no such class.
        DatasetError: If it is malformed.
    """
    place = _label_map(label_map, weights)
    if place is None:
        return _without(wanted, weights, class_count)
    labels = read_label_map(place)
    if isinstance(wanted, int):
        if wanted in labels:
            return wanted, labels[wanted]
        raise _no_class(place, f"number {wanted}", labels)
    if wanted is None and len(labels) == 1:
        return next(iter(labels.items()))
    name = _FACE if wanted is None else wanted
    numbers = [number for number, label in labels.items() if label.lower() == name.lower()]
    if not numbers:
        raise _no_class(place, repr(name), labels)
    return numbers[0], labels[numbers[0]]


def _label_map(given: Path | None, weights: Path) -> Path | None:
    """Return the label map, the user's or the one beside the weights.

    Raises:
        ConfigError: If the user's is missing.
    """
    if given is not None:
        if not given.is_file():
            raise ConfigError(f"detector 'tfod': label_map: no such file: {given}")
        return given
    folders = (weights, weights.parent) if weights.is_dir() else (weights.parent,)
    return next((path for path in (one / BESIDE for one in folders) if path.is_file()), None)


def _without(wanted: str | int | None, weights: Path, class_count: int | None) -> tuple[int, str]:
    """Return the face's class where no label map says which it is.

    Raises:
        ConfigError: If it cannot be known.
    """
    if isinstance(wanted, int):
        return wanted, _FACE
    if class_count == 1:
        return 1, _FACE if wanted is None else wanted
    many = f" among its {class_count}" if class_count else ""
    raise ConfigError(
        f"detector 'tfod': which class{many} of {weights} is the face? Give label_map, the .pbtxt "
        f"that it was trained with (one beside it named {BESIDE} is found by itself), or its "
        "number as face_class: 1"
    )


def _no_class(label_map: Path, what: str, labels: Mapping[int, str]) -> ConfigError:
    """Say that a label map has no such class."""
    close = nearest(what, labels.values())
    shown = close or [f"{number} {label!r}" for number, label in list(labels.items())[:8]]
    known = ", ".join(shown) or "none"
    return ConfigError(
        f"detector 'tfod': {label_map} has no class {what}; give face_class, a name or a number; "
        f"it has {known}"
    )
