"""What a training run came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from facekit.training.folder import RunFolder

__all__ = ["TrainResult"]


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        folder: Where it lies.
        step: Steps that are over.
        monitor: The number that decides what is best.
        best: Its best value; ``None`` without a validation.
        metrics: The last validation's numbers.
        interrupted: Whether it was stopped before its end and can be resumed.
        weights: What another framework's trainer kept last; facekit's own are in ``folder``.
        is_first: Whether this is the first of the run's processes, which speaks for all.
    """

    folder: RunFolder
    step: int
    monitor: str
    best: float | None
    metrics: Mapping[str, float]
    interrupted: bool
    weights: Path | None = None
    is_first: bool = True
