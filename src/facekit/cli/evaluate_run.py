"""What ``facekit evaluate`` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from facekit.cli.console import print_json, print_lines, print_table
from facekit.cli.console_progress import watched
from facekit.cli.dataset_specs import read_options, source_of
from facekit.cli.evaluate import Request
from facekit.cli.evaluate_cards import check_cards, write_cards
from facekit.cli.exits import report as tell
from facekit.cli.naming import check_folder
from facekit.datasets import ImageRecord
from facekit.datasets.formats import parse
from facekit.errors import ConfigError, MissingDependencyError, UnknownNameError
from facekit.evaluation import (
    evaluate_classifier,
    evaluate_detector,
    evaluate_landmarker,
    evaluate_predictions,
    wider_truth,
)
from facekit.evaluation.candidates import Candidate, candidates
from facekit.evaluation.landmarks import TRUTH
from facekit.evaluation.plots import check as check_plots
from facekit.evaluation.protocols import HEIGHTS
from facekit.evaluation.report import Report
from facekit.evaluation.result import Result
from facekit.evaluation.runner import Watch
from facekit.evaluation.selection import MISSING, is_at_hand
from facekit.evaluation.selection import Missing as MissingWord
from facekit.metrics.landmarks import Normalisation

__all__ = ["heights_of", "missing_of", "protocols_of", "records_of", "run", "watch_of"]


@dataclasses.dataclass(frozen=True)
class Planned:
    """One row of the table.

    Attributes:
        measure: Measures it.
        candidate: The backend; ``None`` for predictions on disk.
    """

    measure: Callable[[Sequence[ImageRecord]], Result]
    candidate: Candidate | None = None


PREDICTIONS: Final = "predictions"


def run(request: Request) -> None:
    """Measure, print and write.

    Args:
        request: What the user asked for.

    Raises:
        FacekitError: If something is wrong with the request, the dataset or a backend.
    """
    planned = _plan(request)
    if request.out is not None:
        check_folder(request.out)
    if request.card is not None:
        check_cards(request.card, [one.candidate for one in planned])
    plots = _plots(request)
    records = records_of(request)
    if request.out is not None:
        request.out.mkdir(exist_ok=True)
    results = [one.measure(records) for one in planned]
    report = Report(request.dataset, tuple(results))
    show(report, json=request.json)
    if request.out is not None:
        files = report.save(request.out, plots=plots)
        if not request.json:
            print_lines([f"wrote {file}" for file in files])
    if request.card is not None:
        rows = zip((one.candidate for one in planned), results, strict=True)
        files = list(write_cards(request.card, request.dataset, rows, records))
        if not request.json:
            print_lines([f"wrote {file}" for file in files])


def _plots(request: Request) -> bool:
    """Decide whether to draw, before hours of work.

    Raises:
        MissingDependencyError: If plots are asked for and matplotlib is not installed.
    """
    if request.out is None or request.plots is False:
        return False
    try:
        check_plots()
    except MissingDependencyError as error:
        if request.plots:
            raise
        tell(f"no curves are drawn: {error}", kind="note")
        return False
    return True


def records_of(request: Any) -> list[ImageRecord]:  # noqa: ANN401 - this or compare's request
    """Read the dataset.

    Args:
        request: With ``dataset``, ``read``, ``images`` and ``split``.

    Raises:
        FacekitError: If it cannot be read.
    """
    options = read_options(
        request.dataset, request.read, images=request.images, split=request.split
    )
    return list(source_of(request.dataset, options)())


def missing_of(word: str) -> MissingWord:
    """Check ``--missing``.

    Raises:
        UnknownNameError: If it is another word.
    """
    for known in MISSING:
        if word == known:
            return known
    kind = "word for --missing"
    raise UnknownNameError(kind, word, MISSING)


def heights_of(text: str) -> tuple[float, ...]:
    """Read ``--heights``.

    Raises:
        ConfigError: If it is not numbers of 0 or more, separated by commas.
    """
    if not text:
        return HEIGHTS
    try:
        heights = tuple(float(word) for word in text.split(","))
    except ValueError:
        heights = (-1.0,)
    if not all(0 <= height < float("inf") for height in heights):
        message = f"--heights {text!r}: write pixels separated by commas, such as 50,30,10"
        raise ConfigError(message)
    return heights


def protocols_of(request: Any) -> tuple[tuple[str, ...], Path | None]:  # noqa: ANN401 - as above
    """Return the protocols, and the folder of WIDER FACE's ground truth.

    Args:
        request: With ``dataset``, ``protocols`` and ``ground_truth``.
    """
    chosen, place = parse(request.dataset)
    folder = request.ground_truth
    if folder is None and chosen.name == "wider_face":
        folder = wider_truth.find(place)
    protocols = tuple(dict.fromkeys(request.protocols))
    if not protocols:
        validation = request.split == "val" or "val" in place.stem.split("_")
        protocols = ("ap50", "wider") if folder is not None and validation else ("ap50",)
    return protocols, folder


def watch_of(label: str, records: Sequence[ImageRecord]) -> Watch:
    """Return what shows how far a run is.

    Args:
        label: The backend.
        records: The dataset.
    """
    total = sum(map(is_at_hand, records))
    return lambda done: watched(done, label, total=total)


def _plan(request: Request) -> list[Planned]:
    """Turn a request into runs, one a row of the table; names are checked before anything runs."""
    named = {
        "--detector": request.detectors,
        "--landmarker": request.landmarkers,
        "--classifier": request.classifiers,
    }
    tasks = [option for option, words in named.items() if words]
    detection = bool(request.detectors or request.predictions)
    if len(tasks) + (detection and not request.detectors) != 1:
        message = (
            "name what is measured: --detector and --predictions, or --landmarker (with --boxes), "
            "or --classifier; one of the three in a run"
        )
        raise ConfigError(message)
    if request.landmarkers:
        return _landmark_runs(request)
    if request.classifiers:
        return _classifier_runs(request)
    return [*_detector_runs(request), *_prediction_runs(request)]


def _common(request: Request, label: str) -> dict[str, Any]:
    """Return what every run of a backend is told."""
    folder = None if request.out is None else request.out / PREDICTIONS / label
    return {
        "folder": folder,
        "restart": request.restart,
        "missing": missing_of(request.missing),
        "batch_size": request.batch_size,
        "label": label,
    }


def _scoring(request: Request) -> dict[str, Any]:
    """Return how detections are scored."""
    protocols, folder = protocols_of(request)
    return {
        "protocols": protocols,
        "heights": heights_of(request.heights),
        "ground_truth": folder,
    }


def _detector_runs(request: Request) -> list[Planned]:
    def measure(one: Candidate, records: Sequence[ImageRecord]) -> Result:
        watch = watch_of(one.label, records)
        return evaluate_detector(
            records, one, watch=watch, **_common(request, one.label), **_scoring(request)
        )

    return [
        Planned(partial(measure, one), one) for one in candidates("detector", request.detectors)
    ]


def _prediction_runs(request: Request) -> list[Planned]:
    def measure(path: Path, records: Sequence[ImageRecord]) -> Result:
        return evaluate_predictions(
            records,
            path,
            missing=missing_of(request.missing),
            ids=request.ids,
            category=request.category,
            inclusive=request.inclusive,
            **_scoring(request),
        )

    return [Planned(partial(measure, path)) for path in request.predictions]


def _landmark_runs(request: Request) -> list[Planned]:
    _normalisation(request.normalise)
    finders = [_finder(word) for word in request.boxes or (TRUTH,)]

    def measure(one: Candidate, finder: Candidate | None, records: Sequence[ImageRecord]) -> Result:
        label = one.label if finder is None else f"{one.label} in {finder.label}'s boxes"
        common = _common(request, one.label if finder is None else f"{one.label}-{finder.label}")
        return evaluate_landmarker(
            records,
            one,
            boxes=TRUTH if finder is None else finder,
            normalise=_normalisation(request.normalise),
            watch=watch_of(label, records),
            **{**common, "label": label},
        )

    chosen = candidates("landmarker", request.landmarkers)
    return [Planned(partial(measure, one, finder), one) for one in chosen for finder in finders]


def _normalisation(word: str) -> Normalisation:
    """Check ``--normalise``."""
    known: tuple[Normalisation, ...] = get_args(Normalisation)
    for one in known:
        if word == one:
            return one
    kind = "length for --normalise"
    raise UnknownNameError(kind, word, known)


def _finder(word: str) -> Candidate | None:
    """Return the detector of a word of ``--boxes``; ``None`` for the truth."""
    return None if word == TRUTH else candidates("detector", [word])[0]


def _classifier_runs(request: Request) -> list[Planned]:
    def measure(one: Candidate, records: Sequence[ImageRecord]) -> Result:
        return evaluate_classifier(
            records,
            one,
            attribute=request.label,
            watch=watch_of(one.label, records),
            **_common(request, one.label),
        )

    chosen = candidates("classifier", request.classifiers)
    return [Planned(partial(measure, one), one) for one in chosen]


def show(report: Report, *, json: bool) -> None:
    """Print a report.

    Args:
        report: The report.
        json: Whether as JSON.
    """
    if json:
        print_json(report.to_dict())
        return
    print_lines([report.subject, ""])
    _print(*report.table())
    for heading, rows in (report.part_table(), report.group_table()):
        if rows:
            print_lines([""])
            _print(heading, rows)
    for note in report.notes:
        tell(note, kind="note")


def _print(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, its numbers to the right."""
    table = list(rows)
    numeric = [all(_is_number(row[i]) for row in table) for i in range(len(heading))]
    heads = [f">{name}" if right else name for name, right in zip(heading, numeric, strict=True)]
    print_table(heads, table)


def _is_number(cell: str) -> bool:
    """Whether a cell is a number or nothing."""
    return cell in {"", "n/a"} or cell.replace(".", "", 1).lstrip("-").isdecimal()
