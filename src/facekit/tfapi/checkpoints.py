"""Checkpoints of the API: what a run has kept, and what one starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from facekit.tfapi import shims
from facekit.tfapi.failures import named

__all__ = [
    "Trunk",
    "as_input",
    "built_backbone",
    "last_step",
    "newest",
    "save_backbone",
    "save_detector",
]

Trunk = Any
"""The Keras model of a feature extractor."""


def newest(folder: Path) -> str | None:
    """Return the prefix of a folder's newest checkpoint; ``None`` where there is none.

    Args:
        folder: The model folder.
    """
    prefix: str | None = tf.train.latest_checkpoint(str(folder))
    return prefix


def last_step(folder: Path) -> int | None:
    """Return the step of a folder's newest checkpoint; ``None`` where there is none.

    Args:
        folder: The model folder.
    """
    prefix = newest(folder)
    if prefix is None:
        return None
    name = "step/.ATTRIBUTES/VARIABLE_VALUE"
    return int(tf.train.load_checkpoint(prefix).get_tensor(name))


def built_backbone(config: Path) -> tuple[Trunk, int]:
    """Return the feature extractor's classification network of a configuration, built.

    Args:
        config: The pipeline configuration, of an SSD with a fixed input.

    Returns:
        The Keras model with fresh weights, and the side of its input.

    Raises:
        BackendError: If the API cannot build it.
    """
    model, side = _built(config)
    return model._feature_extractor.classification_backbone, side  # noqa: SLF001 - no other way


def save_backbone(backbone: Trunk, prefix: Path) -> str:
    """Write a checkpoint that ``fine_tune_checkpoint_type: "classification"`` restores.

    Args:
        backbone: See :func:`built_backbone`.
        prefix: Folder and first part of the files' names.

    Returns:
        What ``fine_tune_checkpoint`` has to be.
    """
    # Not ``write``: restoring wants the counter of saves, too.
    return str(tf.train.Checkpoint(feature_extractor=backbone).save(str(prefix)))


def save_detector(config: Path, begun: str, prefix: Path) -> str:
    """Write a checkpoint of another's detector alone: ``fine_tune_checkpoint_type: "full"``.

    A checkpoint of training holds its step, too, and the API's loop, told to restore the model
    alone, takes up that step once it runs: a schedule that begins at the other one's end.

    Args:
        config: The pipeline configuration, of an SSD with a fixed input.
        begun: The prefix of a checkpoint of the same layers and anchors.
        prefix: Folder and first part of the files' names.

    Returns:
        What ``fine_tune_checkpoint`` has to be.

    Raises:
        BackendError: If the API cannot build it, or the checkpoint is of another detector.
    """
    model, _ = _built(config)
    whole = tf.train.Checkpoint(model=model)
    with named("starting from another run"):
        whole.restore(begun).expect_partial().assert_existing_objects_matched()
        return str(whole.save(str(prefix)))


def _built(config: Path) -> tuple[Any, int]:
    """Return a configuration's detector with all of its variables, and the side of its input."""
    shims.provide()
    from object_detection.builders import model_builder  # noqa: PLC0415 - after the shims
    from object_detection.utils import config_util  # noqa: PLC0415

    with named("building"):
        model_config = config_util.get_configs_from_pipeline_file(str(config))["model"]
        side = int(model_config.ssd.image_resizer.fixed_shape_resizer.height)
        model = model_builder.build(model_config, is_training=True)
        tf.keras.backend.set_learning_phase(False)
        model.predict(tf.zeros([1, side, side, 3]), tf.constant([[side, side, 3]]))
    return model, side


def as_input(photo: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """Return a photo as the feature extractor takes it: stretched to a square, -1 to 1.

    Args:
        photo: ``(h, w, 3)`` uint8 RGB.
        side: The square's, pixels.
    """
    # TensorFlow 1's resizing, which is that of the API's graphs.
    batch = tf.constant(photo[None], tf.float32)
    resized = tf.compat.v1.image.resize_bilinear(batch, [side, side])
    return np.asarray(resized)[0] * np.float32(2 / 255) - np.float32(1)
