"""What the recipe ``mmdet`` is told. No framework is imported here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from facekit.training.data_source import DataSources
from facekit.training.foreign import ForeignOptions

__all__ = ["MMDetOptions"]


class MMDetOptions(ForeignOptions):
    """Options of the recipe.

    Attributes:
        config: A config of MMDetection 3.x that trains, or the name of one that mmdet ships.
        data: What to train on: datasets as ``FORMAT:PATH``, or with more said of each.
        validation: What to measure on, by COCO's metrics.
        classes: What is learned; a single class takes faces of any label.
        min_size: Faces less high or wide, in pixels of the photo, are handed on as ignored.
        load_from: Weights to start from: a file, or a name of ``facekit weights list``.
        resume_from: A checkpoint of mmengine to go on from, its optimiser and epoch included. A
            run's own folder is gone on with by ``--resume`` instead.
        freeze_norms: Leave the batch norms' statistics as they are: for fine-tuning, where batches
            are few, and for weights whose norms were folded into convolutions.
        strict: Whether ``load_from`` must fit the model; otherwise what fits is taken.
        epochs: The run's length; by default the config's.
        batch_size: Photos a step, on each device; by default the config's.
        workers: Processes that prepare photos, for each device; by default the config's.
        lr: The learning rate; by default the config's.
        schedule: ``constant``, for a short fine-tuning, instead of the ``config``'s own.
        overrides: Values of the config to be changed, by dotted key.
        launcher: What started several processes; by default ``pytorch`` if torchrun did.
    """

    config: Path
    data: Annotated[DataSources, Field(min_length=1)]
    validation: DataSources = ()
    classes: Annotated[tuple[str, ...], Field(min_length=1)] = ("face",)
    min_size: Annotated[float, Field(ge=0)] = 0.0
    load_from: str | None = None
    resume_from: Path | None = None
    freeze_norms: bool = False
    strict: bool = True
    epochs: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    schedule: Literal["config", "constant"] = "config"
    overrides: dict[str, Any] = Field(default_factory=dict)
    launcher: Literal["auto", "none", "pytorch", "slurm", "mpi"] = "auto"

    @field_validator("load_from")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        """Fill the environment's variables in."""
        return None if value is None else os.path.expandvars(value)
