"""tf-models-official's RetinaNet on MobileNetV2, its own trainer and its own exporter."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from official.core import exp_factory, task_factory, train_lib, train_utils
from official.modeling import optimization
from official.vision.configs import backbones, common, decoders, retinanet

# Importing it tells the package's registry of tasks about it.
from official.vision.tasks import retinanet as _task  # noqa: F401

from facekit.tfapi.failures import named

__all__ = ["Experiment", "Settings", "configured", "export", "last_step", "log", "train"]

Experiment = Any
"""The package's ``ExperimentConfig``."""

_PACKAGE: Final = "tf-models-official"
_AT_ONCE: Final = 10
"""Steps in one call of TensorFlow at most: between two of them a run can be stopped."""
_SHUFFLED: Final = 1000
_CLIP: Final = 10.0
_MOMENTUM: Final = 0.97
"""Of the statistics of batch norms: a run of hundreds of steps has to be enough for them."""
_LOSSES: Final = {"total_loss": "loss", "cls_loss": "class", "box_loss": "box"}

log = logging.getLogger("facekit.training")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is changed of the package's own ``retinanet``; see the recipe's options."""

    train: Sequence[Path]
    validation: Sequence[Path]
    classes: int
    input_size: int
    levels: tuple[int, int]
    anchor_size: float
    anchor_scales: int
    aspect_ratios: tuple[float, ...]
    backbone_width: float
    filters: int
    convolutions: int
    batch_size: int
    steps: int
    warmup: int
    learning_rate: float
    zoom: tuple[float, float]
    score_threshold: float
    checkpoint_every: int
    keep: int
    seed: int


def configured(settings: Settings) -> Experiment:
    """Return the package's experiment ``retinanet`` as the settings have it.

    Args:
        settings: All that differs.
    """
    experiment = exp_factory.get_exp_config("retinanet")
    experiment.task.model = _model(settings)
    # Losses and pixels in full precision: the package's default is the TPU's.
    experiment.runtime.mixed_precision_dtype = "float32"
    experiment.task.train_data = _data(settings, settings.train, training=True)
    experiment.task.validation_data = _data(settings, settings.validation, training=False)
    trainer = experiment.trainer
    trainer.train_steps = settings.steps
    trainer.steps_per_loop = math.gcd(settings.checkpoint_every, _AT_ONCE)
    trainer.checkpoint_interval = settings.checkpoint_every
    trainer.max_to_keep = settings.keep
    warmup = {"warmup_steps": settings.warmup, "warmup_learning_rate": 0.0}
    cosine = {"initial_learning_rate": settings.learning_rate, "decay_steps": settings.steps}
    trainer.optimizer_config = optimization.OptimizationConfig(
        {
            "optimizer": {"type": "adam", "adam": {"global_clipnorm": _CLIP}},
            "learning_rate": {"type": "cosine", "cosine": cosine},
            "warmup": {"type": "linear", "linear": warmup},
        }
    )
    return experiment


def _model(settings: Settings) -> Any:  # noqa: ANN401 - the package's
    """Return the network's configuration."""
    lowest, highest = settings.levels
    return retinanet.RetinaNet(
        # 0 is the background.
        num_classes=settings.classes + 1,
        input_size=[settings.input_size, settings.input_size, 3],
        min_level=lowest,
        max_level=highest,
        anchor=retinanet.Anchor(
            num_scales=settings.anchor_scales,
            aspect_ratios=list(settings.aspect_ratios),
            anchor_size=settings.anchor_size,
        ),
        backbone=backbones.Backbone(
            type="mobilenet",
            mobilenet=backbones.MobileNet(
                model_id="MobileNetV2", filter_size_scale=settings.backbone_width
            ),
        ),
        decoder=decoders.Decoder(type="fpn", fpn=decoders.FPN(num_filters=settings.filters)),
        head=retinanet.RetinaNetHead(num_convs=settings.convolutions, num_filters=settings.filters),
        detection_generator=retinanet.DetectionGenerator(
            pre_nms_score_threshold=settings.score_threshold
        ),
        norm_activation=common.NormActivation(
            activation="relu6", norm_momentum=_MOMENTUM, use_sync_bn=False
        ),
    )


def _data(settings: Settings, files: Sequence[Path], *, training: bool) -> Any:  # noqa: ANN401 - the package's
    """Return what is read, and how."""
    parser = retinanet.Parser()
    if training:
        lowest, highest = settings.zoom
        parser = retinanet.Parser(aug_rand_hflip=True, aug_scale_min=lowest, aug_scale_max=highest)
    # Its metrics want a number where facekit, as the Object Detection API, has the file's name.
    decoder = common.DataDecoder(simple_decoder=common.TfExampleDecoder(regenerate_source_id=True))
    return retinanet.DataConfig(
        input_path=[str(file) for file in files],
        is_training=training,
        global_batch_size=settings.batch_size if training else 1,
        drop_remainder=training,
        shuffle_buffer_size=_SHUFFLED,
        dtype="float32",
        decoder=decoder,
        parser=parser,
        seed=settings.seed if training else None,
    )


def last_step(folder: Path) -> int:
    """Return the step of a folder's newest checkpoint; 0 where there is none.

    Args:
        folder: Where the trainer's checkpoints are.
    """
    prefix = tf.train.latest_checkpoint(str(folder))
    if prefix is None:
        return 0
    name = "global_step/.ATTRIBUTES/VARIABLE_VALUE"
    return int(tf.train.load_checkpoint(prefix).get_tensor(name))


def train(
    experiment: Experiment,
    folder: Path,
    *,
    measure: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[bool, dict[str, float]]:
    """Train to the experiment's last step, from where the folder's newest checkpoint is.

    Args:
        experiment: See :func:`configured`.
        folder: Where checkpoints are, and will be, and the experiment as ``params.yaml``.
        measure: Whether to measure the validation data at the end.
        should_stop: Asked after every few steps; if so the step is kept.

    Returns:
        Whether it was stopped before its end; and the last losses and the package's own COCO
        metrics, by its names.

    Raises:
        BackendError: If the package fails, for instance by a loss that is no number.
    """
    numbers: dict[str, float] = {}
    with named("training", _PACKAGE):
        strategy = tf.distribute.get_strategy()
        runner = train_lib.OrbitExperimentRunner(
            strategy,
            task_factory.get_task(experiment.task, logging_dir=str(folder)),
            "train_and_eval" if measure else "train",
            experiment,
            str(folder),
            save_summary=False,
        )
        step = runner.trainer.global_step

        def told(output: Mapping[str, Any]) -> None:
            numbers.update({_LOSSES[name]: float(output[name]) for name in _LOSSES})
            shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
            log.info("step %d: %s", int(step), shown)
            if should_stop():
                raise _Stopped

        # After the package's own, which look at the loss.
        runner.controller.train_actions += (told,)
        train_utils.serialize_config(experiment, str(folder))
        try:
            runner.controller.train(experiment.trainer.train_steps)
        except _Stopped:
            runner.checkpoint_manager.save(checkpoint_number=int(step), check_interval=False)
            return True, numbers
    if measure:
        with named("measuring", _PACKAGE):
            found = runner.controller.evaluate(steps=-1)
        numbers |= {name: float(found[name]) for name in found if name.startswith(("AP", "AR"))}
    return False, numbers


class _Stopped(BaseException):
    """Leaves the package's loop; no error, so that nothing on the way takes it for one."""


def export(experiment: Experiment, checkpoints: Path, folder: Path) -> None:
    """Write a SavedModel that takes uint8 photos of any size, one or more of the same size.

    Args:
        experiment: See :func:`configured`.
        checkpoints: The folder of checkpoints; the newest is exported.
        folder: The SavedModel's; replaced where it is there.

    Raises:
        BackendError: If the package or TensorFlow fails.
    """
    # It brings the exporters of all the package's tasks.
    from official.vision.serving import export_saved_model_lib  # noqa: PLC0415

    scratch = folder.with_name(f".{folder.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    with named("exporting", _PACKAGE):
        export_saved_model_lib.export_inference_graph(
            input_type="image_tensor",
            batch_size=None,
            input_image_size=list(experiment.task.model.input_size[:2]),
            params=experiment,
            checkpoint_path=tf.train.latest_checkpoint(str(checkpoints)),
            export_dir=str(scratch),
        )
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
