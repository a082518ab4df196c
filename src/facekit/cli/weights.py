"""``facekit weights list|fetch|verify``: the weights that facekit knows by name."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="The weights that facekit knows by name: list, fetch, verify.")

_Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Names of 'facekit weights list'.")
]


@app.command("list")
def list_(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List known weights: backend, size, licence, where they lie and where they come from."""
    from facekit.cli import weights_listing as listing  # noqa: PLC0415 - rich, pydantic

    if json:
        listing.print_as_json()
    else:
        listing.print_as_table()


@app.command()
def fetch(names: _Names) -> None:
    """Download weights into the cache (FACEKIT_CACHE), check them and print where they lie.

    The licence is shown before each download. FACEKIT_OFFLINE=1 forbids
    downloads.
    """
    from facekit.cli import weights_listing as listing  # noqa: PLC0415 - rich, pydantic

    raise typer.Exit(listing.fetch(names))


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Names of 'facekit weights list'; by default all of them."
        ),
    ] = None,
) -> None:
    """Check the hashes of weights; downloads nothing.

    Weights that are not downloaded yet are a failure only when they are named.
    """
    from facekit.cli import weights_listing as listing  # noqa: PLC0415 - rich, pydantic

    raise typer.Exit(listing.verify(names or []))
