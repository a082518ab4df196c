"""``facekit backends``: what is installed, what is missing and the line that installs it."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["backends"]


def backends(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List every backend: installed, missing (with the exact line that installs it) or broken.

    A backend that needs packages beside the core's, and every plug-in, is
    really imported: that is the only proof that it works here.
    """
    from facekit.cli import backends_listing as listing  # noqa: PLC0415 - rich, registry

    states = listing.examine_all()
    if json:
        listing.print_as_json(states)
    else:
        listing.print_as_table(states)
