"""``facekit calibrate``: from a detector's boxes to the squares that landmarkers crop by."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from facekit.cli.convert import Images, Reader, Split

__all__ = ["Request", "calibrate"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed.

    Attributes:
        detector: The detector.
        dataset: ``FORMAT:PATH`` of the faces to fit on.
        measure: The same, of the faces to measure on.
        landmarker: The landmarker to measure with.
        output: The configuration to be written.
        split: The part of the datasets.
        images: Their folder of images.
        read: Other options of their formats.
    """

    detector: str
    dataset: str
    measure: str | None = None
    landmarker: str = "resnet18"
    output: Path | None = None
    split: str | None = None
    images: Path | None = None
    read: tuple[str, ...] = ()


def calibrate(
    detector: Annotated[
        str,
        typer.Argument(
            metavar="NAME|NAME=WEIGHTS|CONFIG",
            help="A detector of 'facekit backends', with weights of your own, or the one of a run "
            "configuration.",
        ),
    ],
    *,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="FORMAT:PATH",
            help="Faces with landmarks to fit on, such as ibug300w:FILE; see 'facekit dataset "
            "formats'.",
            show_default=False,
        ),
    ],
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure",
            metavar="FORMAT:PATH",
            help="Other faces to measure on, read with the same options. By default those of "
            "--dataset.",
        ),
    ] = None,
    landmarker: Annotated[
        str,
        typer.Option(
            "--landmarker",
            metavar="NAME|NAME=WEIGHTS|CONFIG",
            help="The landmarker to measure with, in the same words.",
        ),
    ] = "resnet18",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a run configuration, .yaml or .json, with the detector and its transform.",
        ),
    ] = None,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
) -> None:
    """Fit a detector's box_transform on annotated faces.

    Landmarkers crop by a square around the points; each detector has its
    own idea of where a face ends. Printed are the landmarks' errors with
    the annotated squares, with the boxes as they are, and with the
    transforms before and after.
    """
    from facekit.cli.calibrate_run import run  # noqa: PLC0415 - engines

    run(
        Request(
            detector=detector,
            dataset=dataset,
            measure=measure,
            landmarker=landmarker,
            output=output,
            split=split,
            images=images,
            read=tuple(read or ()),
        )
    )
