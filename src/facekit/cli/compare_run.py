"""What ``facekit compare`` does."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

from facekit import atomic, images
from facekit.cli.compare import Request
from facekit.cli.console import print_json, print_lines, print_table
from facekit.cli.evaluate_run import PREDICTIONS, missing_of, records_of, watch_of
from facekit.cli.exits import report as tell
from facekit.cli.naming import check_folder
from facekit.evaluation.candidates import candidates
from facekit.evaluation.compare import Comparison, Difference, compare_detectors, worst_cases

__all__ = ["run"]

SHOWN = 5
"""Images that are named."""


def run(request: Request) -> None:
    """Compare, print and write.

    Args:
        request: What the user asked for.

    Raises:
        FacekitError: If something is wrong with the request, the dataset or a detector.
    """
    one, two = candidates("detector", [request.a, request.b])
    missing = missing_of(request.missing)
    if request.out is not None:
        check_folder(request.out)
    records = records_of(request)
    if request.out is not None:
        request.out.mkdir(exist_ok=True)
    comparison = compare_detectors(
        records,
        one,
        two,
        min_height=request.min_height,
        threshold=request.threshold,
        folder=None if request.out is None else request.out / PREDICTIONS,
        restart=request.restart,
        missing=missing,
        batch_size=request.batch_size,
        watch=watch_of("comparing", records),
    )
    files = [] if request.out is None else list(_write(comparison, request.out, request.worst))
    if request.json:
        print_json(comparison.to_dict())
        return
    _show(comparison)
    print_lines([f"wrote {file}" for file in files])


def _show(comparison: Comparison) -> None:
    """Print operating points, the advice and the images that the swap makes worst."""
    sides = (comparison.a, comparison.b)
    faces, count = comparison.a.outcomes.faces, len(comparison.records)
    print_lines([f"{count:,} images, {faces:,} faces"])
    print_lines([f"{side.label}: {side.scale}" for side in sides])
    print_lines([""])
    heading = ["detector", "threshold chosen by", ">score_threshold", ">recall", ">precision"]
    print_table(
        [*heading, ">F1", ">false / image"],
        [
            [
                side.label,
                point.rule,
                f"{point.threshold:g}",
                f"{point.recall:.3f}",
                "n/a" if math.isnan(point.precision) else f"{point.precision:.3f}",
                f"{point.f1:.3f}",
                f"{point.per_image:.3g}",
            ]
            for side in sides
            for point in side.points
        ],
    )
    print_lines(["", comparison.advice])
    worst = [one for one in comparison.differences if one.loss > 0][:SHOWN]
    if worst:
        print_lines(["", f"the swap loses most in (A is {sides[0].label}, B is {sides[1].label}):"])
        heading = ["image", ">faces", ">both", ">only A", ">only B", ">false A", ">false B"]
        print_table(heading, map(_row, worst))
    for note in comparison.notes:
        tell(note, kind="note")


def _row(one: Difference) -> list[str]:
    """Return the cells of an image."""
    return [str(value) for value in dataclasses.astuple(one)]


def _write(comparison: Comparison, folder: Path, worst: int) -> Iterator[Path]:
    """Write the comparison's files; yield their names."""
    document = json.dumps(comparison.to_dict(), indent=1) + "\n"
    atomic.write_text(folder / "compare.json", document)
    yield folder / "compare.json"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Difference)])
    writer.writerows(map(dataclasses.astuple, comparison.differences))
    atomic.write_text(folder / "differences.csv", text.getvalue())
    yield folder / "differences.csv"
    sheet = worst_cases(comparison, count=worst)
    if sheet is not None:
        images.write(folder / "worst.jpg", sheet)
        yield folder / "worst.jpg"
