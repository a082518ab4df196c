"""TFLite models, run by LiteRT, or by TensorFlow where LiteRT is not installed."""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit.coexistence import make_peace
from facekit.errors import BackendError, ConfigError
from facekit.tfgraphs.signature import (
    Array,
    Role,
    Settings,
    TensorInfo,
    by_stem,
    find_image,
    find_outputs,
    readable,
    real,
)

try:
    from ai_edge_litert.interpreter import Interpreter
except ModuleNotFoundError as missing:
    if missing.name is None or not missing.name.startswith("ai_edge_litert"):
        raise
    make_peace()
    try:
        Interpreter = importlib.import_module("tensorflow").lite.Interpreter
    except ModuleNotFoundError:
        raise missing from None

__all__ = ["TFLite", "interpreter"]

_KIND: Final = "TFLite model that this LiteRT reads"
_POST_PROCESS: Final = "TFLite_Detection_PostProcess"
_ITS_OUTPUTS: Final[tuple[Role, ...]] = ("boxes", "classes", "scores", "count")
_PASSED_THROUGH: Final = {"DEQUANTIZE", "QUANTIZE", "RESHAPE", "CAST"}


class TFLite:
    """A TFLite model: the Object Detection API's, float or quantised.

    Attributes:
        image: The tensor that the image goes into.
        first_class: 0: TFLite's post-processing leaves the background out.
        pixel_range: 127.5 and 127.5: these models leave the normalisation, to -1 .. 1, to the
            caller.
        class_count: How many classes the post-processing is given scores of.
        outputs: The tensors that come out, by what they mean.
    """

    first_class = 0
    pixel_range = (127.5, 127.5)

    def __init__(self, path: Path, settings: Settings) -> None:
        """Load the model, and find its tensors.

        Raises:
            ConfigError: If the settings ask for what a TFLite model has not.
            WeightsError: If the model is damaged or no detector.
        """
        if settings.device not in {None, "cpu"}:
            message = f"detector 'tfod': {path} runs on the cpu, not on {settings.device!r}"
            raise ConfigError(message)
        self._interpreter = interpreter(path, settings.threads)
        with readable(path, _KIND):
            self._interpreter.allocate_tensors()
        inputs = _infos(self._interpreter.get_input_details())
        outputs = _infos(self._interpreter.get_output_details())
        self.outputs = find_outputs(
            outputs,
            settings,
            path,
            known=self._known(outputs),
            inputs=inputs.values(),
        )
        self.image = find_image(inputs, settings, path)
        self._index = {
            detail["name"]: int(detail["index"])
            for detail in (
                *self._interpreter.get_input_details(),
                *self._interpreter.get_output_details(),
            )
        }
        self.class_count = self._class_count()
        self._tensors = {role: outputs[name] for role, name in self.outputs.items()}
        # An interpreter has one set of tensors: one caller at a time.
        self._lock = threading.Lock()

    def __call__(self, batch: Array) -> dict[Role, npt.NDArray[np.float32]]:
        """Run the model; see :class:`facekit.tfgraphs.signature.Graph`."""
        place = self._index[self.image.name]
        try:
            with self._lock:
                self._fit(place, batch.shape)
                self._interpreter.set_tensor(place, batch)
                self._interpreter.invoke()
                return {
                    role: real(self._interpreter.get_tensor(self._index[tensor.name]), tensor)
                    for role, tensor in self._tensors.items()
                }
        except Exception as error:
            # A model may hold any operation, and fail in any of them.
            text = (str(error).strip().splitlines() or [""])[0]
            message = f"detector 'tfod': LiteRT failed: {type(error).__name__}: {text}"
            raise BackendError(message) from error

    def _fit(self, place: int, shape: Sequence[int]) -> None:
        """Give a model that takes any size the size of this batch."""
        (now,) = (
            detail["shape"]
            for detail in self._interpreter.get_input_details()
            if detail["index"] == place
        )
        if tuple(now) != tuple(shape):
            self._interpreter.resize_tensor_input(place, list(shape))
            self._interpreter.allocate_tensors()

    def _known(self, outputs: Mapping[str, TensorInfo]) -> dict[Role, str]:
        """Return what outputs are called by what they mean.

        The converter names and orders them as it likes. Those of the post-processing operation
        mean what their place in it says; in its absence their names may speak.
        """
        by_index = {
            int(detail["index"]): detail["name"]
            for detail in self._interpreter.get_output_details()
        }
        post = self._post_process()
        if post is None:
            return by_stem(outputs)
        operations = self._operations()
        known: dict[Role, str] = {}
        for role, index in zip(_ITS_OUTPUTS, post["outputs"], strict=False):
            end = _end(int(index), by_index, operations)
            if end in by_index:
                known[role] = by_index[end]
        return known

    def _class_count(self) -> int | None:
        """Return how many classes the post-processing chooses from, beside the background."""
        post = self._post_process()
        if post is None:
            return None
        scores = int(post["inputs"][1])
        details = self._interpreter.get_tensor_details()
        return next((int(one["shape"][-1]) - 1 for one in details if one["index"] == scores), None)

    def _post_process(self) -> dict[str, Any] | None:
        """Return the post-processing operation, or ``None`` for a model without."""
        found = (one for one in self._operations() if one["op_name"] == _POST_PROCESS)
        return next(found, None)

    def _operations(self) -> list[dict[str, Any]]:
        """Return the model's operations, where this interpreter lists them."""
        listing = getattr(self._interpreter, "_get_ops_details", list)
        return list(listing())


def interpreter(path: Path, threads: int = 0) -> Any:  # noqa: ANN401 - of either package
    """Open a model, whose tensors are not allocated yet.

    Args:
        path: The file.
        threads: CPU threads; 0 leaves it to LiteRT.

    Raises:
        WeightsError: If it is damaged.
    """
    with readable(path, _KIND), warnings.catch_warnings():
        # TensorFlow's own interpreter announces that LiteRT's will replace it.
        warnings.simplefilter("ignore")
        return Interpreter(model_content=path.read_bytes(), num_threads=threads or None)


def _end(index: int, ends: Mapping[int, str], operations: list[dict[str, Any]]) -> int:
    """Follow a tensor through operations that keep its meaning, to an output of the model."""
    while index not in ends:
        after = [
            int(one["outputs"][0])
            for one in operations
            if one["op_name"] in _PASSED_THROUGH and index in list(one["inputs"])[:1]
        ]
        if not after:
            break
        index = after[0]
    return index


def _infos(details: Sequence[Mapping[str, Any]]) -> dict[str, TensorInfo]:
    """Describe tensors as LiteRT does."""
    return {detail["name"]: _info(detail) for detail in details}


def _info(detail: Mapping[str, Any]) -> TensorInfo:
    """Describe a tensor; -1 stands for a side that may have any length."""
    sides = detail.get("shape_signature")
    sides = detail["shape"] if sides is None or not len(sides) else sides
    scale, zero = detail["quantization"]
    return TensorInfo(
        name=detail["name"],
        shape=tuple(None if side < 0 else int(side) for side in sides),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale),
        zero=int(zero),
    )
