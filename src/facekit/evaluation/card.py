"""Model cards: what was measured, written by the run that measured it, around a person's prose.

The parts between ``<!-- facekit: NAME -->`` and ``<!-- end: NAME -->`` are written here and
replaced by the next run; everything else is a person's: where the data is from and under which
terms, what the model is for, what it cannot do. A card that exists keeps that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from facekit import __version__, atomic, weights
from facekit.errors import FacekitError, UnknownNameError
from facekit.evaluation.candidates import Candidate
from facekit.evaluation.cost import Cost
from facekit.evaluation.report import Report, markdown_table
from facekit.evaluation.result import Result
from facekit.summary import summary
from facekit.weights import WeightsEntry

__all__ = ["card_text", "write_card"]

_BLOCK: Final = re.compile(
    r"<!-- facekit: (?P<name>\w+) -->\n.*?<!-- end: (?P=name) -->", flags=re.DOTALL
)

_TEMPLATE: Final = """\
# Model card: `{title}`

*In a sentence: what it does, and for whom.*

## Network

{network}

## Training data and its terms

{licence}

*Which data, from where, under which terms; what else went in, other models' outputs included.*

## Intended use

*What it is for, and what it must not be used for.*

## What it reaches

{measured}

## What it costs

{cost}

## Limits

*Where it fails; what was not measured.*
"""


def write_card(
    path: Path, candidate: Candidate, dataset: str, results: Sequence[Result], cost: Cost | None
) -> Path:
    """Write a card, or renew the measured parts of one that exists.

    Args:
        path: The Markdown file.
        candidate: The backend.
        dataset: What the dataset is called.
        results: What it gave: one result, or a landmarker's in several kinds of boxes.
        cost: What it costs, where that was measured.

    Returns:
        The path.

    Raises:
        OutputError: If it cannot be written.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    atomic.write_text(path, card_text(candidate, dataset, results, cost, before=before))
    return path


def card_text(
    candidate: Candidate,
    dataset: str,
    results: Sequence[Result],
    cost: Cost | None,
    *,
    before: str | None = None,
) -> str:
    """Return a card's text; see :func:`write_card`.

    Args:
        candidate: The backend.
        dataset: What the dataset is called.
        results: What it gave.
        cost: What it costs, where that was measured.
        before: The card as it is; its prose is kept.
    """
    blocks = {
        "network": _network(candidate),
        "licence": _licence(candidate),
        "measured": _measured(dataset, results),
        "cost": _cost(cost),
    }
    marked = {
        name: f"<!-- facekit: {name} -->\n{text}\n<!-- end: {name} -->"
        for name, text in blocks.items()
    }
    if before is not None and _BLOCK.search(before):
        return _BLOCK.sub(lambda found: marked.get(found["name"], found[0]), before)
    file = candidate.weights_file
    title = candidate.config.backend if file is None else file.name
    return _TEMPLATE.format(title=title, **marked)


def _entry(candidate: Candidate) -> WeightsEntry | None:
    """Return what the catalogue knows of the weights."""
    wanted = candidate.config.options.get("weights") or candidate.config.backend
    return weights.entries().get(str(wanted))


def _network(candidate: Candidate) -> str:
    """Return what is known of the network without running it."""
    rows = [["backend", f"`{candidate.config.backend}` ({candidate.role})"]]
    try:
        network = summary(candidate.config.backend, candidate.weights_file, role=candidate.role)
    except (UnknownNameError, FacekitError):
        network = None
    if network is not None:
        shape = " x ".join(map(str, network.input_shape))
        rows.append(["parameters", f"{network.parameters / 1e6:.2f} M"])
        rows.append(["multiply-adds", f"{network.macs / 1e9:.3f} G, for one input of {shape}"])
    file = candidate.weights_file
    if file is not None:
        rows.append(["file", f"`{file.name}`, {file.stat().st_size / 1e6:.2f} MB"])
        rows.append(["sha256", f"`{weights.sha256(file)}`"])
    options = {key: value for key, value in candidate.config.options.items() if key != "weights"}
    if options:
        rows.append(["options", ", ".join(f"{key} {value}" for key, value in options.items())])
    return markdown_table(["", ""], rows)


def _licence(candidate: Candidate) -> str:
    """Return what the catalogue says of licence and source."""
    entry = _entry(candidate)
    if entry is None:
        return "Licence: *not in facekit's catalogue: say it here below.*"
    return f"Licence: `{entry.licence}`. Source: {entry.source}."


def _measured(dataset: str, results: Sequence[Result]) -> str:
    """Return the numbers of a run."""
    report = Report(dataset, tuple(results))
    blocks = [f"Measured on {report.subject}, by facekit {__version__}."]
    if report.notes:
        blocks.append("\n".join(f"- {note}" for note in report.notes))
    # Time in a run of many images is not that of one alone: it stands under costs.
    heading, rows = report.table()
    if heading[-1] == "ms / image":
        heading, rows = heading[:-1], [row[:-1] for row in rows]
    blocks.append(markdown_table(heading, rows))
    tables: tuple[Callable[[], tuple[list[str], list[list[str]]]], ...] = (
        report.part_table,
        report.group_table,
    )
    for table in tables:
        heading, rows = table()
        if rows:
            blocks.append(markdown_table(heading, rows))
    return "\n\n".join(blocks)


def _cost(cost: Cost | None) -> str:
    """Return time and memory."""
    if cost is None:
        return "*Not measured.*"
    height, width = cost.image_size
    threads = {0: "its own number of threads", 1: "one thread"}.get(
        cost.threads, f"{cost.threads} threads"
    )
    of = f"one image of {width} x {height} px"
    if cost.faces:
        of += f" with {cost.faces} face{'s' if cost.faces > 1 else ''}"
    rows = [
        ["time", f"{cost.milliseconds:.1f} ms for {of}: median of {cost.runs} calls, {threads}"]
    ]
    if cost.peak_mb is not None:
        before = "" if cost.start_mb is None else f", {cost.start_mb:.0f} MB before it was built"
        rows.append(["memory", f"{cost.peak_mb:.0f} MB at most, the whole process{before}"])
    rows.append(["machine", cost.machine])
    return markdown_table(["", ""], rows)
