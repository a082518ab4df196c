"""Recipe ``tf_models``: tf-models-official's RetinaNet on MobileNetV2, by its own trainer.

It reads the records that ``facekit tfod pipeline`` and ``facekit dataset convert`` write, and ends
with a SavedModel for the detector ``tfod``.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

# An empty package: it says whether it is installed before TensorFlow is started.
import official  # noqa: F401

from facekit import datasets
from facekit.atomic import write_text
from facekit.datasets.label_map import read_label_map, text_of
from facekit.datasets.records import FACE
from facekit.errors import ConfigError
from facekit.tfapi.pipeline import SHARDS
from facekit.training import tensorflow_start
from facekit.training.foreign import Foreign, Job, Outcome
from facekit.training.tf_models import loop
from facekit.training.tf_models.options import TfModelsOptions

__all__ = ["EXPORT", "TfModels", "TfModelsOptions"]

EXPORT: Final = "saved_model"
_LABEL_MAP: Final = "label_map.pbtxt"
_MONITOR: Final = "AP50"


class TfModels(Foreign):
    """The package's own training; see the module."""

    name: ClassVar[str] = "tf_models"
    Options = TfModelsOptions
    options: TfModelsOptions

    def __init__(self, options: TfModelsOptions) -> None:
        """Look at the records and their labels.

        Raises:
            ConfigError: If records or the label map are missing, or a range is none.
            DatasetError: If the records or the label map are malformed.
        """
        super().__init__(options)
        lowest, highest = options.levels
        if not 2 <= lowest <= highest <= 7:  # noqa: PLR2004 - what MobileNetV2 and the pyramid have
            raise ConfigError(f"levels: expected two from 2 to 7 in order, got {options.levels}")
        side, stride = options.input_size, 2**highest
        if side % stride:
            # The package pads photos to the next multiple, and then refuses them.
            raise ConfigError(
                f"input_size: expected a multiple of {stride}, the stride of level {highest}, got "
                f"{side}: give {side + -side % stride}, or end levels lower"
            )
        if not 0 < options.zoom[0] <= options.zoom[1]:
            raise ConfigError(f"zoom: expected two factors in order, got {options.zoom}")
        self._train = _files("records", options.records)
        self._validation = (
            [] if options.validation is None else _files("validation", options.validation)
        )
        self._labels = _labels(options.label_map, options.records)

    def train(self, job: Job) -> Outcome:
        """Run the package's loop, its evaluation and its exporter; see :class:`Foreign`.

        Raises:
            ConfigError: If all steps are over.
            BackendError: If the package fails.
        """
        options = self.options
        tensorflow_start.prepare(job.seed, options.threads)
        done = loop.last_step(job.work)
        if done >= options.steps:
            raise ConfigError(f"all {options.steps} steps are over: give more steps")
        experiment = loop.configured(self._settings(job.seed))
        loop.log.info("tf_models: steps %d to %d; %s", done, options.steps, job.work)
        stopped, numbers = loop.train(
            experiment,
            job.work,
            measure=bool(self._validation),
            should_stop=job.should_stop,
        )
        step = loop.last_step(job.work)
        if stopped:
            return Outcome(step, metrics=numbers, interrupted=True)
        if options.export:
            loop.export(experiment, job.work, job.work / EXPORT)
            labels = text_of((name, number) for number, name in self._labels.items())
            write_text(job.work / EXPORT / _LABEL_MAP, labels)
        return Outcome(
            step,
            weights=job.work / EXPORT if options.export else None,
            monitor=_MONITOR if self._validation else "",
            best=numbers.get(_MONITOR),
            metrics=numbers,
        )

    def _settings(self, seed: int) -> loop.Settings:
        options = self.options
        return loop.Settings(
            train=self._train,
            validation=self._validation,
            classes=max(self._labels),
            warmup=options.steps // 20 if options.warmup is None else options.warmup,
            seed=seed,
            **options.model_dump(
                include={
                    "input_size",
                    "levels",
                    "anchor_size",
                    "anchor_scales",
                    "aspect_ratios",
                    "backbone_width",
                    "filters",
                    "convolutions",
                    "batch_size",
                    "steps",
                    "learning_rate",
                    "zoom",
                    "score_threshold",
                    "checkpoint_every",
                    "keep",
                }
            ),
        )


def _files(option: str, records: Path) -> list[Path]:
    """Return the files of a TFRecord.

    Raises:
        ConfigError: If there are none, or the first holds nothing.
        DatasetError: If it is no TFRecord of photos.
    """
    files = [records] if records.is_file() else sorted(records.parent.glob(records.name + SHARDS))
    if not files:
        raise ConfigError(
            f"{option}: no such file: {records}; write it by facekit dataset convert ... "
            f"tfrecord:{records}"
        )
    if next(iter(datasets.read(f"tfrecord:{files[0]}")), None) is None:
        raise ConfigError(f"{option}: {files[0]}: holds no photos")
    return [file.resolve() for file in files]


def _labels(given: Path | None, records: Path) -> dict[int, str]:
    """Return the labels by their numbers.

    Raises:
        ConfigError: If the label map is missing, or names nothing.
        DatasetError: If it is malformed.
    """
    place = records.with_name(_LABEL_MAP) if given is None else given
    if given is None and not place.is_file():
        return {1: FACE}
    if not place.is_file():
        raise ConfigError(f"label_map: no such file: {place}")
    labels = read_label_map(place)
    if not labels:
        raise ConfigError(f"label_map: {place}: names no class")
    return labels
