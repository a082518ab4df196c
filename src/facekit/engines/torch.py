"""PyTorch on the CPU: state dicts, as ``.pth``, ``.pt`` or ``.safetensors``."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from facekit.engines import FloatArray
from facekit.errors import BackendError, WeightsError
from facekit.memory import keep_memory
from facekit.networks.winograd import use_winograd
from facekit.protocols import Precision

__all__ = ["TorchEngine", "check_keys", "load_state_dict", "make_fast"]

StateDict = dict[str, torch.Tensor]

_SHOWN_KEYS = 3

_TYPES: Mapping[Precision, torch.dtype] = {"f32": torch.float32, "bf16": torch.bfloat16}

_CONVERT = (
    "save them as safetensors where they were made, safetensors.torch.save_file("
    "network.state_dict(), 'weights.safetensors'), and load that"
)


class TorchEngine:
    """A state dict in its torch module, in evaluation mode.

    Attributes:
        metadata: A safetensors file's metadata, or the text entries of a checkpoint's ``meta``;
            and what the module says of itself in its own ``metadata``.
        network: The module, which export and summary look into.
    """

    metadata: Mapping[str, str]
    network: torch.nn.Module

    def __init__(
        self,
        path: Path,
        *,
        inputs: Sequence[str],
        outputs: Sequence[str],
        network: str | None = None,
        threads: int = 0,
        precision: Precision = "f32",
        fast: bool = False,
    ) -> None:
        """Load the weights into a new module; see :func:`facekit.engines.create_engine`.

        Args:
            path: The file of the state dict.
            inputs: Their number is checked at the call: modules take theirs by position.
            outputs: As many tensors as the module returns.
            network: ``"module:Class"``; the class is built without arguments, or by its
                ``from_metadata`` or ``for_state_dict``, where it has one: a network that comes in
                several forms reads its own from what the file says of itself, or from the names
                and shapes of its tensors. Entries of a checkpoint that its module lists in
                ``TRAINING_KEYS`` are left out.
            threads: CPU threads; PyTorch has one number for the whole process, which is set.
                0 leaves it.
            precision: What the module computes in.
            fast: See `make_fast`.

        Raises:
            WeightsError: If the file is damaged, not to be trusted or of another network.
        """
        if network is None:
            raise WeightsError(path, "no torch network reads these weights: give an .onnx file")
        module_name, _, class_name = network.partition(":")
        module = importlib.import_module(module_name)
        self._path, self._inputs, self._outputs = path, tuple(inputs), tuple(outputs)
        state, self.metadata = load_state_dict(path)
        for key in getattr(module, "TRAINING_KEYS", ()):
            state.pop(key, None)
        self.network = _built(path, getattr(module, class_name), self.metadata, state)
        self.metadata = {**getattr(self.network, "metadata", {}), **self.metadata}
        check_keys(path, self.network.state_dict(), state)
        # Old checkpoints lack the batch norms' counters, which only training reads.
        self.network.load_state_dict(state, strict=False)
        self._type = _TYPES[precision]
        self.network.to(self._type).eval()
        if fast:
            make_fast(self.network)
        if threads:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
        """Run the module; see :class:`facekit.engines.Engine`."""
        pairs = zip(self._inputs, arrays, strict=True)
        tensors = [
            torch.from_numpy(np.ascontiguousarray(array)).to(self._type) for _, array in pairs
        ]
        try:
            results = self.network(*tensors)
        except RuntimeError as error:
            message = f"{self._path}: PyTorch failed: {_first_line(error)}"
            raise BackendError(message) from error
        if isinstance(results, torch.Tensor):
            results = (results,)
        named = zip(self._outputs, results, strict=True)
        return tuple(result.float().numpy() for _, result in named)


def make_fast(network: torch.nn.Module) -> None:
    """Spend memory on the speed of a network on the CPU.

    Its maps have channels last; convolutions of many channels are computed by Winograd's algorithm,
    in float32 alone; and the process keeps memory that was freed, from now on.

    Args:
        network: In evaluation mode; changed in place, its parameters' names and values are not.
    """
    network.to(memory_format=torch.channels_last)
    use_winograd(network)
    keep_memory()


def _built(path: Path, kind: Any, metadata: Mapping[str, str], state: StateDict) -> torch.nn.Module:  # noqa: ANN401 - a class
    """Build a module, in the form that the file asks for where there are several.

    Raises:
        WeightsError: If the metadata ask for a form that there is not.
    """
    if hasattr(kind, "for_state_dict"):
        fitting: torch.nn.Module = kind.for_state_dict(state)
        return fitting
    build = getattr(kind, "from_metadata", None)
    try:
        built: torch.nn.Module = kind() if build is None else build(metadata)
    except ValueError as error:
        raise WeightsError(path, str(error)) from error
    return built


def load_state_dict(path: Path) -> tuple[StateDict, dict[str, str]]:
    """Read a state dict without running any code of the file.

    Args:
        path: A ``.safetensors`` file, or a ``.pth`` or ``.pt`` file that holds a state dict or a
            checkpoint with one under ``state_dict``, or under ``model`` as Detectron2 writes it.

    Returns:
        The state dict, and the file's metadata as text.

    Raises:
        WeightsError: If the file is damaged, would run code, or holds no state dict.
    """
    if path.suffix.lower() == ".safetensors":
        return _load_safetensors(path)
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            reason = f"the pickle holds more than tensors, which could run code: {_CONVERT}"
            raise WeightsError(path, reason) from error
        raise WeightsError(path, f"damaged, or not a PyTorch file: {_first_line(error)}") from error
    except Exception as error:
        # Damage surfaces as anything from EOFError to RuntimeError of the zip reader.
        raise WeightsError(path, f"damaged, or not a PyTorch file: {_first_line(error)}") from error
    return _state_dict_of(path, stored)


def _load_safetensors(path: Path) -> tuple[StateDict, dict[str, str]]:
    """Read a safetensors file and its metadata.

    Raises:
        WeightsError: If the file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            return state, dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        reason = f"damaged, or not a safetensors file: {_first_line(error)}"
        raise WeightsError(path, reason) from error


def _state_dict_of(path: Path, stored: Any) -> tuple[StateDict, dict[str, str]]:  # noqa: ANN401
    """Find the state dict in what a PyTorch file holds.

    Raises:
        WeightsError: If there is none.
    """
    inner = stored
    for key in ("state_dict", "model") if isinstance(stored, Mapping) else ():
        if isinstance(stored.get(key), Mapping):
            inner = stored[key]
            break
    if not isinstance(inner, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in inner.values()
    ):
        raise WeightsError(path, "holds no state dict, neither by itself nor under 'state_dict'")
    meta = stored.get("meta")
    texts = meta.items() if isinstance(meta, Mapping) else ()
    return dict(inner), {key: value for key, value in texts if isinstance(value, str)}


def check_keys(path: Path, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Compare the keys and shapes of two state dicts.

    Raises:
        WeightsError: If a key is missing, unexpected or of another shape.
    """
    missing = [key for key in expected if key not in found]
    reshaped = [
        f"{key} {tuple(found[key].shape)} for {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    problems = [
        _count("missing", (key for key in missing if not key.endswith("num_batches_tracked"))),
        _count("unexpected", (key for key in found if key not in expected)),
        _count("of another shape", reshaped),
    ]
    if any(problems):
        raise WeightsError(path, "weights of another network: " + "; ".join(filter(None, problems)))


def _count(what: str, keys: Iterable[str]) -> str:
    """Name the first few of the keys, and how many there are."""
    names = list(keys)
    more = ", ..." if len(names) > _SHOWN_KEYS else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN_KEYS])}{more})" if names else ""


def _first_line(error: Exception) -> str:
    """Return the first line of a message that may go on for a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
