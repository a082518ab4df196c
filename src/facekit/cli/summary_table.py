"""How a network's summary is printed."""

from __future__ import annotations

from facekit.cli.console import print_lines, print_table
from facekit.errors import UnknownNameError
from facekit.registry import ROLES
from facekit.summary import summary

__all__ = ["show"]


def show(name: str, weights: str | None, role: str | None) -> None:
    """Print the layers of a backend's network and their totals.

    Args:
        name: The backend.
        weights: Its weights, by default its own.
        role: Its role, where the name alone does not tell.

    Raises:
        FacekitError: If there is no such network, or its weights cannot be read.
    """
    if role is not None and role not in ROLES:
        kind = "role"
        raise UnknownNameError(kind, role, ROLES)
    network = summary(name, weights, role=role)
    headers, *rows = network.rows()
    layer, kind, shape, *numbers = headers
    print_table([layer, kind, shape, *(f">{number}" for number in numbers)], rows)
    print_lines(["", network.totals, f"{network.name}: {network.source}"])
