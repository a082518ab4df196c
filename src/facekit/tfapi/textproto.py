"""Protobuf's text format, read and written without protobuf or the messages' descriptions.

A pipeline configuration of the API is such a text. To change a handful of its fields, and to keep
the others as they are, nothing has to be known of their types.
https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from facekit.errors import ConfigError

__all__ = ["Message", "parse", "quoted"]

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s+|\#[^\n]*)+)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[-+]?[\w.]+(?:[-+]\d+)?)
    |(?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_ENDS: Final = {"{": "}", "<": ">"}


def quoted(text: str) -> str:
    """Return a string as the format writes it.

    Args:
        text: Any text.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Message:
    """A message: named values in order, each a scalar as written or a message.

    Paths such as ``"model.ssd.num_classes"`` walk through messages; of a repeated one, the first.

    Attributes:
        fields: Names and values, in order; a repeated field has several entries.
    """

    def __init__(self) -> None:
        """Make an empty message."""
        self.fields: list[tuple[str, str | Message]] = []

    def get(self, path: str) -> str | Message | None:
        """Return the first value at a path; ``None`` where there is none.

        Args:
            path: Names with dots between.
        """
        name, _, rest = path.partition(".")
        found = next((value for key, value in self.fields if key == name), None)
        if not rest or found is None:
            return found
        return found.get(rest) if isinstance(found, Message) else None

    def all(self, path: str) -> list[str | Message]:
        """Return every value of a repeated field.

        Args:
            path: Names with dots between.
        """
        above, _, name = path.rpartition(".")
        owner = self.get(above) if above else self
        if not isinstance(owner, Message):
            return []
        return [value for key, value in owner.fields if key == name]

    def set(self, path: str, *values: str | Message) -> None:
        """Give a field these values instead of its own; messages on the way are made.

        Args:
            path: Names with dots between.
            values: Scalars as the format writes them, or messages; none clears the field.
        """
        name, _, rest = path.partition(".")
        if rest:
            self._inner(name).set(rest, *values)
            return
        places = [i for i, (key, _) in enumerate(self.fields) if key == name]
        place = places[0] if places else len(self.fields)
        kept = [one for one in self.fields if one[0] != name]
        kept[place:place] = [(name, value) for value in values]
        self.fields = kept

    def clear(self, path: str) -> bool:
        """Remove a field.

        Args:
            path: Names with dots between.

        Returns:
            Whether it was there.
        """
        there = self.get(path) is not None
        if there:
            self.set(path)
        return there

    def _inner(self, name: str) -> Message:
        """Return a message inside this one, made where there is none."""
        found = self.get(name)
        if not isinstance(found, Message):
            found = Message()
            self.set(name, found)
        return found

    def __str__(self) -> str:
        """Return the message as text that :func:`parse` reads back."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for name, value in self.fields:
            if isinstance(value, Message):
                yield f"{name} {{"
                yield from (f"  {line}" for line in value._lines())  # noqa: SLF001 - of its kind
                yield "}"
            else:
                yield f"{name}: {value}"


def parse(text: str, source: str) -> Message:
    """Read a message.

    Args:
        text: The text.
        source: Where it came from, for messages.

    Raises:
        ConfigError: If it is malformed; the line is named.
    """
    return _Reader(text, source).message("")


class _Reader:
    """Walks over the tokens of a text."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._tokens = list(self._scan())
        self._place = 0

    def _scan(self) -> Iterator[tuple[str, int]]:
        place = 0
        while place < len(self._text):
            match = _TOKEN.match(self._text, place)
            if match is None:
                raise self._error(place)
            if not match["space"]:
                yield match[0], place
            place = match.end()

    def _error(self, place: int) -> ConfigError:
        line = self._text.count("\n", 0, place) + 1
        shown = self._text[place : place + 20].partition("\n")[0]
        what = f"got {shown!r}" if shown else "the text ends"
        return ConfigError(f"{self._source}:{line}: not protobuf's text format: {what}")

    def _peek(self) -> str:
        return self._tokens[self._place][0] if self._place < len(self._tokens) else ""

    def _take(self, *, wanted: Sequence[str] = ()) -> str:
        """Return the next token, which must be one of those wanted, if any are."""
        token = self._peek()
        if not token or (wanted and token not in wanted):
            place = self._tokens[self._place][1] if token else len(self._text)
            raise self._error(place)
        self._place += 1
        return token

    def message(self, end: str) -> Message:
        """Read fields up to the end of their message; of the whole text, where ``end`` is empty."""
        message = Message()
        while (token := self._peek()) != end:
            if not token or not (token[0].isalpha() or token[0] == "_"):
                self._take(wanted=("a field",))
            name = self._take()
            colon = self._peek() == ":" and bool(self._take())
            if self._peek() == "[" and colon:
                message.fields += [(name, value) for value in self._list()]
            else:
                message.fields.append((name, self._value(scalar=colon)))
            if self._peek() in {",", ";"}:
                self._take()
        if end:
            self._take()
        return message

    def _list(self) -> Iterator[str | Message]:
        self._take()
        while self._peek() != "]":
            yield self._value(scalar=True)
            if self._peek() != "]":
                self._take(wanted=(",",))
        self._take()

    def _value(self, *, scalar: bool) -> str | Message:
        """Read a message, or a scalar where one may stand."""
        token = self._peek()
        if token in _ENDS:
            return self.message(_ENDS[self._take()])
        if not scalar or token[:1] in set("}>]:,;"):
            self._take(wanted=tuple(_ENDS))
        value = self._take()
        # Strings side by side are one.
        while value[0] in "\"'" and self._peek()[:1] in {'"', "'"} and self._peek():
            value += " " + self._take()
        return value
