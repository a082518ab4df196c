"""SavedModels and frozen graphs, run by TensorFlow."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit.coexistence import make_peace
from facekit.errors import BackendError, ConfigError, WeightsError
from facekit.tfgraphs.signature import (
    OUTPUTS,
    Array,
    Role,
    Settings,
    TensorInfo,
    find_image,
    find_outputs,
    no_detector,
    readable,
    real,
    shown,
)

# Before the first import of TensorFlow: which processor it likes is nothing to report.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
make_peace()

import tensorflow as tf  # noqa: E402
from tensorflow.python.framework.convert_to_constants import (  # noqa: E402 - not public
    convert_variables_to_constants_v2,
)

__all__ = ["FrozenGraph", "SavedModel", "constant_graph"]

_SAVED_MODEL: Final = "SavedModel that this TensorFlow reads"
_FROZEN_GRAPH: Final = "frozen graph that this TensorFlow reads"
_DEFAULT_SIGNATURE: Final = "serving_default"
_SCORES_OF_CLASSES: Final = ("detection_multiclass_scores", "raw_detection_scores")
"""Their last side is the number of classes, and one for the background."""

_DEVICE: Final = re.compile(r"(cpu|gpu)(?::(\d+))?", re.IGNORECASE)

_log = logging.getLogger("facekit.tfgraphs")


class _TensorFlowGraph:
    """A function of TensorFlow that takes an image and gives named tensors."""

    first_class = 1
    pixel_range = (0.0, 1.0)

    image: TensorInfo
    outputs: Mapping[Role, str]
    class_count: int | None

    def __init__(self, path: Path, settings: Settings) -> None:
        """Set TensorFlow up, load the graph, and find its tensors.

        Raises:
            ConfigError: If the settings ask for what TensorFlow cannot do any more, or what is
                not there.
            WeightsError: If the graph is damaged or no detector.
        """
        _set_up(settings)
        self._device = _device(settings.device)
        with tf.device(self._device):
            self._load(path, settings)

    def _load(self, path: Path, settings: Settings) -> None:
        raise NotImplementedError

    def _run(self, images: Any) -> Mapping[Role, Any]:  # noqa: ANN401 - a tensor
        raise NotImplementedError

    def __call__(self, batch: Array) -> dict[Role, npt.NDArray[np.float32]]:
        """Run the graph; see :class:`facekit.tfgraphs.signature.Graph`."""
        try:
            with tf.device(self._device):
                answer = self._run(self._tensor(batch))
            return {
                role: real(tensor.numpy(), TensorInfo("", None, ""))
                for role, tensor in answer.items()
            }
        except Exception as error:
            # A graph may hold any operation, and fail in any of them.
            text = (str(error).strip().splitlines() or [""])[0]
            message = f"detector 'tfod': TensorFlow failed: {type(error).__name__}: {text}"
            raise BackendError(message) from error

    def _tensor(self, batch: Array) -> Any:  # noqa: ANN401 - a tensor
        """Return what the graph takes: pixels, files, or files as ``tf.train.Example``."""
        if self.image.dtype != "string":
            return tf.constant(batch)
        files = list(batch)
        if "tf_example" in self.image.name:
            files = [_example(file) for file in files]
        return tf.constant(files)


class SavedModel(_TensorFlowGraph):
    """A SavedModel of TF1 or TF2, or of tf-models-official."""

    def _load(self, path: Path, settings: Settings) -> None:
        """Load it, and pick a signature."""
        with readable(path, _SAVED_MODEL):
            # Kept, because its signatures only borrow its variables.
            self._model = tf.saved_model.load(str(path))
        name = _signature_name(list(self._model.signatures), settings.signature, path)
        self._function = self._model.signatures[name]
        inputs = {
            key: _info(key, spec)
            for key, spec in self._function.structured_input_signature[1].items()
        }
        outputs = {key: _info(key, spec) for key, spec in self._function.structured_outputs.items()}
        self.outputs = find_outputs(outputs, settings, path, inputs=inputs.values(), named=name)
        self.image = find_image(inputs, settings, path)
        if len(inputs) > 1:
            raise WeightsError(path, f"takes more than an image: {shown(inputs.values())}")
        self.class_count = _class_count(outputs)

    @property
    def function(self) -> Any:  # noqa: ANN401 - a concrete function
        """The signature, which takes the image by its name and gives a tensor for each output."""
        return self._function

    def _run(self, images: Any) -> Mapping[Role, Any]:  # noqa: ANN401 - a tensor
        answer = self._function(**{self.image.name: images})
        return {role: answer[name] for role, name in self.outputs.items()}


class FrozenGraph(_TensorFlowGraph):
    """A graph of TF1 with its weights as constants: ``frozen_inference_graph.pb``."""

    def _load(self, path: Path, settings: Settings) -> None:
        """Import it, and cut out what leads from the image to the detections."""
        whole = _imported(path)
        inputs, outputs = _doors(whole.graph)
        every = {
            tensor.name: _info(tensor.name, tensor)
            for operation in whole.graph.get_operations()
            for tensor in operation.outputs
        }
        known: dict[Role, str] = {role: f"{name}:0" for role, name in OUTPUTS.items()}
        try:
            self.outputs = find_outputs(every, settings, path, known=known)
        except WeightsError:
            # Of its thousand tensors only those at its ends tell something.
            raise no_detector(path, inputs.values(), outputs.values()) from None
        self.image = find_image(every if "image" in settings.nodes else inputs, settings, path)
        self.class_count = _class_count(
            {name.removesuffix(":0"): info for name, info in every.items()}
        )
        self._function = whole.prune(self._name_of(self.image), list(self.outputs.values()))

    @staticmethod
    def _name_of(tensor: TensorInfo) -> str:
        return tensor.name if ":" in tensor.name else f"{tensor.name}:0"

    def _run(self, images: Any) -> Mapping[Role, Any]:  # noqa: ANN401 - a tensor
        return dict(zip(self.outputs, self._function(images), strict=True))


def _imported(path: Path) -> Any:  # noqa: ANN401 - a function without arguments
    """Import a frozen graph.

    Raises:
        WeightsError: If it is damaged.
    """
    definition = tf.compat.v1.GraphDef()
    with readable(path, _FROZEN_GRAPH):
        definition.ParseFromString(path.read_bytes())
        return tf.compat.v1.wrap_function(
            lambda: tf.compat.v1.import_graph_def(definition, name=""), []
        )


def constant_graph(kind: str, path: Path) -> Any:  # noqa: ANN401 - tf.Graph
    """Return a graph in which the weights are constants.

    Args:
        kind: As :func:`facekit.tfgraphs.kind_of` calls it.
        path: Its place.

    Raises:
        WeightsError: If it is damaged.
    """
    if kind == "frozen_graph":
        return _imported(path).graph
    with readable(path, _SAVED_MODEL):
        model = tf.saved_model.load(str(path))
    name = _signature_name(list(model.signatures), None, path)
    return convert_variables_to_constants_v2(model.signatures[name]).graph


def _doors(graph: Any) -> tuple[dict[str, TensorInfo], dict[str, TensorInfo]]:  # noqa: ANN401 - tf.Graph
    """Return a graph's placeholders by operation, and the tensors that nothing uses."""
    inputs, ends = {}, {}
    for operation in graph.get_operations():
        if operation.type == "Placeholder":
            inputs[operation.name] = _info(operation.name, operation.outputs[0])
        elif operation.type not in {"Const", "NoOp"}:
            free = [tensor for tensor in operation.outputs if not tensor.consumers()]
            ends.update({tensor.name: _info(tensor.name, tensor) for tensor in free})
    return inputs, ends


def _signature_name(known: list[str], wanted: str | None, path: Path) -> str:
    """Return the name of the signature to be called.

    Raises:
        ConfigError: If the wanted one is not there.
        WeightsError: If there is none, or nobody said which.
    """
    listed = ", ".join(known) or "none"
    if wanted is not None:
        if wanted not in known:
            message = f"detector 'tfod': {path} has no signature {wanted!r}; there is {listed}"
            raise ConfigError(message)
        return wanted
    if _DEFAULT_SIGNATURE in known:
        return _DEFAULT_SIGNATURE
    if len(known) == 1:
        return known[0]
    if not known:
        raise WeightsError(path, "a SavedModel without signatures: export it with one")
    raise WeightsError(path, f"which signature detects? Name it by the option signature: {listed}")


def _info(name: str, tensor: Any) -> TensorInfo:  # noqa: ANN401 - Tensor, TensorSpec
    """Describe a tensor."""
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return TensorInfo(name, shape, tensor.dtype.name)


def _class_count(outputs: Mapping[str, TensorInfo]) -> int | None:
    """Return how many classes a graph tells apart, where an output's shape says so."""
    for name in _SCORES_OF_CLASSES:
        shape = outputs[name].shape if name in outputs else None
        if shape is not None and len(shape) == 3 and shape[2] is not None:  # noqa: PLR2004 - batch, box, class
            return shape[2] - 1
    return None


def _example(file: bytes) -> bytes:
    """Return an encoded image as the ``tf.train.Example`` that the API's own decoder reads."""
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
    features = tf.train.Features(feature={"image/encoded": value})
    serialized: bytes = tf.train.Example(features=features).SerializeToString()
    return serialized


def _set_up(settings: Settings) -> None:
    """Set what TensorFlow lets a process set before its first operation only.

    Raises:
        ConfigError: If TensorFlow runs already with another number of threads.
    """
    threading = tf.config.threading
    if settings.threads and threading.get_intra_op_parallelism_threads() != settings.threads:
        try:
            threading.set_intra_op_parallelism_threads(settings.threads)
            threading.set_inter_op_parallelism_threads(settings.threads)
        except RuntimeError as error:
            now = threading.get_intra_op_parallelism_threads() or "its own choice of"
            message = (
                f"detector 'tfod': threads={settings.threads}: TensorFlow runs in this process "
                f"with {now} threads already, and has one number for all its graphs"
            )
            raise ConfigError(message) from error
    for gpu in tf.config.list_physical_devices("GPU") if settings.memory_growth else ():
        try:
            tf.config.experimental.set_memory_growth(gpu, enable=True)
        except (RuntimeError, ValueError) as error:
            _log.warning("memory of %s will not grow as needed: %s", gpu.name, error)


def _device(name: str | None) -> str | None:
    """Return a device as TensorFlow names it.

    Raises:
        ConfigError: If there is no such device.
    """
    if name is None:
        return None
    match = _DEVICE.fullmatch(name)
    kind, index = (match[1].upper(), int(match[2] or 0)) if match else ("", 0)
    if not kind or index >= len(tf.config.list_physical_devices(kind)):
        there = (device.device_type for device in tf.config.list_physical_devices())
        known = ", ".join(sorted({kind.lower() for kind in there}))
        message = f"detector 'tfod': device {name!r} is not there; TensorFlow sees: {known}"
        raise ConfigError(message)
    return f"/{kind}:{index}"
