"""``facekit summary``: the layers of a network and what they cost."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["summary"]


def summary(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of 'facekit backends'.")],
    *,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE|NAME",
            help="An .onnx file, a torch checkpoint (needs torch), or a name of 'facekit weights "
            "list'; of tfod a graph of TensorFlow's. By default the backend's own.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE|NAME",
            help="Of mmdet: the model's config, or the name of one that mmdet ships; it needs no "
            "weights.",
        ),
    ] = None,
    photo: Annotated[
        str,
        typer.Option(
            "--photo",
            metavar="WxH",
            help="Of mmdet: the size of the photo that the config's own test pipeline prepares.",
        ),
    ] = "640x480",
    role: Annotated[
        str | None,
        typer.Option(
            "--role", metavar="ROLE", help="Where several roles have a backend of that name."
        ),
    ] = None,
) -> None:
    """Show the layers, parameters and multiply-adds of a backend's network."""
    from facekit.cli.network_tools import show_summary  # noqa: PLC0415 - ONNX Runtime, rich

    show_summary(name, weights, role, config=config, photo=photo)
