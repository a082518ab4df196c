"""``facekit evaluate``: how good backends, or predictions on disk, are on a dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from facekit.cli.convert import Images, Reader, Split

__all__ = ["Dataset", "Missing", "Request", "evaluate"]

_WHAT, _DATA, _HOW, _OUTPUT = "What is measured", "Dataset", "How", "Output"

Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        metavar="FORMAT:PATH",
        help="See 'facekit dataset formats'; such as wider_face:DIR with --split val.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
Missing = Annotated[
    str,
    typer.Option(
        "--missing",
        metavar="error|skip|empty",
        help="Images that are not at hand, or have no predictions: an error, left out (the "
        "report then says that it is of a subset), or nothing was found in them.",
        rich_help_panel=_DATA,
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed.

    Attributes:
        dataset: ``FORMAT:PATH``.
        detectors: Detectors to measure.
        landmarkers: Landmarkers to measure.
        classifiers: Classifiers to measure.
        predictions: Predictions on disk to measure.
        split: The part of the dataset.
        images: The folder of images.
        read: Other options of the format.
        missing: What becomes of images that are not at hand.
        protocols: How detections are scored; none stands for what fits the dataset.
        heights: Least heights of faces.
        ground_truth: The folder of WIDER FACE's ``.mat`` files.
        boxes: What landmarkers crop by.
        normalise: What landmarks' errors are divided by.
        label: The attribute with the true label.
        ids: What numbers the images of COCO results.
        category: The class to keep of predictions.
        inclusive: Whether boxes of a pickle count pixels inclusively.
        batch_size: Images together.
        out: Where everything is written.
        restart: Whether predictions of something else are removed.
        json: Whether to print JSON.
        plots: Whether to draw curves; ``None`` for where that is possible.
        card: Where model cards are written.
    """

    dataset: str
    detectors: tuple[str, ...] = ()
    landmarkers: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    predictions: tuple[Path, ...] = ()
    split: str | None = None
    images: Path | None = None
    read: tuple[str, ...] = ()
    missing: str = "error"
    protocols: tuple[str, ...] = ()
    heights: str = ""
    ground_truth: Path | None = None
    boxes: tuple[str, ...] = ()
    normalise: str = "interocular"
    label: str | None = None
    ids: Path | None = None
    category: int | None = None
    inclusive: bool = False
    batch_size: int = 4
    out: Path | None = None
    restart: bool = False
    json: bool = False
    plots: bool | None = None
    card: Path | None = None


def evaluate(
    *,
    dataset: Dataset,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            "--detector",
            metavar="NAME|NAME=WEIGHTS|CONFIG",
            help="A detector of 'facekit backends', with weights of your own, or the one of a "
            "run configuration; may be repeated, for one table. It runs at its evaluation "
            "threshold, whatever threshold it has for display.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    landmarker: Annotated[
        list[str] | None,
        typer.Option(
            "--landmarker",
            metavar="NAME|...",
            help="A landmarker, in the same words; may be repeated.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            metavar="NAME|...",
            help="A classifier, in the same words; may be repeated.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions",
            metavar="DIR|FILE",
            help="Detections on disk: a folder of WIDER FACE's texts, COCO's results .json, or "
            "MMDetection's result .pkl; may be repeated.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
    missing: Missing = "error",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="ap50|wider|coco",
            help="How detections are scored; may be repeated. By default ap50, and wider where "
            "the dataset is WIDER FACE and its ground truth is beside it.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    heights: Annotated[
        str,
        typer.Option(
            "--heights",
            metavar="PX,PX,...",
            help="For ap50: least heights of faces in the image as stored.",
            rich_help_panel=_HOW,
        ),
    ] = "50,30,10",
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth",
            metavar="DIR",
            help="For wider: the folder of wider_face_val.mat and the three files like it.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    boxes: Annotated[
        list[str] | None,
        typer.Option(
            "--boxes",
            metavar="truth|DETECTOR",
            help="What landmarkers crop by: the annotated faces, or those that a detector finds; "
            "may be repeated. By default truth.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            metavar="interocular|interpupil|box_diagonal",
            help="What landmarks' errors are divided by.",
            rich_help_panel=_HOW,
        ),
    ] = "interocular",
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="ATTRIBUTE",
            help="For classifiers: the attribute with the true label. By default the faces' own "
            "label, or the only attribute that there is.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(
            "--ids",
            metavar="FILE",
            help="For COCO results: the annotation JSON that numbers the images.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    category: Annotated[
        int | None,
        typer.Option(
            "--category",
            metavar="N",
            help="For predictions of several classes: the COCO category_id, or MMDetection's "
            "class from 0.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    inclusive: Annotated[
        bool,
        typer.Option(
            "--inclusive",
            help="For a .pkl of MMDetection 1.x, whose boxes count pixels inclusively.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Images that a backend sees together.",
            rich_help_panel=_HOW,
        ),
    ] = 4,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write report.json, report.md, curves.png and the predictions; a run that was "
            "stopped goes on from the predictions in DIR.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Remove predictions in DIR that another model, other weights or options made.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    plots: Annotated[
        bool | None,
        typer.Option(
            "--plots/--no-plots",
            help="Draw curves into DIR. By default where matplotlib is installed.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            metavar="FILE.md|DIR",
            help="Write the model card of one backend, or of each into a folder: its numbers, "
            "parameters, time and memory. Of a card that exists the prose is kept.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
) -> None:
    """Measure detectors, landmarkers or classifiers on an annotated dataset.

    One table compares all that are named. Detections can be scored again
    from disk, whoever made them. The scale at which a detector sees images
    is always told: its numbers mean nothing without.
    """
    request = Request(
        dataset=dataset,
        detectors=tuple(detector or ()),
        landmarkers=tuple(landmarker or ()),
        classifiers=tuple(classifier or ()),
        predictions=tuple(predictions or ()),
        split=split,
        images=images,
        read=tuple(read or ()),
        missing=missing,
        protocols=tuple(protocol or ()),
        heights=heights,
        ground_truth=ground_truth,
        boxes=tuple(boxes or ()),
        normalise=normalise,
        label=label,
        ids=ids,
        category=category,
        inclusive=inclusive,
        batch_size=batch_size,
        out=out,
        restart=restart,
        json=json,
        plots=plots,
        card=card,
    )
    from facekit.cli.evaluate_run import run  # noqa: PLC0415 - OpenCV, Pillow, pydantic

    run(request)
