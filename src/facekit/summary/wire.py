"""ONNX files read as far as a summary needs: nodes and the shapes of constants.

The core install has ONNX Runtime, which runs a graph but does not list it, and not the ``onnx``
package, which does. An ONNX file is a protobuf message, and the wire format of protobuf is small:
a message is a row of fields, each a varint key (field number times 8 plus wire type) and a value.
Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from facekit.errors import WeightsError

__all__ = ["Constant", "Graph", "Node", "read_graph", "with_outputs"]

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MORE = 0x80  # a byte's top bit says that the number goes on

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_TENSOR_DIMS, _TENSOR_NAME = 1, 8
_VALUE_INFO_NAME = 1


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        operator: ``"Conv"``, ``"Gemm"``, ...
        name: As the exporter named it; may be empty.
        inputs: Names of tensors; empty where an optional input is left out.
        outputs: Names of tensors.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Constant:
    """A tensor stored in the file, without its values.

    Attributes:
        name: What nodes call it.
        shape: Its sides.
    """

    name: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """The main graph of a file; graphs inside control flow nodes are left out.

    Attributes:
        nodes: In the order of execution.
        constants: By name.
        outputs: Names of the graph's outputs.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, Constant]
    outputs: tuple[str, ...]


def read_graph(data: bytes, path: Path) -> Graph:
    """Read the graph of an ONNX file.

    Args:
        data: The file's content.
        path: The file, for messages.

    Raises:
        WeightsError: If the bytes are no ONNX model.
    """
    try:
        # A message field that occurs twice is one message in two pieces.
        pieces = [_fields(graph) for graph in _fields(memoryview(data)).bytes(_MODEL_GRAPH)]
        constants = [
            _constant(message) for piece in pieces for message in piece.bytes(_GRAPH_INITIALIZER)
        ]
        graph = Graph(
            nodes=tuple(_node(message) for piece in pieces for message in piece.bytes(_GRAPH_NODE)),
            constants={constant.name: constant for constant in constants},
            outputs=tuple(
                _fields(message).text(_VALUE_INFO_NAME)
                for piece in pieces
                for message in piece.bytes(_GRAPH_OUTPUT)
            ),
        )
    except (IndexError, ValueError) as error:
        raise WeightsError(path, f"damaged, or not an ONNX file: {error}") from error
    if not graph.nodes:
        raise WeightsError(path, "not an ONNX file: there is no graph in it")
    return graph


def with_outputs(data: bytes, names: Sequence[str]) -> bytes:
    """Return an ONNX file in which more tensors are outputs of the graph.

    Args:
        data: The file's content.
        names: The tensors; their types are left for the runtime to infer.
    """
    # Protobuf merges a message field that occurs twice, so the addition is a second graph field.
    outputs = (_delimited(_VALUE_INFO_NAME, name.encode()) for name in names)
    addition = b"".join(_delimited(_GRAPH_OUTPUT, output) for output in outputs)
    return data + _delimited(_MODEL_GRAPH, addition)


def _node(message: memoryview) -> Node:
    fields = _fields(message)
    return Node(
        operator=fields.text(_NODE_OPERATOR),
        name=fields.text(_NODE_NAME),
        inputs=fields.texts(_NODE_INPUT),
        outputs=fields.texts(_NODE_OUTPUT),
    )


def _constant(message: memoryview) -> Constant:
    fields = _fields(message)
    return Constant(fields.text(_TENSOR_NAME), fields.numbers(_TENSOR_DIMS))


class _Fields(dict[int, list[int | memoryview]]):
    """The fields of one message by number, each with its values in order."""

    def bytes(self, number: int) -> list[memoryview]:
        return [value for value in self.get(number, ()) if isinstance(value, memoryview)]

    def texts(self, number: int) -> tuple[str, ...]:
        return tuple(str(value, "utf-8") for value in self.bytes(number))

    def text(self, number: int) -> str:
        return "".join(self.texts(number)[-1:])

    def numbers(self, number: int) -> tuple[int, ...]:
        """Repeated numbers come one a field, or packed into one."""
        found: list[int] = []
        for value in self.get(number, ()):
            position = 0
            if isinstance(value, int):
                found.append(value)
                continue
            while position < len(value):
                one, position = _varint(value, position)
                found.append(one)
        return tuple(found)


def _fields(message: memoryview) -> _Fields:
    """Read the fields of a message.

    Raises:
        ValueError: If the bytes are no message.
        IndexError: If they end within a field.
    """
    fields = _Fields()
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value: int | memoryview
        if key & 7 == _VARINT:
            value, position = _varint(message, position)
        else:
            size, position = _size(message, position, key & 7)
            value = message[position : position + size]
            position += size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _size(message: memoryview, position: int, kind: int) -> tuple[int, int]:
    """Return the size of a field of bytes, and where its bytes begin.

    Raises:
        ValueError: If the wire type is unknown.
        IndexError: If the message ends before the field does.
    """
    if kind == _LENGTH_DELIMITED:
        size, position = _varint(message, position)
    elif kind in _FIXED_SIZES:
        size = _FIXED_SIZES[kind]
    else:
        raise ValueError(f"wire type {kind} at byte {position}")
    missing = position + size - len(message)
    if missing > 0:
        raise IndexError(f"{missing} bytes are missing at the end")
    return size, position


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, lowest first; returns it and the next position.

    Raises:
        IndexError: If the message ends within it.
    """
    value = shift = 0
    for byte in message[position:]:
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            return value, position
        shift += 7
    raise IndexError("a number is cut off at the end")


def _delimited(number: int, value: bytes) -> bytes:
    """Write a field of bytes."""
    return _encoded(number << 3 | _LENGTH_DELIMITED) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    """Write a varint."""
    groups = bytearray()
    while value >= _MORE:
        groups.append(value & 0x7F | _MORE)
        value >>= 7
    return bytes([*groups, value])
