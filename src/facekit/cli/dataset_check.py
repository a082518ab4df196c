"""What ``facekit dataset check`` does."""

from __future__ import annotations

import json as json_
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from facekit.cli.console import print_json, print_lines, print_table
from facekit.cli.dataset_specs import source, tell_losses
from facekit.cli.exits import OK, PARTLY_FAILED, report
from facekit.datasets import ImageRecord
from facekit.datasets import check as linter
from facekit.datasets import fix as fixer
from facekit.datasets.findings import CODES, Finding, Severity
from facekit.datasets.formats import Holds, parse
from facekit.datasets.malformed import Malformed

__all__ = ["SHOWN", "Malformed", "findings", "fix", "show", "source"]

SHOWN = 10
"""Findings of one kind that are printed unless all are asked for."""

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: ""}

Start = Callable[[], Iterable[ImageRecord]]


def findings(
    spec: str, start: Start, malformed: Malformed, *, look: bool, contents: bool, tiny: float
) -> Iterator[Finding]:
    """Find a dataset's quirks.

    Args:
        spec: ``FORMAT:PATH``.
        start: Starts to read it.
        malformed: Gathers the malformed lines.
        look: Whether to look at image files.
        contents: Whether to read them whole.
        tiny: A face with a shorter side is tiny, pixels.
    """
    holds: Holds = getattr(parse(spec)[0].load(), "HOLDS", Holds())
    return linter.check(
        start(),
        look_at_images=look,
        contents=contents,
        tiny=tiny,
        faces=holds.faces,
        malformed=malformed,
    )


def show(found: Iterable[Finding], *, json: bool, limit: int | None) -> int:
    """Print findings and how many there are of each kind.

    Args:
        found: The findings.
        json: Whether to print JSON: all of them, whatever the limit.
        limit: How many of a kind to print.

    Returns:
        The exit code.
    """
    counts: Counter[tuple[str, Severity]] = Counter()
    if json:
        _stream(found, counts)
    else:
        print_lines(_limited(found, counts, limit))
        _summary(counts, limit)
    errors = any(severity is Severity.ERROR for _, severity in counts)
    return PARTLY_FAILED if errors else OK


def _limited(
    found: Iterable[Finding], counts: Counter[tuple[str, Severity]], limit: int | None
) -> list[str] | Iterator[str]:
    """Return the lines to be printed: at once where there are few, else as they come."""
    lines = _lines(found, counts, limit)
    # A bar on the same terminal must be gone before anything is printed.
    return lines if limit is None else list(lines)


def _lines(
    found: Iterable[Finding], counts: Counter[tuple[str, Severity]], limit: int | None
) -> Iterator[str]:
    """Count findings, and yield those that are printed."""
    for one in found:
        key = (one.code, one.severity)
        counts[key] += 1
        if limit is None or counts[key] <= limit:
            yield str(one)


def _stream(found: Iterable[Finding], counts: Counter[tuple[str, Severity]]) -> None:
    """Print one JSON document as findings come: there may be millions."""
    print('{"findings": [', end="")
    before = "\n"
    for one in found:
        counts[one.code, one.severity] += 1
        print(before + json_.dumps(one.to_dict()), end="")
        before = ",\n"
    totals = {code: count for (code, _), count in counts.most_common()}
    print(f'\n], "counts": {json_.dumps(totals)}}}')


def _summary(counts: Counter[tuple[str, Severity]], limit: int | None) -> None:
    """Print how many findings there are of each kind, the worst first."""
    if not counts:
        print_lines(["nothing found"])
        return
    order = list(Severity)
    rows = sorted(counts.items(), key=lambda row: (order.index(row[0][1]), -row[1]))
    print_lines([""])
    print_table(
        [">count", "severity", "code", "meaning"],
        [
            [
                f"{count:,}",
                (str(severity), _STYLES[severity]),
                code,
                CODES[code].meaning if code in CODES else "mended by the reader",
            ]
            for (code, severity), count in rows
        ],
    )
    if limit is not None and any(count > limit for count in counts.values()):
        print_lines([f"the first {limit} of each kind are shown; --all shows every one"])


def fix(start: Start, target: str, *, drop_missing: bool, json: bool) -> None:
    """Write a repaired copy and the list of repairs.

    Args:
        start: Starts to read the dataset.
        target: ``FORMAT:PATH`` of the copy.
        drop_missing: Whether to leave out images whose files are missing.
        json: Whether to print JSON.
    """
    fixed = fixer.fix(start, target, drop_missing=drop_missing)
    if json:
        print_json(
            {
                "target": target,
                "images": fixed.losses.images,
                "faces": fixed.losses.faces,
                "lost": dict(fixed.losses.lost.most_common()),
                "repairs": dict(fixed.repairs.most_common()),
                "report": str(fixed.report),
            }
        )
        return
    for code, count in fixed.repairs.most_common():
        report(f"{code} ({count} times)", kind="repaired")
    tell_losses(target, fixed.losses)
    print_lines([f"{fixed.report}: {fixed.repairs.total()} repairs"])
