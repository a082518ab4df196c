"""A detector's weights under a classifier: what is taken over, and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from facekit.engines.torch import load_state_dict
from facekit.errors import WeightsError
from facekit.networks.s3fd_classifier import S3FDClassifier
from facekit.networks.s3fd_layers import CHANNELS

__all__ = ["Taken", "take_over", "width_of"]

_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Taken:
    """What became of a checkpoint's tensors.

    Attributes:
        loaded: Names that both have, with the same shapes.
        new: Names of the network alone: the head, freshly drawn.
        unused: Names of the checkpoint alone, or of another shape: left out.
    """

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{len(self.loaded)} tensors taken over, {_some(self.new)} drawn afresh, "
            f"{_some(self.unused)} left out"
        )


def width_of(path: Path) -> float:
    """Return the width of a checkpoint's trunk, as a share of the published channels.

    Raises:
        WeightsError: If it has no trunk of S3FD's.
    """
    first = load_state_dict(path)[0].get("conv1_1.weight")
    if first is None or first.ndim != 4 or not len(first):  # noqa: PLR2004 - out, in, rows, columns
        raise WeightsError(path, "has no conv1_1.weight: give weights of the detector 's3fd'")
    return len(first) / CHANNELS["conv1_1"]


def take_over(network: S3FDClassifier, path: Path) -> Taken:
    """Load what matches of a checkpoint, and refuse one whose trunk is another.

    Args:
        network: The classifier; its head keeps its own weights unless the checkpoint has such a
            head too.
        path: A checkpoint of the detector ``s3fd``, or of a classifier.

    Returns:
        What was loaded and what was not.

    Raises:
        WeightsError: If the file is damaged, or lacks a part that would stay frozen and random.
    """
    state, _ = load_state_dict(path)
    own = network.state_dict()
    fitting = [name for name in own if name in state and state[name].shape == own[name].shape]
    head = {name for name, _ in network.new_tensors()}
    lacking = [name for name in own if name not in fitting and name not in head]
    if lacking:
        shapes = [
            f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
            if name in state
            else name
            for name in lacking
        ]
        reason = f"weights of another network: {_some(shapes)} missing or of another shape"
        raise WeightsError(path, reason)
    network.load_state_dict({name: state[name] for name in fitting}, strict=False)
    return Taken(
        loaded=tuple(fitting),
        new=tuple(name for name in own if name not in fitting),
        unused=tuple(name for name in state if name not in fitting),
    )


def _some(names: Iterable[str]) -> str:
    """Count names, and give the first few."""
    known = list(names)
    more = ", ..." if len(known) > _SHOWN else ""
    return f"{len(known)} ({', '.join(known[:_SHOWN])}{more})" if known else "none"
