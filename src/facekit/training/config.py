"""What a training run is told: the engine's own keys, and beside them the recipe's options.

A configuration is flat, as a backend's is: ``recipe`` names the recipe, the keys of
:class:`TrainConfig` are the engine's, and every other key is an option of the recipe, checked
against the recipe's own model. A recipe that runs another framework's loop has no use for the
engine's keys: its run is a :class:`ForeignConfig`. No framework is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from facekit.config import validate_options
from facekit.errors import ConfigError, nearest

__all__ = [
    "EarlyStopping",
    "ForeignConfig",
    "OptimizerConfig",
    "RecipeConfig",
    "ScheduleConfig",
    "TrainConfig",
    "check_names",
    "cores",
]

MAX_WORKERS = 16
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Natural = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # where a process cannot be told from its machine


class _Part(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerConfig(_Part):
    """How weights move.

    Attributes:
        name: ``adamw``, ``adam``, ``sgd`` or ``muon``: AdamW with orthogonal steps for weight
            matrices (:class:`facekit.training.muon.Muon`).
        lr: The learning rate that the schedule scales.
        weight_decay: On every parameter that the recipe's groups do not except.
        momentum: Of ``sgd`` and ``muon``, which is usually given 0.95.
        nesterov: Of ``sgd``.
        betas: Of ``adam``, ``adamw`` and what ``muon`` leaves to it.
        fused: Make a step one kernel; by default on GPUs.
    """

    name: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: Natural = 0.0
    momentum: Share = 0.9
    nesterov: bool = False
    betas: tuple[Share, Share] = (0.9, 0.999)
    fused: bool | None = None


class ScheduleConfig(_Part):
    """How the learning rate goes over the run.

    Attributes:
        kind: ``cosine`` to ``floor``, ``step`` at the milestones, or ``constant``.
        warmup: Length of the linear warm-up: below 1 a share of the run, else steps.
        warmup_from: Where the warm-up starts, as a share of the learning rate.
        milestones: Shares of the run (0 to 1) at which ``step`` multiplies by ``gamma``.
        gamma: See ``milestones``.
        floor: Where ``cosine`` ends, as a share of the learning rate.
        follow: What the share of the run is measured by: ``steps``, ``time`` (of
            ``max_minutes``), or ``auto``: whichever of the two is further, so that the schedule
            always runs to its end.
    """

    kind: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Natural = 0.03
    warmup_from: Share = 0.01
    milestones: tuple[Share, ...] = (0.6, 0.8, 0.93)
    gamma: Positive = 0.1
    floor: Share = 0.0
    follow: Literal["auto", "steps", "time"] = "auto"


class EarlyStopping(_Part):
    """When to give up before the end.

    Attributes:
        patience: Validations without a better value.
        min_delta: What counts as better.
    """

    patience: Count
    min_delta: Natural = 0.0


class RecipeConfig(BaseModel):
    """What every training run is told, whoever's loop it runs in.

    Attributes:
        recipe: A name of :data:`facekit.training.recipes.RECIPES`, or ``package.module:Class``.
        out: The run's folder.
        seed: Of weights, order and every random choice.
    """

    # Every other key is an option of the recipe.
    model_config = ConfigDict(frozen=True, extra="allow")

    recipe: Annotated[str, Field(min_length=1)]
    out: Path = Path("runs/unnamed")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str = "configuration") -> Self:
        """Check the keys of every run; the recipe's options are kept as they are.

        Args:
            values: As read from a file.
            source: Where they came from, for messages.

        Raises:
            ConfigError: If a value is wrong; its path is named.
        """
        return validate_options(cls, values, source)

    @property
    def options(self) -> dict[str, Any]:
        """The recipe's options, not yet checked against its own model."""
        return dict(self.__pydantic_extra__ or {})

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values that :meth:`from_mapping` reads back."""
        return self.model_dump(mode="json")


class ForeignConfig(RecipeConfig):
    """A training run in another framework's loop: all else is the recipe's own."""


class TrainConfig(RecipeConfig):
    """A training run in facekit's engine.

    Attributes:
        recipe: A name of :data:`facekit.training.recipes.RECIPES`, or ``package.module:Class``.
        out: The run's folder.
        seed: Of weights, order and every random choice.
        epochs: End after so many epochs.
        steps: End after so many steps of the optimiser.
        max_minutes: End cleanly after so much wall-clock time, earlier parts of a resumed run
            included. At least one of the three ends the run; the first to be reached.
        session_minutes: Stop this process after so long, to be resumed later; the schedule does
            not follow it.
        batch_size: Items a step, all devices together.
        repeat: Passes over the items that make one epoch: small sets want many.
        optimizer: How weights move.
        schedule: How the learning rate goes.
        ema: Decay a step of the averaged weights, which are then the ones validated and kept;
            ``null`` for none.
        clip: Largest norm of the gradient; ``null`` for no clipping.
        precision: ``32``, or mixed with ``bf16`` or ``16`` (the latter on GPUs alone).
        channels_last: Lay pictures and convolutions out channels last.
        compile: Compile the network with ``torch.compile``: ``true``, or the name of one of its
            backends.
        hold_memory: On CPUs, let the process keep freed memory for its next step rather than have
            the system clear it anew each time (glibc); it does not shrink before the run ends.
        workers: Processes that prepare items, for each device; by default one a core, at most 16.
        prefetch: Batches that each prepares ahead.
        validate_every: Epochs between validations.
        keep_minutes: Write what a resumed run needs at least so often, within long epochs too.
        keep_every: Epochs between checkpoints that stay, in the folder ``kept``; ``null`` for none.
        early_stopping: When to give up; ``null`` for never.
        sheets: Write a sheet of predictions at each validation.
        log_every: Steps between points of the training curves.
        accelerator: ``auto``, ``cpu``, ``gpu``, ...: as Lightning has it.
        devices: How many, or ``auto``.
        nodes: Machines.
        strategy: Lightning's data-parallel strategies, e.g. ``ddp``; or ``auto``.
        sync_batchnorm: Let batch norms see the batches of all devices.
    """

    epochs: Count | None = None
    steps: Count | None = None
    max_minutes: Positive | None = None
    session_minutes: Positive | None = None
    batch_size: Count = 32
    repeat: Count = 1
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    clip: Positive | None = None
    precision: Literal["32", "bf16", "16"] = "32"
    channels_last: bool = False
    compile: bool | str = False
    hold_memory: bool = True
    workers: Annotated[int, Field(ge=0)] | None = None
    prefetch: Count = 4
    validate_every: Count = 1
    keep_minutes: Positive = 10.0
    keep_every: Count | None = None
    early_stopping: EarlyStopping | None = None
    sheets: bool = True
    log_every: Count = 20
    accelerator: str = "auto"
    devices: Count | Literal["auto"] = "auto"
    nodes: Count = 1
    strategy: str = "auto"
    sync_batchnorm: bool = False

    @model_validator(mode="before")
    @classmethod
    def _precision_as_text(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Let YAML's ``precision: 32`` be a number."""
        if isinstance(values, Mapping) and type(values.get("precision")) is int:
            return {**values, "precision": str(values["precision"])}
        return values

    @model_validator(mode="after")
    def _ends(self) -> Self:
        """Refuse a run without an end, and a schedule of a time that is not given."""
        if self.epochs is None and self.steps is None and self.max_minutes is None:
            message = "a run needs an end: give epochs, steps or max_minutes"
            raise ValueError(message)
        if self.schedule.follow == "time" and self.max_minutes is None:
            message = "schedule.follow: time needs max_minutes"
            raise ValueError(message)
        if self.schedule.follow == "steps" and self.epochs is None and self.steps is None:
            message = "schedule.follow: steps needs epochs or steps"
            raise ValueError(message)
        return self

    def worker_count(self, devices: int = 1) -> int:
        """Return how many processes prepare items for one device.

        Args:
            devices: How many devices of this machine share its cores.
        """
        if self.workers is not None:
            return self.workers
        return max(1, min(cores() // devices, MAX_WORKERS))


def check_names(config: RecipeConfig, options: type[BaseModel], source: str) -> None:
    """Refuse keys that are neither the run's nor the recipe's, with the nearest of both.

    Args:
        config: The run.
        options: The recipe's options.
        source: Where the configuration came from, for messages.

    Raises:
        ConfigError: If there is such a key.
    """
    known = {*type(config).model_fields, *options.model_fields}
    for name in config.options:
        if name in options.model_fields:
            continue
        close = nearest(name, known)
        hint = f", did you mean {' or '.join(map(repr, close))}?" if close else ""
        message = (
            f"{source}: unknown option {name!r}{hint} "
            f"(recipe {config.recipe!r} knows: {', '.join(sorted(options.model_fields))})"
        )
        raise ConfigError(message)
