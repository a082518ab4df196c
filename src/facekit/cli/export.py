"""``facekit export``: weights in another engine's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facekit.cli.convert import Images, Reader, Split

__all__ = ["export"]


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of 'facekit backends'.")],
    weights: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHTS",
            help="A torch checkpoint, an .onnx file, a name of 'facekit weights list', or a "
            "SavedModel's folder (tfod).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The file to be written: .onnx, or .xml with its .bin for OpenVINO."
        ),
    ],
    *,
    photo: Annotated[
        Path | None,
        typer.Option(
            "--photo",
            metavar="FILE",
            help="What to compare the two files on. By default a synthetic picture.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="T",
            min=0.0,
            help="The largest difference of any output that is accepted.",
        ),
    ] = None,
    weights_bits: Annotated[
        int,
        typer.Option(
            "--weights-bits",
            metavar="8|32",
            help="8 stores the weights of an .onnx file in 8 bits, at a quarter of the size; the "
            "arithmetic stays as it is.",
        ),
    ] = 32,
    int8: Annotated[
        str | None,
        typer.Option(
            "--int8",
            metavar="FORMAT:PATH",
            help="Compute in 8 bits, in ranges measured on this dataset's photos; see 'facekit "
            "dataset formats'.",
            show_default=False,
        ),
    ] = None,
    int8_photos: Annotated[
        int,
        typer.Option("--int8-photos", metavar="N", min=2, help="Of so many of them, evenly."),
    ] = 64,
    with_nms: Annotated[
        bool,
        typer.Option(
            "--with-nms",
            help="Put decoding and suppression inside: the file answers with boxes (tiny_ssd).",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The configuration of weights that do not hold their own: Detectron2's YAML of "
            "mask_rcnn.",
        ),
    ] = None,
    images: Images = None,
    split: Split = None,
    read: Reader = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--role", metavar="ROLE", help="Where several roles have a backend of that name."
        ),
    ] = None,
) -> None:
    """Write weights in another format, if they still answer the same.

    The new file is run beside its source before it gets its name; one
    that answers otherwise is not written. --images, --split and --read
    belong to --int8.
    """
    from facekit.cli.network_tools import run_export, scenes  # noqa: PLC0415 - engines

    run_export(
        name,
        weights,
        out,
        photo=photo,
        tolerance=tolerance,
        weights_bits=weights_bits,
        int8=None if int8 is None else scenes(int8, images, split, read or (), int8_photos),
        with_nms=with_nms,
        config=config,
        role=role,
    )
