"""Numpy's arrays and torch's tensors out of a pickle, without calling numpy's or torch's code.

What a pickle names is replaced by the stand-ins here, which take raw bytes and a shape and check
both: neither a dtype of pickled objects nor a stride beyond the bytes gets through. Everything
else that a pickle names is refused before it is called.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable, Sequence
from typing import IO, Any, Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["PickledArray", "Refused", "load"]

_NUMBERS: Final = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_TORCH_PROTOCOL: Final = 1001
_LARGEST: Final = 1 << 32

_STORAGES: Final = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "IntStorage": "i4",
    "LongStorage": "i8",
    "ShortStorage": "i2",
}


class Refused(pickle.UnpicklingError):
    """A pickle that names what is not admitted."""


class PickledArray:
    """An array or a tensor out of a pickle; ``numpy.asarray`` turns it into an array."""

    def __init__(self, values: npt.NDArray[Any] | None = None) -> None:
        """Hold an array; without one, the pickle's state follows."""
        self._values = np.zeros(0) if values is None else values

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take numpy's state: version, shape, dtype, whether columns come first, bytes."""
        _, shape, kind, fortran, raw = state
        self._values = _shaped(raw, kind, shape, "F" if fortran else "C")

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001 - numpy's signature
    ) -> npt.NDArray[Any]:
        """Return the array; see numpy's interface of that name."""
        del copy  # the bytes are read-only, and nobody writes to them
        return self._values.astype(dtype or self._values.dtype)


class _Kind:
    """A dtype of numbers; any other is refused."""

    def __init__(self, text: object, *_: object) -> None:
        if not isinstance(text, str) or _NUMBERS.fullmatch(text) is None:
            message = f"it has an array of {text!r}"
            raise Refused(message)
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order; nothing else of a number's dtype can change."""
        if state[1] in {"<", ">"}:
            self.dtype = self.dtype.newbyteorder(state[1])


class _Storage:
    """The flat numbers of a tensor."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.values = values


def _shaped(raw: object, kind: object, shape: Sequence[int], order: str) -> npt.NDArray[Any]:
    """Return bytes as an array of numbers."""
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray) or not isinstance(kind, _Kind):
        message = "it has an array that is not of numbers"
        raise Refused(message)
    flat: npt.NDArray[Any] = np.frombuffer(raw, dtype=kind.dtype)
    return flat.reshape([int(side) for side in shape], order="F" if order == "F" else "C")


def _reconstruct(*_: object) -> PickledArray:
    """Stand for numpy's function that makes an empty array, whose state follows."""
    return PickledArray()


def _from_buffer(
    raw: object, kind: object, shape: Sequence[int], order: str, *_: object
) -> PickledArray:
    """Stand for numpy's function of protocol 5."""
    return PickledArray(_shaped(raw, kind, shape, order))


def _scalar(kind: object, raw: object) -> Any:  # noqa: ANN401 - a number of any kind
    """Stand for numpy's scalars: a plain number."""
    return _shaped(raw, kind, (), "C").item()


def _bytes_of(text: str, encoding: str = "latin1") -> bytes:
    """Turn the text that stands for bytes in old protocols into those bytes."""
    if encoding != "latin1":
        message = f"it has bytes written as {encoding!r}"
        raise Refused(message)
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand for ``bytes``, which protocol 2 calls for an array without elements."""
    return b""


def _load_storage(raw: bytes) -> _Storage:
    """Stand for ``torch.storage._load_from_bytes``: read torch's old file layout.

    Four pickles (magic number, protocol, system, the storage), one of the storages' keys, and
    for each the number of elements and the bytes.
    """
    file = io.BytesIO(raw)
    magic, protocol, system = (_Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC or protocol != _TORCH_PROTOCOL:
        message = "a tensor is not in torch's layout"
        raise Refused(message)
    order: Literal["<", ">"] = "<" if system.get("little_endian", True) else ">"
    reader = _StorageUnpickler(file)
    code = reader.load()
    keys = _Unpickler(file).load()
    if len(keys) != 1 or not isinstance(code, str):
        message = "a tensor is not one storage"
        raise Refused(message)
    count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
    dtype = np.dtype(code).newbyteorder(order)
    return _Storage(np.frombuffer(file.read(count * dtype.itemsize), dtype=dtype))


def _rebuild_tensor(
    storage: object, offset: int, size: Sequence[int], stride: Sequence[int], *_: object
) -> PickledArray:
    """Stand for ``torch._utils._rebuild_tensor_v2``."""
    if not isinstance(storage, _Storage) or len(size) != len(stride):
        message = "a tensor has no storage"
        raise Refused(message)
    empty = math.prod(size) == 0
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    negative = min([offset, *size, *stride], default=0) < 0
    if negative or (not empty and last >= len(storage.values)) or math.prod(size) > _LARGEST:
        message = "a tensor reaches beyond its numbers"
        raise Refused(message)
    if empty:
        return PickledArray(np.zeros(tuple(size), storage.values.dtype))
    steps = [step * storage.values.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage.values[offset:], tuple(size), steps)
    return PickledArray(view.copy())


def _admitted() -> dict[tuple[str, str], Any]:
    """Return what stands for the names that a pickle may have."""
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): "numpy.ndarray",
        ("numpy", "dtype"): _Kind,
        ("_codecs", "encode"): _bytes_of,
        ("__builtin__", "bytes"): _no_bytes,
        ("collections", "OrderedDict"): dict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch.storage", "_load_from_bytes"): _load_storage,
        ("torch", "Size"): tuple,
    }
    # numpy moved its core in 2.0; a pickle names where it was when it was written.
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return names


_NAMES: Final = _admitted()


class _Unpickler(pickle.Unpickler):
    """Admits numbers, text, containers, arrays and tensors; calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        """Return what stands for a name.

        Raises:
            Refused: If it is not admitted.
        """
        if (module, name) not in _NAMES:
            message = f"it asks for {module}.{name}"
            raise Refused(message)
        return _NAMES[module, name]


class _StorageUnpickler(_Unpickler):
    """Reads the pickle that describes a storage: its result is the code of a dtype."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        """Return the code of a storage's dtype."""
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - as pickle has it
        """Return the code of the dtype in ``("storage", type, key, place, count, view)``."""
        kind = pid[1] if isinstance(pid, tuple) and len(pid) > 1 else None
        if kind not in _STORAGES.values():
            message = "a tensor has a storage of another kind"
            raise Refused(message)
        return kind


def load(file: IO[bytes], *, encoding: str = "ASCII") -> Any:  # noqa: ANN401 - whatever the pickle holds
    """Unpickle numbers, text, containers, arrays and tensors.

    Args:
        file: The open file.
        encoding: Of the texts that Python 2 wrote; ``latin1`` for arrays that it wrote.

    Returns:
        Plain values, with :class:`PickledArray` for arrays and tensors.

    Raises:
        Refused: If the pickle asks for anything else; the message says what.
        pickle.UnpicklingError: If it is damaged.
    """
    loader: Callable[[], Any] = _Unpickler(file, encoding=encoding).load
    try:
        return loader()
    except Refused as error:
        message = (
            f"refused: {error}, and only numbers, lists, dicts, numpy arrays and torch tensors are "
            "read from a pickle"
        )
        raise Refused(message) from error
    except Exception as error:
        # A damaged pickle raises whatever its instructions stumble over.
        raise pickle.UnpicklingError(str(error)) from error
