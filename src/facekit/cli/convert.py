"""``facekit convert``: a dataset in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Images", "Reader", "Split", "convert"]

Images = Annotated[
    Path | None,
    typer.Option(
        "--images", metavar="DIR", help="The folder of images, where the format does not say it."
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="Read this part of a dataset that is published in parts, such as train or val.",
    ),
]
Reader = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        metavar="KEY=VALUE",
        help="Any other option of the format that is read; may be repeated.",
    ),
]


def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="FORMAT:PATH; see 'facekit dataset formats'."),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="FORMAT:PATH, replaced whole at the end.")
    ],
    *,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            "--write",
            metavar="KEY=VALUE",
            help="Any option of the format that is written; may be repeated.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write a dataset in another format, and say what that format cannot hold.

    Repairs of the reader are counted on standard error; 'facekit dataset
    check' names each. Where the target needs image sizes, they are read
    from the images' headers.
    """
    from facekit.cli import convert_run  # noqa: PLC0415 - OpenCV, Pillow, yaml

    convert_run.run(
        source, target, split=split, images=images, read=read or (), write=write or (), json=json
    )
