"""Recipe ``tfod``: an SSD trained by the TF Object Detection API itself, on today's TensorFlow.

What is trained, and on what, says the API's own pipeline configuration, which ``facekit tfod
pipeline`` writes with the records. The loop is ``model_lib_v2``'s; the shims that it needs are
:mod:`facekit.tfapi.shims`.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

# An empty package: it says whether the API is installed, and runs nothing before the shims.
import object_detection  # noqa: F401
from pydantic import Field

from facekit import datasets, weights
from facekit.atomic import write_text
from facekit.errors import ConfigError
from facekit.tfapi import shims
from facekit.tfapi.generations import modernised
from facekit.tfapi.pipeline import (
    Changes,
    changed,
    check_schedule,
    read_base,
    records_of,
    steps_of,
)
from facekit.training import tensorflow_start
from facekit.training.foreign import Foreign, ForeignOptions, Job, Outcome
from facekit.training.tfod import start as tfod_start
from facekit.training.tfod.pipeline import CONFIG

__all__ = ["EXPORT", "Tfod", "TfodOptions"]

EXPORT: Final = "saved_model"
_START: Final = "start"
_PHOTOS: Final = 24
"""Enough for the statistics of batch norms, of which each channel sees 14 x 14 and more places."""
_MONITOR: Final = "DetectionBoxes_Precision/mAP@.50IOU"

log = logging.getLogger("facekit.training")


class TfodOptions(ForeignOptions):
    """Options of the recipe ``tfod``.

    Attributes:
        pipeline: A ``pipeline.config``, or the folder that ``facekit tfod pipeline`` wrote.
        steps: The step to stop at; by default the configuration's ``num_steps``. Its schedule is
            not changed, and has to reach that far: ``facekit tfod pipeline --steps`` writes it.
        checkpoint_every: Steps between checkpoints, and at most what a kill loses.
        keep: How many checkpoints stay.
        start: Begin with facekit's own weights, ``tiny_ssd`` or the ONNX file of one's own tiny
            SSD; the configuration has to have a width of 0.75. Or with all of another run's
            detector: its folder, of a configuration of the same layers and anchors; the schedule
            begins anew. By default what the configuration says, which may be nothing.
        evaluate: Whether to measure at the end, by the API's own COCO metrics.
        evaluate_1_of: Measure on every so many-th example only.
        export: Whether to write a SavedModel at the end, which the detector ``tfod`` takes.
        threads: CPU threads; 0 leaves it to TensorFlow.
    """

    pipeline: Path
    steps: int | None = Field(default=None, ge=1)
    checkpoint_every: int = Field(default=1000, ge=1)
    keep: int = Field(default=3, ge=1)
    start: str | None = None
    evaluate: bool = True
    evaluate_1_of: int = Field(default=1, ge=1)
    export: bool = True
    threads: int = Field(default=0, ge=0)


class Tfod(Foreign):
    """The API's own training; see the module."""

    name: ClassVar[str] = "tfod"
    Options = TfodOptions
    options: TfodOptions

    def __init__(self, options: TfodOptions) -> None:
        """Look at the configuration and at what it is to start from.

        Raises:
            ConfigError: If the configuration cannot be read, or its schedule is not that long.
            WeightsError: If ``start`` cannot be read.
            MissingDependencyError: If the API is not installed.
        """
        super().__init__(options)
        for shim in shims.provide():
            log.info("shim %s: %s", shim.name, shim.effect)
        place = options.pipeline
        self._message = read_base(str(place / CONFIG if place.is_dir() else place))
        self._notes = modernised(self._message)
        self._records = records_of(self._message, "train")
        self._steps = options.steps or steps_of(self._message)
        if not self._steps:
            raise ConfigError(f"{place}: says no num_steps: set steps")
        check_schedule(self._message, self._steps)
        self._start: list[tfod_start.Folded] | Path | None = None
        if options.start is not None and Path(options.start).is_dir():
            self._start = _work(Path(options.start))
        elif options.start is not None:
            self._start = tfod_start.first_layers(
                weights.resolve(_place(options.start), default="tiny_ssd")
            )

    def train(self, job: Job) -> Outcome:
        """Run the API's loop, its evaluation and its exporter; see :class:`Foreign`.

        Raises:
            ConfigError: If all steps are over, or the run's schedule ends before them.
            BackendError: If the API fails.
        """
        from facekit.tfapi import checkpoints, export, loop  # noqa: PLC0415 - after the shims

        options, config = self.options, job.work / CONFIG
        tensorflow_start.prepare(job.seed, options.threads)
        for note in self._notes:
            log.info("%s", note)
        done = checkpoints.last_step(job.work) or 0
        if done >= self._steps:
            raise ConfigError(f"all {self._steps} steps are over: give more steps")
        if done:
            # What the run began with, whatever has been written where its options point since.
            check_schedule(read_base(str(config)), self._steps)
        else:
            self._begin(config, job.work)
        log.info("tfod: steps %d to %d; %s", done, self._steps, job.work)
        stopped = loop.train(
            config,
            job.work,
            steps=self._steps,
            checkpoint_every=options.checkpoint_every,
            keep=options.keep,
            should_stop=job.should_stop,
        )
        step = checkpoints.last_step(job.work) or 0
        if stopped:
            return Outcome(step, interrupted=True)
        numbers = {}
        if options.evaluate:
            numbers = loop.evaluate(config, job.work, sample_1_of=options.evaluate_1_of)
        if options.export:
            shutil.rmtree(job.work / EXPORT, ignore_errors=True)
            export.export_saved_model(config, job.work, job.work / EXPORT)
        return Outcome(
            step,
            weights=job.work / EXPORT if options.export else None,
            monitor=_MONITOR,
            best=numbers.get(_MONITOR),
            metrics=numbers,
        )

    def _begin(self, config: Path, work: Path) -> None:
        """Keep the configuration in the run's folder, and what to start from."""
        from facekit.tfapi import checkpoints  # noqa: PLC0415 - TensorFlow, after the shims

        # The API would draw some of what it evaluates, by a function that Pillow 10 dropped.
        self._message.set("eval_config.num_visualizations", "0")
        write_text(config, str(self._message))
        if self._start is None:
            return
        if isinstance(self._start, Path):
            begun = checkpoints.newest(self._start)
            if begun is None:
                raise ConfigError(f"start: {self._start} holds no checkpoint; train first")
            prefix = checkpoints.save_detector(config, begun, work / _START / "ckpt")
            write_text(config, str(changed(self._message, Changes(start=prefix, start_whole=True))))
            return
        backbone, side = checkpoints.built_backbone(config)
        photos = [checkpoints.as_input(photo, side) for photo in self._photos()]
        tfod_start.fill(backbone, self._start, np.stack(photos))
        prefix = checkpoints.save_backbone(backbone, work / _START / "ckpt")
        write_text(config, str(changed(self._message, Changes(start=prefix))))

    def _photos(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield a few photos of what is trained on."""
        import tensorflow as tf  # noqa: PLC0415 - after the shims

        records = datasets.read(f"tfrecord:{self._records}")
        for record in itertools.islice(records, _PHOTOS):
            photo: Any = tf.io.decode_image(record.data, channels=3, expand_animations=False)
            yield photo.numpy()


def _work(run: Path) -> Path:
    """Return where a run's checkpoints are, of its folder or of its ``work``."""
    return (run / "work" if (run / "work").is_dir() else run).resolve()


def _place(start: str) -> Path | str:
    """Return what ``weights`` understands: a path where it looks like one, else a name."""
    return Path(start) if Path(start).suffix else start
