"""Datasets that are read more than once, and never written over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from facekit.datasets.formats import parse, read
from facekit.datasets.records import ImageRecord
from facekit.errors import ConfigError

__all__ = ["Source", "reader", "spared"]

_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}$")

Source = str | Callable[[], Iterable[ImageRecord]]
"""``FORMAT:PATH``, or a function that starts to read the records again."""


def reader(source: Source) -> Callable[[], Iterable[ImageRecord]]:
    """Return a function that reads a source from its start each time it is called.

    Args:
        source: ``FORMAT:PATH`` or such a function.
    """
    if isinstance(source, str):
        spec = source
        return lambda: read(spec)
    return source


def spared(records: Iterable[ImageRecord], *specs: str) -> Iterator[ImageRecord]:
    """Pass records on, unless they are read from what is to be written.

    Args:
        records: Any stream of records.
        *specs: The targets, ``FORMAT:PATH``.

    Yields:
        The same records.

    Raises:
        ConfigError: If a target is an annotation file that a record was read from, or a folder
            that holds one.
    """
    targets = {parse(spec)[1].resolve() for spec in specs}
    last = None
    for record in records:
        file = record.source.file if record.source is not None else None
        if file is not None and file != last:
            last = file
            _check(Path(file).resolve(), targets)
        yield record


def _check(file: Path, targets: set[Path]) -> None:
    """Refuse targets that are, or hold, a file."""
    # A set of shards is named without their numbers.
    whole = file.with_name(_SHARD.sub("", file.name) or file.name)
    for target in targets.intersection([file, whole, *file.parents]):
        # No OSError: writers would take it for the disk's.
        raise ConfigError(f"{target}: would overwrite what is read, {file}; name another place")
