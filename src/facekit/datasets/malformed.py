"""Malformed lines: refused at once, or gathered while reading goes on.

A reader whose format allows it takes ``on_malformed``, which is called with the error of each line
(or file, or row) that is left out. By default that is :func:`refuse`.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

from facekit.errors import DatasetError

__all__ = ["MOST", "OPTION", "Malformed", "OnMalformed", "refuse", "takes_it"]

OnMalformed = Callable[[DatasetError], None]

OPTION: Final = "on_malformed"
"""The reader's option."""

MOST: Final = 100
"""How many malformed lines of one file are told one by one."""


def refuse(error: DatasetError) -> NoReturn:
    """Stop reading.

    Raises:
        DatasetError: The error that is given.
    """
    raise error


def takes_it(function: Callable[..., object]) -> bool:
    """Tell whether a reader can go on after a malformed line."""
    return OPTION in inspect.signature(function).parameters


class Malformed:
    """Gathers the errors of a reader, a bounded number of each file; it is an ``OnMalformed``."""

    def __init__(self, most: int = MOST) -> None:
        """Start with none.

        Args:
            most: How many errors of one file are kept; the others are counted.
        """
        self._most = most
        self._new: list[DatasetError] = []
        self._counts: Counter[str] = Counter()

    def __call__(self, error: DatasetError) -> None:
        """Take an error."""
        self._counts[error.file] += 1
        if self._counts[error.file] <= self._most:
            self._new.append(error)

    def taken(self) -> list[DatasetError]:
        """Return the errors since the last call."""
        new, self._new = self._new, []
        return new

    def more(self) -> Iterator[tuple[str, int]]:
        """Yield each file that had more errors than are kept, and how many more."""
        for file, count in self._counts.items():
            if count > self._most:
                yield file, count - self._most
