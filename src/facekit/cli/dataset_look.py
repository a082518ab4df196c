"""What ``facekit dataset stats`` and ``preview`` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from facekit import atomic, images
from facekit.cli.console import print_json, print_lines, print_table
from facekit.cli.dataset_specs import source
from facekit.cli.exits import OK, PARTLY_FAILED, report
from facekit.datasets import ImageRecord
from facekit.datasets.preview import preview as draw_preview
from facekit.datasets.stats import Stats, collect
from facekit.datasets.stats_picture import picture

__all__ = ["preview", "source", "stats"]

Start = Callable[[], Iterable[ImageRecord]]


def _check_picture(path: Path) -> None:
    """Check at the door that a picture can be written.

    Raises:
        OutputError: If its folder does not exist, or no encoder has its suffix.
    """
    atomic.check_writable(path)
    images.encode(np.zeros((1, 1, 3), np.uint8), path.suffix)


def stats(start: Start, *, title: str, output: Path | None, json: bool) -> None:
    """Count a dataset, and print and draw the numbers.

    Args:
        start: Starts to read it.
        title: Its name.
        output: The picture, if one is wanted.
        json: Whether to print JSON.
    """
    if output is not None:
        _check_picture(output)
    numbers = collect(start())
    if output is not None:
        images.write(output, picture(numbers, title))
    if json:
        print_json(numbers.to_dict())
        return
    _print(numbers)
    if output is not None:
        print_lines(["", str(output)])


def _print(numbers: Stats) -> None:
    """Print the numbers as tables."""
    rows = [
        ["images", f"{numbers.images:,}"],
        ["without faces", f"{numbers.empty_images:,}"],
        ["faces", f"{numbers.faces:,}"],
        ["ignored", f"{numbers.ignored:,}"],
        ["boxes without area", f"{numbers.empty_boxes:,}"],
        ["faces an image", f"{numbers.mean_faces:.2f}, at most {numbers.most_faces:,}"],
    ]
    if numbers.heights:
        rows.append(["heights", f"{numbers.shortest:g} to {numbers.tallest:g} px"])
    print_table(["", ">count"], rows)
    heights = [(f"{low:,.1f} to {high:,.1f}", n) for low, high, n in numbers.height_bins()]
    _block("height, px", heights)
    _block("faces an image", numbers.crowd_bins())
    _block("label", numbers.labels.most_common())
    _block("landmarks", numbers.schemes.most_common())
    for name, values in numbers.attributes.items():
        _block(name, values.most_common())
    _block("repair", numbers.repairs.most_common())


def _block(name: str, rows: Iterable[tuple[str, int]]) -> None:
    """Print a table of counts, with a bar for each."""
    counted = list(rows)
    if not counted:
        return
    most = max(count for _, count in counted)
    print_lines([""])
    print_table(
        [name, ">count", ""],
        [[words, f"{count:,}", "▇" * round(30 * count / max(most, 1))] for words, count in counted],
    )


def preview(start: Start, output: Path, *, count: int, columns: int, cell: int, seed: int) -> int:
    """Draw a sample of a dataset.

    Args:
        start: Starts to read it.
        output: The picture.
        count: How many images.
        columns: Images in a row.
        cell: A cell's side, pixels.
        seed: Of the sample.

    Returns:
        The exit code.
    """
    _check_picture(output)
    sheet = draw_preview(start(), count=count, columns=columns, cell=cell, seed=seed)
    images.write(output, sheet.picture)
    for message in sheet.failed:
        report(message)
    if sheet.absent:
        report(f"{sheet.absent} images are not at hand", kind="note")
    print_lines([f"{output}: {len(sheet.names)} images"])
    return PARTLY_FAILED if sheet.failed else OK
