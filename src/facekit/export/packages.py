"""The packages that exporters need, imported when they are, and what installs them."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from facekit.errors import MissingDependencyError
from facekit.tfgraphs import INSTALL_TENSORFLOW

__all__ = ["load_exporter", "told_packages"]

_INSTALL = 'pip install "facekit[export]"'
_PACKAGES = {
    "onnx": _INSTALL,
    "onnxscript": _INSTALL,
    "openvino": 'pip install "facekit[openvino]"',
    "nncf": 'pip install "facekit[int8]"',
    "tensorflow": INSTALL_TENSORFLOW,
    "tf2onnx": 'pip install "facekit[tfod_export]"',
}


def load_exporter(module: str) -> Any:  # noqa: ANN401 - a module
    """Import the part that needs the exporters' packages.

    Args:
        module: Its name in this folder.

    Raises:
        MissingDependencyError: If one is not installed.
    """
    with told_packages():
        return importlib.import_module(f"{__package__}.{module}")


@contextlib.contextmanager
def told_packages() -> Iterator[None]:
    """Say how a package is installed that something within lacks.

    Raises:
        MissingDependencyError: If one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _PACKAGES:
            raise
        raise MissingDependencyError("export", missing, _PACKAGES[missing]) from error
