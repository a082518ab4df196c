"""``facekit dataset fetch``: sets that have a public address."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from facekit.cli.console import print_lines
from facekit.cli.exits import report
from facekit.datasets.public import Progress as Told
from facekit.datasets.public import fetch_set, find_set

__all__ = ["run"]


def run(name: str, folder: Path, *, accepted: bool) -> None:
    """Show where a set comes from and its licence; fetch it once that is accepted.

    Args:
        name: The set.
        folder: Where its folders go.
        accepted: That the licence was accepted on the command line.
    """
    chosen = find_set(name)
    for archive in chosen.archives:
        report(archive.url, kind="from")
    report(f"{chosen.licence}; see {chosen.page}", kind="licence")
    if not accepted and sys.stdin.isatty():
        accepted = typer.confirm("Do you accept the licence?", err=True)
    with _bar() as told:
        found = fetch_set(chosen, folder, licence_accepted=accepted, progress=told)
    print_lines(map(str, found))


@contextlib.contextmanager
def _bar() -> Iterator[Told]:
    """Show a bar where a person watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,
    )
    tasks: dict[str, TaskID] = {}
    # rich 13 prints an empty line for a bar that is disabled, but started.
    with bar if sys.stderr.isatty() else contextlib.nullcontext():

        def told(name: str, there: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=there, total=total)

        yield told
