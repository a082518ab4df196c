"""``facekit detectron2 release``: trained weights for Detectron2 itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Detectron2's own files: write its checkpoints.")


@app.callback()
def detectron2() -> None:
    """Detectron2's own files: write its checkpoints."""


@app.command()
def release(
    weights: Annotated[
        Path,
        typer.Argument(metavar="WEIGHTS", help="A checkpoint that 'facekit train' made."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.pth", help="The file to be written.")],
) -> None:
    """Write what the recipe mask_rcnn trained for Detectron2 itself.

    Beside OUT.pth comes OUT.yaml, the configuration that builds the
    network; its MODEL.WEIGHTS names the checkpoint.
    """
    from facekit.training.recipes import needs_train_extra  # noqa: PLC0415 - seldom

    try:
        from facekit.training.mask_rcnn.release import release as write  # noqa: PLC0415 - torch
    except ModuleNotFoundError as error:
        if missing := needs_train_extra(error):
            raise missing from error
        raise
    checkpoint, config = write(weights, out)
    print(f"{checkpoint}, {config}: for Detectron2")
