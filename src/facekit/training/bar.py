"""How far a run is, for whoever watches a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from facekit.training.engine import Engine

__all__ = ["Bar", "watched"]


class Bar:
    """A progress bar on standard error, or nothing."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        """Show on a started progress display; on none, show nothing."""
        self._progress, self._task = progress, task

    def show(self, engine: Engine) -> None:
        """Move on.

        Args:
            engine: After a step.
        """
        if self._progress is None or self._task is None:
            return
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in engine.losses.latest.items())
        done = engine.clock.progress(engine.step)
        self._progress.update(self._task, completed=done, note=f"step {engine.step}  {numbers}")


@contextlib.contextmanager
def watched(name: str, *, wanted: bool) -> Iterator[Bar]:
    """Show a bar while a block runs, where a person watches.

    Args:
        name: The word in front of it.
        wanted: Whether to show one at all.

    Yields:
        The bar.
    """
    if not wanted or not sys.stderr.isatty():
        yield Bar()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    console = Console(stderr=True)
    with Progress(*columns, *times, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(name, total=1.0, note=""))
