"""A network as tensors in, tensors out, whatever runs it.

The weights' suffix names the engine: ``.onnx`` ONNX Runtime, ``.xml`` OpenVINO, ``.pth``, ``.pt``
and ``.safetensors`` PyTorch. Each engine is a module that imports its vendor at the top, so this
package imports none of them until one is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from facekit.engines.recording import in_place_of
from facekit.errors import ConfigError, MissingDependencyError, WeightsError

if TYPE_CHECKING:
    from facekit.protocols import EngineName, Precision

__all__ = ["Engine", "FloatArray", "create_engine"]

FloatArray = npt.NDArray[np.float32]

SUFFIXES: Mapping[EngineName, tuple[str, ...]] = {
    "onnxruntime": (".onnx",),
    "openvino": (".xml", ".onnx"),
    "torch": (".pth", ".pt", ".safetensors"),
}
"""What each engine reads; a suffix that two engines read belongs to the first."""

_CLASSES: Mapping[EngineName, str] = {
    "onnxruntime": "OnnxRuntimeEngine",
    "openvino": "OpenVinoEngine",
    "torch": "TorchEngine",
}

_FAST: frozenset[EngineName] = frozenset({"torch"})
"""The engines that have a faster arithmetic in float32, at the cost of memory."""

_PRECISE: frozenset[EngineName] = frozenset({"openvino", "torch"})
"""The engines that also compute in bfloat16."""

_INSTALL: Mapping[str, str] = {
    "onnxruntime": "pip install facekit",
    "openvino": 'pip install "facekit[openvino]"',
    "torch": 'pip install "facekit[torch]"',
    "safetensors": 'pip install "facekit[torch]"',
}
"""Import name of each package that an engine needs, and the line that installs it."""


class Engine(Protocol):
    """A loaded network; may be called from several threads.

    Attributes:
        metadata: What the weights file says of itself, as text.
    """

    metadata: Mapping[str, str]

    def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
        """Run the network.

        Args:
            *arrays: One float32 array an input, in the declared order.

        Returns:
            One float32 array an output, in the declared order.

        Raises:
            BackendError: If the vendor's code fails, on arrays of another shape for instance.
        """
        ...


def create_engine(
    path: Path,
    *,
    engine: EngineName | None,
    inputs: Sequence[str],
    outputs: Sequence[str],
    network: str | None,
    threads: int = 0,
    precision: Precision = "f32",
    fast: bool = False,
) -> Engine:
    """Load weights into the engine that their suffix names.

    Args:
        path: The weights file.
        engine: Overrides the suffix, e.g. OpenVINO for an ``.onnx`` file.
        inputs: Names of the graph's inputs, in the order of the call.
        outputs: Names of the graph's outputs, in the order of the result.
        network: ``"module:Class"`` of the torch module that a state dict belongs to; ``None``
            where there is none.
        threads: CPU threads of one call; 0 leaves it to the engine.
        precision: What the network computes in; arrays go in and come out as float32.
        fast: Whether to take more memory, and sums that are rounded otherwise, for speed.

    Raises:
        ConfigError: If the engine does not compute in that precision, or has nothing faster.
        WeightsError: If the file is missing, damaged, of an unknown suffix or of another network.
        MissingDependencyError: If the engine's package is not installed.
    """
    if not path.is_file():
        raise WeightsError(path, "no such file")
    name = _engine_name(path, engine)
    options: dict[str, Any] = {"threads": threads}
    if precision != "f32":
        if name not in _PRECISE:
            others = " or ".join(sorted(_PRECISE))
            raise ConfigError(f"engine {name!r} computes in f32, not {precision}: use {others}")
        options["precision"] = precision
    if fast:
        if name not in _FAST:
            message = f"engine {name!r} has no faster arithmetic than its own: leave out `fast`"
            raise ConfigError(f"{message}, or give {' or '.join(sorted(_FAST))} its weights")
        options["fast"] = True
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _INSTALL:
            raise
        raise MissingDependencyError(f"engine {name!r}", missing, _INSTALL[missing]) from error
    kind: Any = getattr(module, _CLASSES[name])
    made = kind(path, inputs=inputs, outputs=outputs, network=network, **options)
    return in_place_of(cast("Engine", made))


def _engine_name(path: Path, engine: EngineName | None) -> EngineName:
    """Return the engine that reads a file.

    Raises:
        WeightsError: If none does, or the one that was asked for does not.
    """
    suffix = path.suffix.lower()
    readers = [name for name, suffixes in SUFFIXES.items() if suffix in suffixes]
    if not readers:
        known = ", ".join(dict.fromkeys(end for ends in SUFFIXES.values() for end in ends))
        raise WeightsError(path, f"no engine reads {suffix or 'a name without suffix'!r}: {known}")
    if engine is None:
        return readers[0]
    if engine not in readers:
        others = " or ".join(map(repr, readers))
        export = "export the weights with 'facekit export', or " if "torch" in readers else ""
        reason = f"engine {engine!r} reads {', '.join(SUFFIXES[engine])}: {export}use {others}"
        raise WeightsError(path, reason)
    return engine
