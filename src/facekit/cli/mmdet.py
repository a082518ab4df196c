"""``facekit mmdet migrate``: configs of MMDetection 1.x for 3.x."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="MMDetection's own files: rewrite old configs.")


@app.callback()
def mmdet() -> None:
    """MMDetection's own files: rewrite old configs."""


@app.command()
def migrate(
    old: Annotated[
        Path, typer.Argument(metavar="OLD.py", help="The tiny SSD's config of MMDetection 1.x.")
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW.py", help="The config for 3.x to be written.")
    ],
) -> None:
    """Rewrite the tiny SSD's config of MMDetection 1.x for 3.x.

    The old file is read, not run. The new one loads the old checkpoints,
    detects and trains as MMDetection 1.x did; what has no place in it is
    named.
    """
    from facekit.mmlab.migrate import migrate as write  # noqa: PLC0415 - seldom

    migrated = write(old, new)
    print(f"{new}: for MMDetection 3.x")
    if migrated.left_out:
        print(f"have no place in it: {', '.join(migrated.left_out)}")
