"""Tables for people: as wide as the terminal, and unwrapped where a program reads them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from facekit.cli.exits import one_line

__all__ = ["Cell", "print_json", "print_lines", "print_table"]

Cell = str | tuple[str, str]
"""A cell's text, or its text and rich style."""

_UNBOUNDED = 100_000
"""Columns of a pipe or file, where wrapping would only break what reads it."""


class _Console(Console):
    """A console that leaves a closed pipe to the caller."""

    def on_broken_pipe(self) -> NoReturn:
        """Re-raise: rich would exit with code 1, which means something else here."""
        raise  # noqa: PLE0704 - rich calls this from its except block


def _console() -> Console:
    """Return a console on today's standard output (tests replace it)."""
    width = None if sys.stdout.isatty() else _UNBOUNDED
    return _Console(
        file=sys.stdout, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False
    )


def _text(cell: Cell) -> Text:
    """Return a cell as rich text, safe to print."""
    content, style = cell if isinstance(cell, tuple) else (cell, "")
    return Text(one_line(content), style=style)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table on standard output.

    Args:
        headers: The columns' names; one that starts with ``>`` is aligned to the right.
        rows: One cell a column; taken as plain text, whatever markup it may look like.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in headers:
        right = header.startswith(">")
        table.add_column(
            header.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = _console()
    with console.capture() as captured:
        console.print(table)
    # rich pads every line to the table's width.
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    print(text)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are, never wrapped: commands to be copied, paths.

    Args:
        lines: Lines without their end; control characters are escaped.
    """
    for line in lines:
        print(one_line(line))


def print_json(document: Any) -> None:  # noqa: ANN401 - plain JSON values
    """Print one JSON document on standard output.

    Args:
        document: Plain values.
    """
    print(json.dumps(document, indent=2))
