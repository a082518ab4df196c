"""The ``facekit`` command: its subcommands and what is common to them."""

from __future__ import annotations

from typing import Annotated

import typer

from facekit import __version__
from facekit.cli import (
    backends,
    calibrate,
    compare,
    convert,
    dataset,
    detect,
    detectron2,
    evaluate,
    export,
    mmdet,
    summary,
    tfod,
    train,
    weights,
)
from facekit.cli.exits import FAILED, GuardedGroup

__all__ = ["app"]

app = typer.Typer(
    name="facekit",
    cls=GuardedGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("detect")(detect.detect)
app.command("backends")(backends.backends)
app.add_typer(weights.app, name="weights")
app.command("summary")(summary.summary)
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("calibrate")(calibrate.calibrate)
app.command("convert")(convert.convert)
app.command("train")(train.train)
app.add_typer(dataset.app, name="dataset")
app.add_typer(detectron2.app, name="detectron2")
app.add_typer(mmdet.app, name="mmdet")
app.add_typer(tfod.app, name="tfod")


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    """Print the version and stop."""
    if value:
        print(f"facekit {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def facekit(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - the callback acts on it
        bool,
        typer.Option(
            "--version", help="Print the version and stop.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Find faces and their landmarks; one interface over many face models.

    Exit codes: 0 all went well, 1 some inputs failed, 2 wrong usage or
    nothing could be done, 130 stopped by Ctrl-C. FACEKIT_DEBUG=1 shows
    the traceback of an error.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(FAILED)
