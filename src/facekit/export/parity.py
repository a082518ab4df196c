"""Whether two engines give one network's answers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facekit import images
from facekit.engines import Engine, FloatArray
from facekit.engines.spec import NetworkSpec

__all__ = [
    "DEFAULT_TOLERANCE",
    "ParityReport",
    "compare",
    "compare_spread",
    "synthetic",
    "trial_input",
]

DEFAULT_TOLERANCE = 1e-4
"""Engines add up in another order: outputs of the order of 1 differ by some 1e-6."""

_SEED = 0


@dataclasses.dataclass(frozen=True)
class ParityReport:
    """How far an exported network's answers are from its source's.

    Attributes:
        backend: The backend.
        source: The weights that were exported.
        target: The file that was asked for.
        compared_on: What both ran on, in words.
        differences: Largest absolute difference of each output; or, where rounding is meant to
            move answers, its root mean square as a part of the output's spread.
        tolerance: Largest difference that was accepted.
        of_spread: Whether differences are parts of the outputs' spread.
    """

    backend: str
    source: str
    target: str
    compared_on: str
    differences: Mapping[str, float]
    tolerance: float
    of_spread: bool = False

    @property
    def worst(self) -> float:
        """Largest absolute difference of all outputs; NaN if one has a NaN."""
        return float(np.max(list(self.differences.values())))

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return self.worst <= self.tolerance

    def __str__(self) -> str:
        """Say it in one line."""
        each = ", ".join(f"{name} {value:.2g}" for name, value in self.differences.items())
        verdict = "within" if self.passed else "above"
        kind = "difference, as a part of the answers' spread," if self.of_spread else "difference"
        return (
            f"largest {kind} from {self.source}, {self.compared_on}: {each}; "
            f"{verdict} the tolerance of {self.tolerance:g}"
        )


def trial_input(
    spec: NetworkSpec, photo: str | os.PathLike[str] | None = None
) -> tuple[FloatArray, str]:
    """Make what both engines run on.

    Args:
        spec: What goes in.
        photo: An image file; by default a gradient with noise, always the same.

    Returns:
        ``(2, *spec.input_shape)`` float32, the picture once in 0..1 and once in -1..1, between
        which networks' own ranges lie, times the spec's scale; and what it is, in words.

    Raises:
        ImageError: If the photo cannot be read.
    """
    channels, height, width = spec.input_shape
    if photo is None:
        picture, described = synthetic(spec.input_shape)
    else:
        pixels = images.read(photo)
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        picture = resized.transpose(2, 0, 1) / 255
        described = f"on the photo {os.fspath(photo)}"
        if channels == 1:
            picture = picture.mean(axis=0, keepdims=True)
    scaled = spec.input_scale * np.stack([picture, 2 * picture - 1])
    return scaled.astype(np.float32), described


def synthetic(shape: Sequence[int]) -> tuple[npt.NDArray[np.float64], str]:
    """Return a gradient with noise, 0 to 1 and always the same, and what it is in words.

    Args:
        shape: Channels, height and width.
    """
    generator = np.random.default_rng(_SEED)
    down, across = np.mgrid[0 : 1 : shape[1] * 1j, 0 : 1 : shape[2] * 1j]
    noise = generator.normal(scale=0.1, size=shape)
    return np.clip((down + across) / 2 + noise, 0, 1), "on a synthetic gradient with noise"


def compare(
    source: Engine, exported: Engine, trial: FloatArray, spec: NetworkSpec
) -> dict[str, float]:
    """Run both engines on a batch, and the exported one also on its first image alone.

    Where axes are free, both also run on a part of the picture, half as long along them.

    Args:
        source: The engine to be matched.
        exported: The engine to be judged.
        trial: ``(N, *spec.input_shape)`` float32.
        spec: The names of the outputs.

    Returns:
        Largest absolute difference of each output; infinite where the shapes differ.
    """
    wanted = _run(source, trial, spec)
    pairs = [(wanted, _run(exported, trial, spec))]
    pairs.append(([want[:1] for want in wanted], _run(exported, trial[:1], spec)))
    if spec.free_axes:
        part = _part(trial, spec.free_axes)
        pairs.append((_run(source, part, spec), _run(exported, part, spec)))
    return {
        name: max(_difference(want[i], have[i]) for want, have in pairs)
        for i, name in enumerate(spec.outputs)
    }


def compare_spread(
    source: Engine,
    exported: Engine,
    inputs: Sequence[Mapping[str, FloatArray]],
    spec: NetworkSpec,
) -> dict[str, float]:
    """Run both engines on inputs as in use.

    Args:
        source: The engine to be matched.
        exported: The engine to be judged.
        inputs: What both are given, by the names of the inputs.
        spec: The names of inputs and outputs.

    Returns:
        Root mean square difference of each output over its standard deviation on all inputs;
        infinite where the shapes differ.
    """
    wanted, found = (
        [engine(*[one[name] for name in spec.inputs]) for one in inputs]
        for engine in (source, exported)
    )
    return {
        name: _part_of_spread([one[i] for one in wanted], [one[i] for one in found])
        for i, name in enumerate(spec.outputs)
    }


def _part_of_spread(want: Sequence[FloatArray], have: Sequence[FloatArray]) -> float:
    if [one.shape for one in want] != [one.shape for one in have]:
        return float("inf")
    whole = np.concatenate([one.ravel() for one in want]).astype(np.float64)
    apart = np.concatenate([one.ravel() for one in have]) - whole
    return float(np.sqrt(np.mean(apart**2)) / max(whole.std(), np.finfo(np.float64).tiny))


def _run(engine: Engine, trial: FloatArray, spec: NetworkSpec) -> Sequence[FloatArray]:
    return engine(*[trial for _ in spec.inputs])


def _part(trial: FloatArray, free_axes: Sequence[int]) -> FloatArray:
    """Return the first half along the axes; `free_axes` do not count the batch's."""
    for axis in free_axes:
        trial = trial.take(range(trial.shape[axis + 1] // 2), axis=axis + 1)
    return trial


def _difference(want: FloatArray, have: FloatArray) -> float:
    if want.shape != have.shape:
        return float("inf")
    return float(np.max(np.abs(want - have), initial=0))
