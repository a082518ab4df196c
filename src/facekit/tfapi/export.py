"""Trained checkpoints as SavedModel, frozen graph and TFLite, by the API's own exporters.

What is written loads without the API and without any shim.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from facekit.atomic import atomic_path
from facekit.errors import ConfigError, OutputError
from facekit.tfapi import shims
from facekit.tfapi.checkpoints import as_input
from facekit.tfapi.failures import named

__all__ = ["LABEL_MAP", "export_frozen_graph", "export_saved_model", "export_tflite"]

LABEL_MAP: Final = "label_map.pbtxt"
"""Beside an export: the names of its classes."""

OUTPUTS: Final = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def export_saved_model(config: Path, checkpoints: Path, folder: Path) -> None:
    """Write a SavedModel with the API's signature, a batch of one uint8 image of any size.

    Args:
        config: The pipeline configuration.
        checkpoints: The folder of checkpoints; the newest is exported.
        folder: The SavedModel's folder, which must not be there yet.

    Raises:
        OutputError: If the folder is there already, or cannot be written.
        BackendError: If the API or TensorFlow fails.
    """
    if folder.exists():
        raise OutputError(f"{folder}: is there already; choose another place, or remove it")
    shims.provide()
    from object_detection import exporter_lib_v2  # noqa: PLC0415 - after the shims

    with _scratch(folder) as scratch, named("exporting the SavedModel"):
        exporter_lib_v2.export_inference_graph(
            "image_tensor", _pipeline(config), str(_holding(checkpoints)), str(scratch)
        )
        _keep_labels(config, scratch / "saved_model" / LABEL_MAP)
        _replace(scratch / "saved_model", folder)


def export_frozen_graph(config: Path, checkpoints: Path, path: Path) -> None:
    """Write one graph without variables, with the names of the API's first age.

    ``image_tensor:0`` goes in, ``detection_boxes:0`` and its like come out, control flow is
    TensorFlow 1's. The batch stays one, as in the SavedModel that it is made of.

    Args:
        config: The pipeline configuration.
        checkpoints: The folder of checkpoints; the newest is exported.
        path: The ``.pb`` to be written.

    Raises:
        OutputError: If it cannot be written.
        BackendError: If the API or TensorFlow fails.
    """
    with _scratch(path) as scratch:
        export_saved_model(config, checkpoints, scratch / "saved_model")
        with named("exporting the frozen graph"):
            data = _frozen(scratch / "saved_model")
    with atomic_path(path) as writing:
        writing.write_bytes(data)
    _keep_labels(config, path.with_name(LABEL_MAP))


def _frozen(saved_model: Path) -> bytes:
    """Return a SavedModel as a ``GraphDef``."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415 - not public
        convert_variables_to_constants_v2,
    )

    # The signature alone would not keep the variables.
    model = tf.saved_model.load(str(saved_model))
    function = model.signatures["serving_default"]
    image = tf.TensorSpec([1, None, None, 3], tf.uint8, name="image_tensor")

    @tf.function(input_signature=[image])
    def detect(image_tensor: Any) -> Any:  # noqa: ANN401 - tensors
        found = function(input_tensor=image_tensor)
        return [tf.identity(found[name], name=name) for name in OUTPUTS]

    frozen = convert_variables_to_constants_v2(
        detect.get_concrete_function(), lower_control_flow=True
    )
    data: bytes = frozen.graph.as_graph_def().SerializeToString()
    return data


def export_tflite(
    config: Path,
    checkpoints: Path,
    path: Path,
    *,
    photos: Iterable[npt.NDArray[np.uint8]] | None = None,
    max_detections: int = 100,
) -> None:
    """Write a TFLite model with the API's ``TFLite_Detection_PostProcess`` at its end.

    Args:
        config: The pipeline configuration.
        checkpoints: The folder of checkpoints; the newest is exported.
        path: The ``.tflite`` to be written.
        photos: ``(h, w, 3)`` uint8 RGB. With them, weights and activations are 8-bit integers
            whose ranges are measured on these photos, and the input is uint8; without, all is
            float32.
        max_detections: How many boxes come out.

    Raises:
        ConfigError: If there are no photos in ``photos``.
        BackendError: If the API or TensorFlow fails.
    """
    shims.provide()
    from object_detection import export_tflite_graph_lib_tf2 as exporter  # noqa: PLC0415

    pipeline = _pipeline(config)
    side = int(pipeline.model.ssd.image_resizer.fixed_shape_resizer.height)
    inputs = None if photos is None else [as_input(photo, side)[None] for photo in photos]
    if inputs is not None and not inputs:
        raise ConfigError("a full-integer model needs photos to measure its ranges on")
    with _scratch(path) as scratch, named("exporting TFLite"):
        exporter.export_tflite_model(
            pipeline,
            str(_holding(checkpoints)),
            str(scratch),
            max_detections,
            use_regular_nms=False,
        )
        data = _converted(scratch / "saved_model", inputs)
    with atomic_path(path) as writing:
        writing.write_bytes(data)
    _keep_labels(config, path.with_name(LABEL_MAP))


def _converted(saved_model: Path, inputs: list[npt.NDArray[np.float32]] | None) -> bytes:
    """Return a SavedModel as TFLite."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.allow_custom_ops = True
    if inputs is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([one] for one in inputs)
        # The suppression at the end is a custom op on floats; all before it is integer.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    data: bytes = converter.convert()
    return data


def _pipeline(config: Path) -> Any:  # noqa: ANN401 - the API's message
    """Read a pipeline configuration as the API's message."""
    from google.protobuf import text_format  # noqa: PLC0415 - comes with TensorFlow
    from object_detection.protos import pipeline_pb2  # noqa: PLC0415 - after the shims

    message = pipeline_pb2.TrainEvalPipelineConfig()
    try:
        return text_format.Parse(config.read_text(encoding="utf-8"), message)
    except (OSError, text_format.ParseError) as error:
        raise ConfigError(f"{config}: no pipeline configuration: {error}") from error


def _holding(checkpoints: Path) -> Path:
    """Return a folder of checkpoints that holds one.

    Raises:
        ConfigError: If it holds none.
    """
    if tf.train.latest_checkpoint(str(checkpoints)) is None:
        raise ConfigError(f"{checkpoints}: holds no checkpoint; train first")
    return checkpoints


def _keep_labels(config: Path, target: Path) -> None:
    """Put a configuration's label map beside its export, where the detector looks for it."""
    from facekit.tfapi.textproto import parse  # noqa: PLC0415 - only here

    message = parse(config.read_text(encoding="utf-8"), str(config))
    place = str(message.get("train_input_reader.label_map_path") or "").strip("\"'")
    if place and Path(place).is_file() and not target.exists():
        shutil.copyfile(place, target)


@contextlib.contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """Give a folder beside what is to be written, and remove it."""
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f".{beside.name}.", dir=beside.parent)
    except OSError as error:
        raise OutputError(f"{beside}: cannot be written: {error.strerror or error}") from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(source: Path, target: Path) -> None:
    os.replace(source, target)  # noqa: PTH105 - refuses a folder that came in between
