"""The door of every training run: its configuration is read, then whoever's loop it is runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from facekit.training import foreign
from facekit.training.config import ForeignConfig, TrainConfig
from facekit.training.recipes import needs_train_extra
from facekit.training.result import TrainResult
from facekit.training.sources import read_run

__all__ = ["train"]


def train(
    config: TrainConfig | ForeignConfig | Mapping[str, Any] | str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    source: str = "configuration",
) -> TrainResult:
    """Train.

    Args:
        config: A configuration, its values, a file of them, a preset's name like
            ``"landmarks:default"``, or the folder of a run.
        resume: Go on with the run that its folder holds, if it holds one.
        overwrite: Replace the run that its folder holds.
        progress: Show a bar on standard error, if that is a terminal.
        source: Where a configuration that is no file came from, for messages.

    Returns:
        What the run came to.

    Raises:
        ConfigError: If the configuration is wrong, or does not fit the machine.
        MissingDependencyError: If a package that the recipe needs is not installed.
        OutputError: If the run's folder cannot be written, or holds a run already.
        TrainingError: If the run cannot go on: its loss is not finite, or the framework failed.
        FacekitError: As the recipe raises it, if its data or weights cannot be used.
    """
    is_checked = isinstance(config, TrainConfig | ForeignConfig)
    source = source if is_checked or isinstance(config, Mapping) else str(config)
    checked = config if isinstance(config, TrainConfig | ForeignConfig) else read_run(config)
    if isinstance(checked, ForeignConfig):
        return foreign.run(checked, resume=resume, overwrite=overwrite, source=source)
    try:
        from facekit.training import run  # noqa: PLC0415 - Lightning, which foreign loops lack
    except ModuleNotFoundError as error:
        if missing := needs_train_extra(error):
            raise missing from error
        raise
    return run.train(checked, resume=resume, overwrite=overwrite, progress=progress, source=source)
