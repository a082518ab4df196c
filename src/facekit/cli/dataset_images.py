"""``facekit dataset images``: fetch the images that a dataset names by URL."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from facekit import datasets
from facekit.cli.console import print_lines
from facekit.cli.dataset_specs import read_options
from facekit.cli.exits import exit_code, report
from facekit.datasets import ImageRecord
from facekit.datasets.download import Limits, Outcome, fetch_images, write_report

__all__ = ["Limits", "run", "source"]


def source(spec: str, read: Sequence[str]) -> Callable[[], Iterable[ImageRecord]]:
    """Check a reader's options, and return a function that starts to read a dataset again.

    Args:
        spec: ``FORMAT:PATH``.
        read: The options, ``KEY=VALUE``.

    Raises:
        ConfigError: If the format has no such option.
    """
    options = read_options(spec, read)
    return lambda: datasets.read(spec, **options)


def run(
    start: Callable[[], Iterable[ImageRecord]],
    folder: Path,
    *,
    reencode: bool,
    workers: int,
    limits: Limits,
    listing: Path | None,
) -> int:
    """Fetch images, tell of each that did not come, and print how many did.

    Args:
        start: Starts to read the records.
        folder: Where images go.
        reencode: Whether they are written anew as RGB.
        workers: Requests at a time.
        limits: How far to go with each server.
        listing: The report of JSON lines, or ``None``.

    Returns:
        The exit code.
    """
    outcomes = fetch_images(start(), folder, reencode=reencode, workers=workers, limits=limits)
    with contextlib.closing(outcomes):
        told = _told(_shown(outcomes, start))
        counts = _counted(told) if listing is None else write_report(told, listing)
    words = (f"{counts[status]} {status}" for status in ("fetched", "present", "failed"))
    print_lines([f"{folder}: {', '.join(words)}"])
    return exit_code(counts["failed"], counts.total())


def _counted(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Count how many images have which status."""
    return Counter(outcome.status for outcome in outcomes)


def _told(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Print one line for each image that did not come."""
    for outcome in outcomes:
        if outcome.status == "failed":
            place = f"{outcome.file}:{outcome.line}: " if outcome.file else ""
            report(f"{place}{outcome.url or outcome.name}: {outcome.reason}", kind="failed")
        yield outcome


def _shown(
    outcomes: Iterable[Outcome], start: Callable[[], Iterable[ImageRecord]]
) -> Iterator[Outcome]:
    """Show a bar where a person watches."""
    if not sys.stderr.isatty():
        yield from outcomes
        return
    total = sum(1 for _ in start())
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # Standard output may go to a file, and is not the bar's to redirect.
    bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=False, transient=True)
    with bar:
        yield from bar.track(outcomes, total=total, description="fetching")
