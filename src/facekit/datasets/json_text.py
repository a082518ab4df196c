"""JSON annotations one element at a time, each with its line.

The text of the file stays in memory, because elements that belong together may stand anywhere in
it; what Python makes of it, some ten times as large, does not.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

from facekit.datasets.files import open_text
from facekit.datasets.records import Provenance
from facekit.errors import DatasetError

__all__ = ["Element", "JsonText"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")


class Element(NamedTuple):
    """A value, and where it stands.

    Attributes:
        key: The key of the outermost object, or ``""`` where the file is a list.
        number: The place in the list, from 0, or ``None`` where the key has no list.
        value: The value.
        start: The place in the text.
        line: The line, from 1.
    """

    key: str
    number: int | None
    value: Any
    start: int
    line: int


def _refuse(constant: str) -> NoReturn:
    """Refuse what JSON does not know, and Python reads nevertheless."""
    raise ValueError(f"{constant} is no JSON")


class JsonText:
    """A JSON file: a list, or an object of lists."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the text.

        Args:
            path: The file.

        Raises:
            DatasetError: If it cannot be read as UTF-8.
        """
        self.path = str(path)
        self.keys: set[str] = set()
        with open_text(path, newline="") as file:
            self._text = file.read()
        self._decoder = json.JSONDecoder(parse_constant=_refuse)
        self._place = 0
        self._counted, self._line = 0, 1

    def elements(self) -> Iterator[Element]:
        """Yield the elements of every list, and the values that are no lists, in order.

        Raises:
            DatasetError: If the text is no JSON, or neither a list nor an object.
        """
        opening = self._next()
        if opening == "[":
            yield from self._list("")
        elif opening == "{":
            yield from self._object()
        else:
            raise self._error("expected a JSON object or list")
        if self._next():
            raise self._error("expected nothing after the JSON")

    def value(self, start: int) -> Any:  # noqa: ANN401 - JSON
        """Return the value of an element once more, by its place."""
        return self._decoder.raw_decode(self._text, start)[0]

    def where(self, line: int) -> Provenance:
        """Return a place in this file."""
        return Provenance(self.path, line)

    def _next(self) -> str:
        """Go to the next character that is no space; return it, or ``""`` at the end."""
        match = _SPACE.match(self._text, self._place)
        self._place = match.end() if match else self._place
        return self._text[self._place : self._place + 1]

    def _error(self, reason: str) -> DatasetError:
        return DatasetError(self.path, self._line_here(), f"not JSON: {reason}")

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._place)
        self._counted = self._place
        return self._line

    def _take(self, expected: str) -> str:
        """Go past the next character, which must be one of those expected."""
        found = self._next()
        if not found or found not in expected:
            raise self._error(f"expected {' or '.join(expected)}, got {found or 'the end'!r}")
        self._place += 1
        return found

    def _decode(self) -> Any:  # noqa: ANN401 - JSON
        """Return the next value and go past it."""
        self._next()
        try:
            value, self._place = self._decoder.raw_decode(self._text, self._place)
        except json.JSONDecodeError as error:
            raise DatasetError(self.path, error.lineno, f"not JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise self._error(str(error)) from error
        return value

    def _object(self) -> Iterator[Element]:
        self._take("{")
        if self._next() == "}":
            self._take("}")
            return
        while True:
            key = self._decode()
            if not isinstance(key, str):
                raise self._error(f"a key is a text, not {key!r}")
            self._take(":")
            self.keys.add(key)
            if self._next() == "[":
                yield from self._list(key)
            else:
                start, line = self._place, self._line_here()
                yield Element(key, None, self._decode(), start, line)
            if self._take(",}") == "}":
                return

    def _list(self, key: str) -> Iterator[Element]:
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return
        for number in itertools.count():
            self._next()
            start, line = self._place, self._line_here()
            yield Element(key, number, self._decode(), start, line)
            if self._take(",]") == "]":
                return
