"""Recipes that run another framework's own trainer, in a facekit run's folder.

The loop, the optimiser and the checkpoints are the framework's; data, the run's folder with its
configuration, Ctrl-C, resuming and errors are as for every other recipe. No framework is imported
here: a recipe's own module is the lazy boundary.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict

from facekit.errors import FacekitError, TrainingError
from facekit.training.config import ForeignConfig
from facekit.training.opening import opened
from facekit.training.recipes import load_foreign
from facekit.training.result import TrainResult
from facekit.training.stopping import StopSignals

__all__ = ["Foreign", "ForeignOptions", "Job", "Outcome", "is_first", "run"]

_RANKS: Final = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
"""Where torchrun, Slurm and Open MPI tell a process which one it is."""

_LONGEST: Final = 300


class ForeignOptions(BaseModel):
    """A recipe's options: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclasses.dataclass(frozen=True)
class Job:
    """What a framework's trainer is asked to do.

    Attributes:
        work: An existing folder for all that it writes; thrown away by ``--overwrite``.
        seed: Of every random choice.
        resume: Whether to go on with what ``work`` holds; where it holds no checkpoint yet, the
            run begins anew.
        should_stop: Whether Ctrl-C or SIGTERM came: asked after each step, and if so the step is
            kept and the outcome is ``interrupted``.
        is_first: Whether this is the first of several processes, which writes for all.
    """

    work: Path
    seed: int
    resume: bool
    should_stop: Callable[[], bool]
    is_first: bool


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a framework's trainer came to.

    Attributes:
        step: Steps of the optimiser that are over, those of earlier processes included.
        weights: The newest checkpoint, which the adapter's ``weights`` option takes.
        monitor: The number that decides what is best, where one does.
        best: Its best value.
        metrics: The last validation's numbers.
        interrupted: Whether it was stopped before its end, and kept.
    """

    step: int
    weights: Path | None = None
    monitor: str = ""
    best: float | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    interrupted: bool = False


class Foreign(abc.ABC):
    """A recipe whose loop is another framework's.

    Attributes:
        name: The word that users write.
        Options: The recipe's options; all keys of a configuration but ``recipe``, ``out`` and
            ``seed``.
        options: The options of this run.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = ForeignOptions

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - the recipe's own ``Options``
        """Keep the options, and look at all that could be wrong: nothing has been written yet.

        Raises:
            FacekitError: If configuration, data or weights cannot be used.
        """
        self.options = options

    @abc.abstractmethod
    def train(self, job: Job) -> Outcome:
        """Run the framework's trainer.

        What it prints goes to standard error. An exception that is not facekit's becomes a
        :class:`~facekit.errors.TrainingError` of one line.

        Args:
            job: Where, and from what on.

        Raises:
            FacekitError: If the run cannot begin or go on, for instance because nothing is left
                to be done.
        """


def is_first() -> bool:
    """Whether this is the first of a run's processes, or the only one."""
    return int(next(filter(None, map(os.environ.get, _RANKS)), "0")) == 0


def run(
    config: ForeignConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    source: str = "configuration",
) -> TrainResult:
    """Train a recipe that runs another framework's trainer.

    Args:
        config: The run.
        resume: Go on with the run that its folder holds, if it holds one.
        overwrite: Replace the run that its folder holds.
        source: Where the configuration came from, for messages.

    Returns:
        What the run came to.

    Raises:
        FacekitError: As :func:`facekit.training.train` raises it.
    """
    kind = load_foreign(config.recipe)
    first = is_first()
    options, folder = opened(
        config, kind.Options, source, resume=resume, overwrite=overwrite, is_first=first
    )
    signals = StopSignals()
    with _guarded(kind.name), contextlib.redirect_stdout(sys.stderr):
        recipe = kind(options)
        keep = resume and folder.config.is_file()
        if first:
            folder.open(config, keep=keep)
        job = Job(folder.work, config.seed, keep, lambda: signals.asked, first)
        signals.catch()
        try:
            outcome = recipe.train(job)
        finally:
            signals.release()
    return TrainResult(
        folder,
        outcome.step,
        outcome.monitor,
        outcome.best,
        outcome.metrics,
        interrupted=outcome.interrupted,
        weights=outcome.weights,
        is_first=first,
    )


@contextlib.contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Turn what a framework raises, or leaves by, into one line.

    Raises:
        TrainingError: With the first line of what the framework says.
    """
    try:
        yield
    except FacekitError:
        raise
    except (Exception, SystemExit) as error:
        # A framework's trainer runs anything, and some of them call sys.exit.
        text = (str(error).strip().splitlines() or [""])[0][:_LONGEST]
        message = f"recipe {name!r}: {type(error).__name__}: {text}"
        raise TrainingError(message) from error
