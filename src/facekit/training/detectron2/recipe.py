"""The recipe ``detectron2``: Detectron2's own trainer on facekit's datasets.

``DefaultTrainer`` runs, with its augmentations, solver, checkpoints and COCO evaluator; facekit
brings the photos, the tutorial's solver values, and the run's folder.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import COCOEvaluator
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from pydantic import Field

from facekit import weights
from facekit.atomic import write_text
from facekit.d2.checkpoints import load_into
from facekit.d2.configs import found, is_lazy, read_yaml
from facekit.errors import ConfigError
from facekit.training.data_source import DataSources
from facekit.training.detectron2.data import read, registered
from facekit.training.foreign import Foreign, ForeignOptions, Job, Outcome

__all__ = ["Detectron2Options", "Detectron2Recipe"]

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

log = logging.getLogger("facekit.training")


class Detectron2Options(ForeignOptions):
    """Options of the recipe ``detectron2``.

    Attributes:
        data: Annotated photos; a list of sources, each ``data``, ``images``, ``part``.
        validation: The same of photos to measure on, beside those that are held out.
        held_out: Share of the photos that are measured on instead of trained on.
        config: Detectron2's YAML, or the name of one that it ships.
        overrides: Values of it to be changed, by dotted key; over all that is said below.
        weights: Start from this checkpoint, of any classes; by default from random weights.
        masks: ``boxes`` lets a face without polygons have its box as mask, ``off`` takes the
            masks off the model.
        device: What PyTorch runs it on.
        batch_size: Images a step.
        lr: The learning rate.
        warmup: Steps of the linear warm-up.
        steps: The end of the run.
        milestones: Steps at which the rate is multiplied by ``gamma``.
        gamma: See ``milestones``.
        workers: Processes that prepare images.
        regions: Regions of an image that the heads learn from.
        evaluate_every: Steps between evaluations.
        keep_every: Steps between checkpoints.
    """

    data: Annotated[DataSources, Field(min_length=1)]
    validation: DataSources = ()
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.05
    config: Path
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    weights: Path | None = None
    masks: Literal["boxes", "off"] = "boxes"
    device: str = "cuda"
    batch_size: Count = 4
    lr: Positive = 0.001
    warmup: Annotated[int, Field(ge=0)] = 1000
    steps: Count = 1500
    milestones: tuple[Count, ...] = (1000, 1500)
    gamma: Positive = 0.05
    workers: Annotated[int, Field(ge=0)] = 4
    regions: Count = 64
    evaluate_every: Count = 500
    keep_every: Count = 500


class Detectron2Recipe(Foreign):
    """Trains any R-CNN of Detectron2 by its own trainer."""

    name: ClassVar[str] = "detectron2"
    Options = Detectron2Options

    options: Detectron2Options

    def __init__(self, options: Detectron2Options) -> None:
        """Read configuration and photos.

        Raises:
            ConfigError: If the configuration is malformed or lazy, or an image is not there.
            DatasetError: If an annotation is malformed.
            WeightsError: If the weights are missing.
        """
        super().__init__(options)
        path = found(options.config)
        if is_lazy(path):
            raise ConfigError(f"{path}: Detectron2 trains lazy configs by scripts: give a YAML")
        self._config = read_yaml(path, {**_values(options), **options.overrides})
        self._weights = None
        if options.weights is not None:
            self._weights = weights.resolve(options.weights, default=self.name)
        photos = read(options.data)
        apart = _every(len(photos), options.held_out)
        self._photos = [one for row, one in enumerate(photos) if row not in apart]
        held_out = [one for row, one in enumerate(photos) if row in apart]
        self._held_out = held_out + read(options.validation)
        for number, one in enumerate(self._held_out):
            one["image_id"] = number
        if not any(one["annotations"] for one in self._photos):
            raise ConfigError("no face is left to train on: give more data, or lower held_out")

    def train(self, job: Job) -> Outcome:
        """Run ``DefaultTrainer``; see :meth:`Foreign.train`."""
        seed_all_rng(job.seed)
        setup_logger(str(job.work))
        with contextlib.ExitStack() as stack:
            config = self._prepared(job, stack)
            trainer = _Trainer(config)
            trainer.resume_or_load(resume=job.resume)
            if trainer.start_iter >= trainer.max_iter:
                for writer in trainer.writers:
                    writer.close()
                raise ConfigError(f"all {trainer.start_iter} steps are over: give more steps")
            if self._weights is not None and not trainer.start_iter:
                fresh = load_into(trainer.model, self._weights, strict=False)
                log.info("%s: start anew: %s", self._weights, "; ".join(fresh) or "nothing")
            trainer.register_hooks([_Stop(job)])
            stopped = False
            try:
                trainer.train()
            except _Stopped:
                stopped = True
            return _outcome(trainer, job, interrupted=stopped)

    def _prepared(self, job: Job, stack: contextlib.ExitStack) -> Any:  # noqa: ANN401 - CfgNode
        """Register the photos and say in the configuration where all is."""
        config = self._config.clone()
        config.DATASETS.TRAIN = (stack.enter_context(registered(self._photos)),)
        config.DATASETS.TEST = ()
        if self._held_out:
            config.DATASETS.TEST = (stack.enter_context(registered(self._held_out)),)
        config.OUTPUT_DIR = str(job.work)
        config.SEED = job.seed
        kept = config.clone()
        kept.DATASETS.TRAIN, kept.DATASETS.TEST = (), ()
        if job.is_first:
            # What the adapter is given beside the weights.
            write_text(job.work / "config.yaml", kept.dump())
        return config


def _values(options: Detectron2Options) -> dict[str, Any]:
    """Return the options as Detectron2's values."""
    return {
        "MODEL.WEIGHTS": "",
        "MODEL.DEVICE": options.device,
        "MODEL.ROI_HEADS.NUM_CLASSES": 1,
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": options.regions,
        **({"MODEL.MASK_ON": False} if options.masks == "off" else {}),
        "DATALOADER.NUM_WORKERS": options.workers,
        "SOLVER.IMS_PER_BATCH": options.batch_size,
        "SOLVER.BASE_LR": options.lr,
        "SOLVER.WARMUP_ITERS": options.warmup,
        "SOLVER.MAX_ITER": options.steps,
        "SOLVER.STEPS": tuple(options.milestones),
        "SOLVER.GAMMA": options.gamma,
        "SOLVER.CHECKPOINT_PERIOD": options.keep_every,
        "TEST.EVAL_PERIOD": options.evaluate_every,
    }


def _every(count: int, share: float) -> set[int]:
    """Return the rows of about a share of so many, spread evenly."""
    return {int((i + 0.5) / share) for i in range(round(share * count))} if share else set()


class _Trainer(DefaultTrainer):  # type: ignore[misc, unused-ignore] # Any where it is absent
    """Detectron2's trainer with COCO's evaluator."""

    @classmethod
    def build_evaluator(cls, cfg: Any, dataset_name: str, _folder: Any = None) -> Any:  # noqa: ANN401 - Detectron2's own
        """Measure as COCO does; the annotation is never taken from an earlier run's file."""
        return COCOEvaluator(dataset_name, output_dir=cfg.OUTPUT_DIR, allow_cached_coco=False)

    def build_writers(self) -> Any:  # noqa: ANN401 - Detectron2's own
        """Remember what is to be closed if the run does not begin."""
        self.writers = super().build_writers()
        return self.writers


class _Stopped(BaseException):
    """The run was asked to stop; no error, so that Detectron2 logs no traceback."""


class _Stop(HookBase):  # type: ignore[misc, unused-ignore] # Any where it is absent
    """Keeps the step and leaves, if the run was asked to."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def after_step(self) -> None:
        """Ask; the last step has its own checkpoint."""
        trainer = self.trainer
        if self._job.should_stop() and trainer.iter + 1 < trainer.max_iter:
            trainer.checkpointer.save(f"model_{trainer.iter:07d}", iteration=trainer.iter)
            _leave()


def _leave() -> NoReturn:
    raise _Stopped


def _outcome(trainer: Any, job: Job, *, interrupted: bool) -> Outcome:  # noqa: ANN401 - DefaultTrainer
    """Say what a run came to."""
    metrics = dict(_flat(getattr(trainer, "_last_eval_results", None) or {}))
    best = metrics.get("bbox/AP50")
    name = (job.work / "last_checkpoint").read_text(encoding="utf-8").strip()
    return Outcome(
        step=trainer.iter + 1 if interrupted else trainer.max_iter,
        weights=job.work / name,
        monitor="" if best is None else "bbox/AP50",
        best=best,
        metrics=metrics,
        interrupted=interrupted,
    )


def _flat(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield COCO's numbers, 0 to 1 instead of 0 to 100, by ``task/number``."""
    for task, numbers in results.items():
        for name, value in numbers.items():
            if math.isfinite(value):
                yield f"{task}/{name}", value / 100
