"""``facekit compare``: what swapping one detector for another changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from facekit.cli.convert import Images, Reader, Split
from facekit.cli.evaluate import Dataset, Missing

__all__ = ["Request", "compare"]

_WORDS = "NAME|NAME=WEIGHTS|CONFIG"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed.

    Attributes:
        a: The detector in use.
        b: The detector to be used.
        dataset: ``FORMAT:PATH``.
        split: The part of the dataset.
        images: The folder of images.
        read: Other options of the format.
        missing: What becomes of images that are not at hand.
        threshold: A's threshold in use.
        min_height: Lower faces are ignored.
        batch_size: Images together.
        out: Where everything is written.
        restart: Whether predictions of something else are removed.
        json: Whether to print JSON.
        worst: Images of the contact sheet.
    """

    a: str
    b: str
    dataset: str
    split: str | None
    images: Path | None
    read: tuple[str, ...]
    missing: str
    threshold: float | None
    min_height: float
    batch_size: int
    out: Path | None
    restart: bool
    json: bool
    worst: int


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"The detector in use: {_WORDS}.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The detector to be used.")],
    *,
    dataset: Dataset,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
    missing: Missing = "error",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="T",
            min=0.0,
            max=1.0,
            help="A's score threshold in use. By default its display threshold.",
        ),
    ] = None,
    min_height: Annotated[
        float,
        typer.Option("--min-height", metavar="PX", min=0.0, help="Lower faces count neither way."),
    ] = 0.0,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size", metavar="N", min=1, help="Images that a backend sees together."
        ),
    ] = 4,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write compare.json, differences.csv, worst.jpg and the predictions; a run that "
            "was stopped goes on from there.",
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Remove predictions in DIR that another model, other weights or options made.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    worst: Annotated[
        int,
        typer.Option("--worst", metavar="N", min=1, max=100, help="Images of the contact sheet."),
    ] = 12,
) -> None:
    """Say what swapping detector A for detector B changes on a dataset.

    Chooses the threshold at which B gives as many false positives as A does
    at its own, so that the swap keeps the behaviour; suggests others; and
    shows the images that the swap makes worst.
    """
    request = Request(
        a=a,
        b=b,
        dataset=dataset,
        split=split,
        images=images,
        read=tuple(read or ()),
        missing=missing,
        threshold=threshold,
        min_height=min_height,
        batch_size=batch_size,
        out=out,
        restart=restart,
        json=json,
        worst=worst,
    )
    from facekit.cli.compare_run import run  # noqa: PLC0415 - OpenCV, Pillow, pydantic

    run(request)
