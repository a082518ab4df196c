"""MMDetection's checkpoints, read without running anything that is in them.

mmengine stores its training log beside the weights, as pickled objects of its own, and loads a
checkpoint with ``weights_only=False`` where PyTorch refuses those: that runs whatever a file says.
Here such a file is read by an unpickler that rebuilds tensors and plain values, and puts an inert
stand-in in the place of everything else.
"""

from __future__ import annotations

import collections
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

import safetensors
import safetensors.torch
import torch

from facekit.errors import WeightsError

__all__ = ["Checkpoint", "read", "stored"]

_REBUILD: Final = frozenset(
    {"_rebuild_parameter", "_rebuild_tensor", "_rebuild_tensor_v2"},
)
"""Functions of ``torch._utils`` that only make a tensor of a storage."""

_OF_TORCH: Final = re.compile(r"^(\w+Storage|Size|device|(u?int|float|complex|bfloat)\d+\w*|bool)$")
_PREFIX: Final = re.compile(r"^module\.")


class Checkpoint(NamedTuple):
    """What a file holds of a network.

    Attributes:
        state: The state dict.
        classes: The classes' names, where the file has them.
    """

    state: dict[str, torch.Tensor]
    classes: tuple[str, ...] | None


def read(path: Path) -> Checkpoint:
    """Read a checkpoint of mmengine, of mmcv 1.x, or a bare state dict.

    Args:
        path: A file that ``torch.save`` has written, or ``.safetensors``.

    Returns:
        Its weights, on the CPU, and its classes.

    Raises:
        WeightsError: If it is damaged, or holds no weights.
    """
    if path.suffix.lower() == ".safetensors":
        return Checkpoint(_safetensors(path), None)
    whole = stored(path)
    inner = whole.get("state_dict", whole)
    if not isinstance(inner, Mapping) or not inner:
        raise WeightsError(path, "holds no state dict, neither by itself nor under 'state_dict'")
    if not all(isinstance(value, torch.Tensor) for value in inner.values()):
        raise WeightsError(path, "holds no state dict: some of its entries are no tensors")
    return Checkpoint(_without_prefix(inner), _classes(whole.get("meta")))


def stored(path: Path) -> Mapping[str, Any]:
    """Read all that a checkpoint holds: weights, optimiser, where the training was.

    Args:
        path: A file that ``torch.save`` has written.

    Returns:
        Tensors and plain values, on the CPU; inert stand-ins for everything else. Empty where
        the file holds no mapping.

    Raises:
        WeightsError: If it is missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(path, "no such file")
    try:
        whole = _stored(path)
    except Exception as error:
        # Damage surfaces as anything from EOFError to RuntimeError of the zip reader.
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(path, f"damaged, or not a PyTorch file: {text}") from error
    return whole if isinstance(whole, Mapping) else {}


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        WeightsError: If it is damaged.
    """
    try:
        return dict(safetensors.torch.load_file(path))
    except safetensors.SafetensorError as error:
        raise WeightsError(path, f"damaged, or not a safetensors file: {error}") from error


def _stored(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read plain values and tensors; objects of other kinds become stand-ins."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_Inert)


class _StandIn:
    """In the place of an object that a checkpoint shall not bring to life."""

    def __new__(cls, *_: object, **__: object) -> Self:
        """Ignore what it was made of."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Keep nothing."""

    def __call__(self, *_: object, **__: object) -> _StandIn:
        """Answer with another one."""
        return _StandIn()

    def __setstate__(self, _: object) -> None:
        """Keep nothing."""

    def __setitem__(self, _: object, __: object) -> None:
        """Keep nothing."""

    def append(self, _: object) -> None:
        """Keep nothing."""

    def extend(self, _: object) -> None:
        """Keep nothing."""


class _Unpickler(pickle.Unpickler):
    """Finds what tensors are made of, and a stand-in for every other name."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a class or function
        """Return what a name of the file stands for."""
        if module == "torch._utils" and name in _REBUILD:
            return getattr(torch._utils, name)  # noqa: SLF001 - as torch.load does
        if module == "torch" and _OF_TORCH.match(name):
            return getattr(torch, name, _StandIn)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        return _StandIn


class _Inert:
    """What ``torch.load`` takes for the pickle module."""

    Unpickler = _Unpickler

    @staticmethod
    def load(file: IO[bytes], **options: Any) -> Any:  # noqa: ANN401 - pickle's
        """Read one pickle of a file in PyTorch's old format."""
        return _Unpickler(file, **options).load()


def _without_prefix(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take off what several GPUs put before each name; what torch knows of versions is kept."""
    renamed = collections.OrderedDict((_PREFIX.sub("", key), one) for key, one in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        renamed._metadata = versions  # type: ignore[attr-defined]  # noqa: SLF001 - torch's own place
    return renamed


def _classes(meta: object) -> tuple[str, ...] | None:
    """Return the classes of a checkpoint's ``meta``, of any generation."""
    if not isinstance(meta, Mapping):
        return None
    known = meta.get("dataset_meta")
    entries = [meta.get("CLASSES")]
    if isinstance(known, Mapping):
        entries = [known.get("classes"), known.get("CLASSES"), *entries]
    for found in entries:
        if isinstance(found, str):
            return (found,)
        if isinstance(found, list | tuple) and all(isinstance(one, str) for one in found):
            return tuple(found)
    return None
