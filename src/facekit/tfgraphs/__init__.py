"""Graphs of TensorFlow that detect objects: an image in, boxes, scores and classes out.

What a file is, its content says: a folder with a ``saved_model.pb`` is a SavedModel (of TF1 or
TF2), a protobuf of nodes a TF1 frozen graph, a flatbuffer ``TFL3`` a TFLite model, and an ONNX file
was converted from one of these. Each is run by a module that imports its vendor at the top, so this
package imports none of them until one is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final, cast

from facekit.errors import MissingDependencyError, WeightsError
from facekit.tfgraphs.signature import Graph, Settings

__all__ = ["INSTALL_LITERT", "INSTALL_TENSORFLOW", "Settings", "kind_of", "load"]

INSTALL_TENSORFLOW: Final = 'pip install "facekit[tfod]"'
INSTALL_LITERT: Final = 'pip install "facekit[litert]"'

_SAVED_MODEL: Final = "saved_model.pb"
_TFLITE_IDENTIFIER: Final = b"TFL3"
_FIRST_NODE: Final = b"\x0a"
_SCHEMA_VERSION_1: Final = b"\x08\x01"
_IR_VERSION: Final = b"\x08"

_LOADERS: Final = {
    "saved_model": ("tensorflow", "SavedModel"),
    "frozen_graph": ("tensorflow", "FrozenGraph"),
    "tflite": ("litert", "TFLite"),
    "onnx": ("onnxruntime", "Onnx"),
}
_INSTALL: Final = {
    "tensorflow": INSTALL_TENSORFLOW,
    "ai_edge_litert": INSTALL_LITERT,
    "onnxruntime": "pip install facekit",
}


def load(path: Path, settings: Settings) -> Graph:
    """Load a graph that detects, and find out which of its tensors mean what.

    Args:
        path: A SavedModel's folder, or the folder above it that the Object Detection API's
            exporter made; or the file of a frozen graph, a TFLite model or an ONNX model.
        settings: What the user has to say about it.

    Raises:
        WeightsError: If it is missing, damaged, or no detector: then its signature is in the
            message.
        MissingDependencyError: If the package that runs it is not installed.
        ConfigError: If the settings name what is not there.
    """
    kind, place = kind_of(path)
    module, loader = _LOADERS[kind]
    try:
        runner = importlib.import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _INSTALL:
            raise
        needed_by = f"{place}, a {kind.replace('_', ' ')},"
        raise MissingDependencyError(needed_by, missing, _INSTALL[missing]) from error
    build: Any = getattr(runner, loader)
    return cast("Graph", build(place, settings))


def kind_of(path: Path) -> tuple[str, Path]:
    """Tell what kind of graph a file or folder holds, by its content.

    Args:
        path: As of :func:`load`.

    Returns:
        ``"saved_model"``, ``"frozen_graph"``, ``"tflite"`` or ``"onnx"``, and where exactly it is.

    Raises:
        WeightsError: If it is missing, or none of these.
    """
    if path.is_dir():
        for folder in (path, path / "saved_model"):
            if (folder / _SAVED_MODEL).is_file():
                return "saved_model", folder
        raise WeightsError(path, f"a folder without a {_SAVED_MODEL}: not a SavedModel")
    head = _head(path)
    if head[4:8] == _TFLITE_IDENTIFIER:
        return "tflite", path
    if head.startswith(_SCHEMA_VERSION_1) and path.name == _SAVED_MODEL:
        return "saved_model", path.parent
    if head.startswith(_FIRST_NODE):
        return "frozen_graph", path
    if head.startswith(_IR_VERSION) and not head.startswith(_SCHEMA_VERSION_1):
        return "onnx", path
    if path.suffix.lower() == ".tflite":
        reason = "damaged, or no TFLite model: its identifier 'TFL3' is missing"
        raise WeightsError(path, reason)
    raise WeightsError(
        path, "damaged, or of another kind: a SavedModel, frozen graph, TFLite or ONNX is expected"
    )


def _head(path: Path) -> bytes:
    """Return a file's first bytes.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise WeightsError(path, f"cannot be read: {error.strerror or error}") from error
