"""``facekit train``: a recipe's network from data to weights."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["train"]


def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG|RECIPE:PRESET|RUN",
            help="A .yaml, .toml or .json file; a shipped preset, e.g. landmarks:default; or the "
            "folder of a run, to go on with it.",
        ),
    ],
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one key, e.g. --set optimizer.lr=0.001; may be repeated.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="DIR", help="The run's folder.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in that folder; begin one if there is none."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in that folder.")
    ] = False,
) -> None:
    """Train a network; killed or stopped by Ctrl-C, go on with --resume."""
    from facekit.cli.train_run import run  # noqa: PLC0415 - pydantic, and later torch

    changes = [*(settings or []), *([f"out={out}"] if out is not None else [])]
    raise typer.Exit(run(config, changes, resume=resume, overwrite=overwrite))
