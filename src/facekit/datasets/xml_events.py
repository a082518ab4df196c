"""XML annotations as a stream of elements, each with its line, from files that nobody vouches for.

A document type declaration, and with it every entity bomb and external entity, is refused. Memory
does not grow with the file. The encoding is the one that the file declares.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from facekit.datasets.files import open_bytes
from facekit.errors import DatasetError

__all__ = ["End", "Start", "events"]

_CHUNK: Final = 1 << 16
_MAX_TEXT: Final = 1 << 20


class Start(NamedTuple):
    """An element begins.

    Attributes:
        tag: Its name.
        attributes: Its attributes.
        line: The line of its first character, from 1.
    """

    tag: str
    attributes: Mapping[str, str]
    line: int


class End(NamedTuple):
    """An element ends.

    Attributes:
        tag: Its name.
        text: The text since the last element began or ended.
        line: The line, from 1.
    """

    tag: str
    text: str
    line: int


def events(path: str | os.PathLike[str]) -> Iterator[Start | End]:
    """Stream the elements of an XML file.

    Args:
        path: The file.

    Yields:
        The beginning and the end of each element, in the file's order.

    Raises:
        DatasetError: If the file cannot be read, is not well-formed or declares a document type.
    """
    listener = _Listener(str(path))
    with open_bytes(path) as file:
        while chunk := file.read(_CHUNK):
            listener.feed(chunk)
            yield from listener.taken()
        listener.feed(b"")
        yield from listener.taken()


class _Listener:
    """What the parser reports, until it is taken away."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: list[Start | End] = []
        self._text: list[str] = []
        self._length = 0
        self._parser = DefusedXMLParser(target=self, forbid_dtd=True)

    def feed(self, chunk: bytes) -> None:
        """Parse some more bytes; none at the end of the file."""
        try:
            if chunk:
                self._parser.feed(chunk)
            else:
                self._parser.close()
        except DatasetError:
            raise
        except ParseError as error:
            raise DatasetError(self._path, error.position[0], f"not XML: {error}") from error
        except DefusedXmlException as error:
            reason = "declares a document type or entities, which facekit refuses; remove them"
            raise DatasetError(self._path, self._line, reason) from error
        except (LookupError, ValueError) as error:
            raise DatasetError(self._path, self._line, f"in an unknown encoding: {error}") from None

    def taken(self) -> list[Start | End]:
        """Return what was found since the last call."""
        found, self._found = self._found, []
        return found

    @property
    def _line(self) -> int:
        line: int = self._parser.parser.CurrentLineNumber
        return line

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._text, self._length = [], 0
        self._found.append(Start(tag, attributes, self._line))

    def data(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MAX_TEXT:
            raise DatasetError(self._path, self._line, f"text of more than {_MAX_TEXT} characters")
        self._text.append(text)

    def end(self, tag: str) -> None:
        self._found.append(End(tag, "".join(self._text), self._line))
        self._text, self._length = [], 0

    def close(self) -> None:
        """End of the file; the parser asks for this method."""
