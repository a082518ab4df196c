"""Results as one table: for people as Markdown, for programs as JSON, for eyes as plots."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facekit import __version__, atomic
from facekit.errors import ConfigError, OutputError
from facekit.evaluation.result import Result

__all__ = ["Report"]

Row = list[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What several backends gave on one dataset.

    Attributes:
        dataset: What the dataset is called: ``FORMAT:PATH``.
        results: One a backend, of one task.
    """

    dataset: str
    results: tuple[Result, ...]

    def __post_init__(self) -> None:
        """Check that there is something to report.

        Raises:
            ConfigError: If there is no result, or they are of several tasks.
        """
        if len({result.task for result in self.results}) != 1:
            message = "a report is of one task, and of at least one backend"
            raise ConfigError(message)

    @property
    def columns(self) -> list[str]:
        """Every number that some result has, in order of appearance."""
        return list(dict.fromkeys(name for one in self.results for name in one.values))

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know, each once."""
        return list(dict.fromkeys(note for one in self.results for note in one.notes))

    @property
    def subject(self) -> str:
        """What was measured, in words."""
        first = self.results[0]
        of = f" of {first.total:,}" if first.total != first.images else ""
        things = "labels" if first.task == "classification" else "faces"
        return f"{self.dataset}: {first.images:,}{of} images, {first.faces:,} {things}"

    def table(self) -> tuple[Row, list[Row]]:
        """Return the heading and a row for each backend."""
        settings = list(dict.fromkeys(name for one in self.results for name in one.setting))
        timed = any(one.seconds_per_image is not None for one in self.results)
        heading = ["backend", *settings, *self.columns, *(["ms / image"] if timed else [])]
        rows = []
        for one in self.results:
            numbers = [_number(name, one.values.get(name)) for name in self.columns]
            seconds = one.seconds_per_image
            time = ["" if seconds is None else f"{1000 * seconds:.1f}"] if timed else []
            words = [one.setting.get(name, "") for name in settings]
            rows.append([one.label, *words, *numbers, *time])
        return heading, rows

    def group_table(self) -> tuple[Row, list[Row]]:
        """Return the heading and a row for each part of the dataset and backend."""
        rows = [
            [group, one.label, *(_number(name, values.get(name)) for name in self.columns)]
            for group in dict.fromkeys(name for one in self.results for name in one.groups)
            for one in self.results
            if (values := one.groups.get(group)) is not None
        ]
        return ["part", "backend", *self.columns], rows

    def part_table(self) -> tuple[Row, list[Row]]:
        """Return the heading and a row for each backend of its other numbers."""
        names = list(dict.fromkeys(name for one in self.results for name in one.parts))
        rows = [
            [one.label, *(_number(name, one.parts.get(name)) for name in names)]
            for one in self.results
        ]
        return ["backend", *names], rows if names else []

    def to_markdown(self) -> str:
        """Return the tables and notes as Markdown."""
        first = self.results[0]
        blocks = [f"# {first.task.capitalize()}: {self.subject}", markdown_table(*self.table())]
        for one in self.results:
            if one.confusion is not None:
                labels, counts = one.confusion
                rows = [[name, *map(str, row)] for name, row in zip(labels, counts, strict=True)]
                blocks.append(f"{one.label}: true labels down, given labels across")
                blocks.append(markdown_table(["", *labels], rows))
        for heading, rows in (self.part_table(), self.group_table()):
            if rows:
                blocks.append(markdown_table(heading, rows))
        blocks += [f"- {note}" for note in self.notes]
        blocks.append(f"facekit {__version__}")
        return "\n\n".join(blocks) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "facekit": __version__,
            "dataset": self.dataset,
            "notes": self.notes,
            "results": [one.to_dict() for one in self.results],
        }

    def save(self, folder: Path, *, plots: bool = True) -> list[Path]:
        """Write ``report.json``, ``report.md`` and, where there are curves, plots.

        Args:
            folder: An existing folder.
            plots: Whether to draw curves; needs matplotlib.

        Returns:
            The files.

        Raises:
            OutputError: If a file cannot be written.
            MissingDependencyError: If plots are wanted and matplotlib is not installed.
        """
        if not folder.is_dir():
            message = f"{folder}: no such folder"
            raise OutputError(message)
        atomic.write_text(folder / "report.json", json.dumps(self.to_dict(), indent=1) + "\n")
        atomic.write_text(folder / "report.md", self.to_markdown())
        files = [folder / "report.json", folder / "report.md"]
        if plots and any(one.curves for one in self.results):
            from facekit.evaluation.plots import save_curves  # noqa: PLC0415 - matplotlib

            files.append(save_curves(self, folder / "curves.png"))
        return files


def _number(column: str, value: float | None) -> str:
    """Write a number as its column wants it."""
    if value is None:
        return ""
    if math.isnan(value):
        return "n/a"
    return f"{value:.2f}" if column.endswith("NME %") else f"{value:.3f}"


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    Args:
        heading: The columns' names.
        rows: Cells; a pipe in one is escaped.
    """
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def values_of(results: Iterable[Result]) -> dict[str, Mapping[str, float]]:
    """Return each result's numbers by its label."""
    return {one.label: one.values for one in results}
