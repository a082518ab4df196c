"""A count of records on standard error, where a person watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator

from facekit.datasets import ImageRecord

__all__ = ["watched"]

_EVERY = 64


def watched(
    records: Iterable[ImageRecord], doing: str, *, total: int | None = None
) -> Iterator[ImageRecord]:
    """Pass records on; on a terminal show how many.

    Args:
        records: Any stream of records.
        doing: The word in front of the count.
        total: How many there are, where that is known.

    Yields:
        The same records.
    """
    if not sys.stderr.isatty():
        yield from records
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import (  # noqa: PLC0415
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn(
            "{task.completed:,.0f} images"
            if total is None
            else "{task.completed:,.0f} of {task.total:,.0f} images"
        ),
        TimeElapsedColumn(),
    )
    # Standard output may go to a file, and is not the bar's to redirect.
    bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=False, transient=True)
    with bar, contextlib.ExitStack() as stack:
        task = bar.add_task(doing, total=total)
        done = 0
        stack.callback(lambda: bar.update(task, completed=done))
        for done, record in enumerate(records, start=1):
            yield record
            if total is not None or done % _EVERY == 0:
                bar.update(task, completed=done)
