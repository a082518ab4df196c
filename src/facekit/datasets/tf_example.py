"""TFRecord files of ``tf.train.Example``, without TensorFlow.

The one kept library of this kind, ``tfrecord``, registers messages of TensorFlow's own names, so
that whoever imports it and TensorFlow in one process gets an error from protobuf; it also reads
damaged files without noticing. What is needed is small: a file is a row of frames (length, its
checksum, data, its checksum), and an ``Example`` a map from names to lists of bytes, floats or
integers. Formats: https://www.tensorflow.org/tutorials/load_data/tfrecord and feature.proto.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Final

from facekit.datasets.files import open_bytes
from facekit.errors import DatasetError, MissingDependencyError

__all__ = [
    "bytes_feature",
    "decode",
    "encode",
    "float_feature",
    "int_feature",
    "read_frames",
    "write_frame",
]

Values = list[bytes] | list[float] | list[int]

_INSTALL: Final = 'pip install "facekit[tfrecord]"'
_MASK: Final = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_MORE: Final = 0x80  # a byte's top bit says that the number goes on
_LONGEST_VARINT: Final = 10
_HEAD, _TAIL = struct.Struct("<QI"), struct.Struct("<I")


def _checksum() -> Callable[[bytes], int]:
    """Return the masked CRC-32C of TFRecord files.

    Raises:
        MissingDependencyError: If google-crc32c is not installed.
    """
    try:
        from google_crc32c import value  # noqa: PLC0415 - optional package
    except ModuleNotFoundError as error:
        if error.name != "google_crc32c":
            raise
        raise MissingDependencyError("TFRecord", "google_crc32c", _INSTALL) from error

    def masked(data: bytes) -> int:
        crc: int = value(data)
        return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF

    return masked


def write_frame(file: IO[bytes], data: bytes) -> None:
    """Write one record.

    Args:
        file: Open for writing.
        data: An encoded ``Example``.

    Raises:
        MissingDependencyError: If google-crc32c is not installed.
    """
    checksum = _checksum()
    length = struct.pack("<Q", len(data))
    file.write(length + _TAIL.pack(checksum(length)) + data + _TAIL.pack(checksum(data)))


def read_frames(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the records of a file.

    Args:
        path: The file.

    Raises:
        DatasetError: If it cannot be read, is cut off, or a checksum does not match.
        MissingDependencyError: If google-crc32c is not installed.
    """
    checksum = _checksum()
    with open_bytes(path) as file:
        left = os.fstat(file.fileno()).st_size
        number = 0
        while head := file.read(_HEAD.size):
            number += 1
            if len(head) < _HEAD.size:
                raise DatasetError(path, None, f"record {number} is cut off")
            length, crc = _HEAD.unpack(head)
            if checksum(head[:8]) != crc:
                reason = f"record {number}: no TFRecord, or damaged: wrong checksum of its length"
                raise DatasetError(path, None, reason)
            left -= _HEAD.size + length + _TAIL.size
            if left < 0:
                raise DatasetError(path, None, f"record {number} is cut off")
            data = file.read(length)
            if _TAIL.unpack(file.read(_TAIL.size))[0] != checksum(data):
                reason = f"record {number} is damaged: wrong checksum of its data"
                raise DatasetError(path, None, reason)
            yield data


def bytes_feature(values: Iterable[bytes]) -> bytes:
    """Return a feature of byte strings."""
    return _field(_BYTES_LIST, b"".join(_field(1, value) for value in values))


def float_feature(values: Iterable[float]) -> bytes:
    """Return a feature of 32-bit floats."""
    numbers = list(values)
    return _field(_FLOAT_LIST, _field(1, struct.pack(f"<{len(numbers)}f", *numbers)))


def int_feature(values: Iterable[int]) -> bytes:
    """Return a feature of 64-bit integers."""
    return _field(_INT64_LIST, _field(1, b"".join(_varint(value % 2**64) for value in values)))


def encode(features: Mapping[str, bytes]) -> bytes:
    """Return an ``Example``.

    Args:
        features: The features, as the functions above return them.
    """
    entries = (_field(1, name.encode()) + _field(2, value) for name, value in features.items())
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _field(number: int, data: bytes) -> bytes:
    """Return a field of bytes, with its key and length."""
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Return an unsigned number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value >= _MORE:
        groups.append(value & 0x7F | _MORE)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def decode(data: bytes) -> dict[str, Values]:
    """Return the features of an ``Example``.

    Args:
        data: One record of a file.

    Raises:
        ValueError: If it is no ``Example``.
    """
    found: dict[str, Values] = {}
    for features in _messages(data, 1):
        for entry in _messages(features, 1):
            names = list(_messages(entry, 1))
            values = list(_messages(entry, 2))
            name = names[-1].decode() if names else ""
            found[name] = _values(values[-1]) if values else []
    return found


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the values of a field of bytes."""
    for number, value in _fields(data):
        if number == wanted:
            if not isinstance(value, bytes):
                raise ValueError("a number where a message should be")
            yield value


def _values(feature: bytes) -> Values:
    """Return the list that a feature holds; of several, the one of the last kind."""
    found: Values = []
    for data in _messages(feature, _BYTES_LIST):
        found = list(_messages(data, 1))
    for data in _messages(feature, _FLOAT_LIST):
        found = [value for _, packed in _fields(data) for value in _floats(packed)]
    for data in _messages(feature, _INT64_LIST):
        found = [value for _, packed in _fields(data) for value in _integers(packed)]
    return found


def _floats(packed: bytes | int) -> list[float]:
    """Return floats, packed or one alone."""
    raw = packed if isinstance(packed, bytes) else struct.pack("<I", packed & 0xFFFFFFFF)
    if len(raw) % 4:
        raise ValueError("floats of four bytes are cut off")
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def _integers(packed: bytes | int) -> list[int]:
    """Return signed integers, packed or one alone."""
    values = [packed] if isinstance(packed, int) else []
    place = 0
    while isinstance(packed, bytes) and place < len(packed):
        value, place = _read_varint(packed, place)
        values.append(value)
    return [value - 2**64 if value >= 2**63 else value for value in values]


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the number and the value of every field of a message."""
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(data, place)
            yield key >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, place = _read_varint(data, place)
        if size is None or place + size > len(data):
            raise ValueError("a field is cut off, or of an unknown kind")
        raw = data[place : place + size]
        place += size
        yield key >> 3, raw if kind == _BYTES else int.from_bytes(raw, "little")


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    value = 0
    for shift, byte in enumerate(data[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < _MORE:
            return value & 2**64 - 1, place + shift + 1
    raise ValueError("a number is cut off, or too long")
