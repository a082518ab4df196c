"""TF Object Detection's label map: ``item { id: 1 name: 'face' }``, in protobuf's text format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from facekit.datasets.files import open_text
from facekit.errors import DatasetError

__all__ = ["read_label_map", "text_of"]

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|[,;])
    |(?P<open>item\s*:?\s*\{)
    |(?P<close>\})
    |(?P<key>\w+)\s*:\s*(?:(?P<number>-?\d+)|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_NAMES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def text_of(labels: Iterable[tuple[str, int]]) -> str:
    """Return the text of a label map.

    Args:
        labels: Labels and their numbers, from 1.
    """
    items = (
        f"item {{\n  id: {number}\n  name: '{''.join(_NAMES.get(c, c) for c in label)}'\n}}\n"
        for label, number in labels
    )
    return "\n".join(items)


def read_label_map(file: Path) -> dict[int, str]:
    """Read a label map.

    Args:
        file: The ``.pbtxt``.

    Returns:
        The label of each number.

    Raises:
        DatasetError: If it is malformed, with file, line and reason.
    """
    with open_text(file) as opened:
        text = opened.read()
    labels: dict[int, str] = {}
    item: dict[str, str] | None = None
    place = 0
    while place < len(text):
        line = text.count("\n", 0, place) + 1
        match = _TOKEN.match(text, place)
        if match is None or (match["key"] and item is None) or (match["open"] and item is not None):
            shown = text[place : place + 20].partition("\n")[0]
            raise DatasetError(file, line, f"expected item {{ id: ... name: ... }}, got {shown!r}")
        place = match.end()
        if match["open"]:
            item = {}
        elif match["key"] and item is not None:
            item[match["key"]] = match["number"] or _unquoted(match["text"])
        elif match["close"]:
            number, label = _checked(item or {}, labels, file, line)
            labels[number] = label
            item = None
    if item is not None:
        raise DatasetError(file, text.count("\n") + 1, "the file ends inside an item")
    return labels


def _unquoted(text: str) -> str:
    """Return a text without its quotes and escapes."""
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])


def _checked(
    item: dict[str, str], labels: dict[int, str], file: Path, line: int
) -> tuple[int, str]:
    """Return the number and the label of an item."""
    number, label = item.get("id", ""), item.get("name", "")
    if not number.isdecimal() or int(number) < 1 or not label:
        reason = f"an item has an id from 1 and a name, got {number!r} and {label!r}"
        raise DatasetError(file, line, reason)
    if int(number) in labels or label in labels.values():
        raise DatasetError(file, line, f"the id {number} or the name {label!r} is there twice")
    return int(number), label
