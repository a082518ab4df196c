"""``facekit tfod``: what the TF Object Detection API trains on, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from facekit.cli.convert import Reader

__all__ = ["app", "spread"]

app = typer.Typer(help="The TF Object Detection API: its data, configurations and exports.")

_MANY: Final = ("--aspect-ratios", "--scales", "--classes")


def spread(arguments: Sequence[str]) -> Iterator[str]:
    """Write ``--classes a b`` as ``--classes a --classes b``, which click understands.

    Args:
        arguments: As typed.
    """
    option, first = "", False
    for argument in arguments:
        if argument.startswith("--"):
            option, first = (argument if argument in _MANY else ""), True
        elif option and not first:
            yield option
        else:
            first = False
        yield argument


class _Spreading(TyperCommand):
    """A command of which some options take several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer has no public name for its context
        """Parse the command line."""
        return super().parse_args(ctx, list(spread(args)))


@app.callback()
def tfod() -> None:
    """The TF Object Detection API: its data, configurations and exports."""


@app.command(cls=_Spreading)
def pipeline(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to be written.")],
    *,
    base: Annotated[
        str,
        typer.Option(
            "--base", metavar="NAME|FILE", help="tutorial, tuned, or one's own pipeline.config."
        ),
    ] = "tutorial",
    train: Annotated[
        str | None,
        typer.Option(
            "--train",
            metavar="FORMAT:PATH",
            help="What to train on; without it, records that are there stay.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Its folder of images.")
    ] = None,
    read: Reader = None,
    val: Annotated[
        str | None,
        typer.Option(
            "--val",
            metavar="FORMAT:PATH",
            help="What the API evaluates on; without it, what is trained on.",
        ),
    ] = None,
    val_images: Annotated[
        Path | None, typer.Option("--val-images", metavar="DIR", help="Its folder of images.")
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            "--input-size", metavar="PX", help="The side of the square that photos become."
        ),
    ] = None,
    aspect_ratios: Annotated[
        list[float] | None,
        typer.Option("--aspect-ratios", metavar="R ...", help="Width by height of the anchors."),
    ] = None,
    scales: Annotated[
        list[float] | None,
        typer.Option(
            "--scales", metavar="S ...", help="Sizes of the anchors, one a map, as fractions."
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--classes", metavar="NAME ...", help="What is to be found; by default face."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Photos of a training step.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", help="Training steps; the schedule follows."),
    ] = None,
    min_height: Annotated[
        float,
        typer.Option(
            "--min-height",
            metavar="PX",
            help="Lower faces, in the photo's pixels, are neither face nor background.",
        ),
    ] = 0.0,
    shards: Annotated[
        int, typer.Option("--shards", metavar="N", help="Files that the records are in.")
    ] = 1,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Any field of the config, such as train_config.max_number_of_boxes=50, or a "
            "message in braces; empty leaves it out; may be repeated.",
        ),
    ] = None,
) -> None:
    """Write TFRecords, label map and pipeline config for 'facekit train tfod:default'.

    Several values of one option follow each other: --aspect-ratios 1.0 2.0
    0.5. A config of TensorFlow 1 is brought to TensorFlow 2, and what was
    changed is said.
    """
    from facekit.cli import tfod_run  # noqa: PLC0415 - OpenCV, Pillow, yaml
    from facekit.tfapi.pipeline import Changes  # noqa: PLC0415

    tfod_run.pipeline(
        out,
        base,
        Changes(
            input_size=input_size,
            aspect_ratios=aspect_ratios,
            scales=scales,
            batch_size=batch_size,
            steps=steps,
            fields=fields or (),
        ),
        classes=classes or ["face"],
        train=train,
        images=images,
        read=read or (),
        val=val,
        val_images=val_images,
        shards=shards,
        min_height=min_height,
    )


@app.command()
def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a run of the recipe tfod.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A .tflite, a .pb (a frozen graph), or a folder (a SavedModel), by its suffix.",
        ),
    ],
    *,
    photos: Annotated[
        str | None,
        typer.Option(
            "--photos",
            metavar="FORMAT:PATH",
            help="With .tflite: 8-bit integers, their ranges measured on these photos.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Their folder of images.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", help="How many of the photos, spread evenly.")
    ] = 100,
    input_size: Annotated[
        int | None,
        typer.Option(
            "--input-size",
            metavar="PX",
            help="Another side of the input than it was trained with; anchors keep their pixels.",
        ),
    ] = None,
) -> None:
    """Export the newest checkpoint of a run of the recipe tfod."""
    from facekit.cli import tfod_run  # noqa: PLC0415 - TensorFlow

    tfod_run.export(run, out, photos=photos, images=images, count=count, input_size=input_size)
