"""Photos with faces as a network's inputs, prepared by the backend whose network it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from facekit import registry
from facekit.engines import FloatArray
from facekit.engines.recording import first_inputs, recording
from facekit.engines.spec import NetworkSpec
from facekit.errors import ConfigError
from facekit.images import ImageLike
from facekit.registry import Backend, Role
from facekit.types import Detections

__all__ = ["Inputs", "Scene", "inputs_of"]

Scene = tuple[ImageLike, Detections]
"""A photo and its faces, which detectors find by themselves."""

_SEED: Final = 0
_HELD_OUT: Final = 8
_FEWEST: Final = 2
_ROWS: Final = 4
"""Of a batch of faces, so that a photo of a crowd does not outweigh the others."""

_CALLS: Final[dict[Role, Callable[[Any, ImageLike, Detections], object]]] = {
    "detector": lambda part, image, _: part.detect([image]),
    "landmarker": lambda part, image, faces: part.locate([image], [faces]),
    "classifier": lambda part, image, faces: part.classify([image], [faces]),
}


class Inputs(NamedTuple):
    """A network's inputs, by their names, one entry a photo.

    Attributes:
        used: Those that ranges are measured on.
        held_out: Those that the outcome is measured on, one of eight.
    """

    used: list[Mapping[str, FloatArray]]
    held_out: list[Mapping[str, FloatArray]]


def inputs_of(
    backend: Backend, weights: Path, spec: NetworkSpec, scenes: Iterable[Scene]
) -> Inputs:
    """Return what a backend would give its network for photos.

    Args:
        backend: Whose network it is.
        weights: Its weights, in any format.
        spec: Its network's inputs. Where one is larger along a free axis than the declared shape,
            a part of that length is taken, always the same: memory and time stay bounded.
        scenes: Photos and their faces.

    Returns:
        ``(N, ...)`` float32 arrays, without photos that do not need the network.

    Raises:
        ConfigError: If there are fewer than two.
        FacekitError: If the backend cannot be built, or a photo cannot be read.
    """
    with recording():
        part = registry.create(backend.role, backend.name, {"weights": str(weights)})
    call = _CALLS[backend.role]
    generator = np.random.default_rng(_SEED)
    found: list[Mapping[str, FloatArray]] = []
    for image, faces in scenes:
        arrays = first_inputs(functools.partial(call, part, image, faces))
        if arrays is not None:
            parts = _part(arrays, spec, generator)
            found.append(dict(zip(spec.inputs, parts, strict=True)))
    if len(found) < _FEWEST:
        count = f"{len(found)} photo{'s' if len(found) != 1 else ''}"
        raise ConfigError(f"8-bit arithmetic is measured on some dozens of photos, got {count}")
    held_out = found[::_HELD_OUT]
    return Inputs([one for i, one in enumerate(found) if i % _HELD_OUT], held_out)


def _part(
    arrays: Sequence[FloatArray], spec: NetworkSpec, generator: np.random.Generator
) -> tuple[FloatArray, ...]:
    """Take the first rows of arrays, and of free axes one place of at most the declared length."""
    arrays = [array[:_ROWS] for array in arrays]
    for axis in spec.free_axes:
        length, wanted = arrays[0].shape[axis + 1], spec.input_shape[axis]
        start = int(generator.integers(max(length - wanted, 0) + 1))
        places = range(start, min(start + wanted, length))
        arrays = [array.take(places, axis=axis + 1) for array in arrays]
    return tuple(np.ascontiguousarray(array) for array in arrays)
