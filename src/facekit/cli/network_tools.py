"""What ``facekit summary`` and ``facekit export`` do and print."""

from __future__ import annotations

from pathlib import Path

from facekit.cli.console import print_lines, print_table
from facekit.errors import UnknownNameError
from facekit.export import DEFAULT_TOLERANCE, export
from facekit.registry import ROLES, Role
from facekit.summary import summary

__all__ = ["run_export", "show_summary"]


def show_summary(name: str, weights: str | None, role: str | None) -> None:
    """Print the layers of a backend's network and their totals.

    Args:
        name: The backend.
        weights: Its weights, by default its own.
        role: Its role, where the name alone does not tell.

    Raises:
        FacekitError: If there is no such network, or its weights cannot be read.
    """
    network = summary(name, weights, role=_role(role))
    headers, *rows = network.rows()
    layer, kind, shape, *numbers = headers
    print_table([layer, kind, shape, *(f">{number}" for number in numbers)], rows)
    print_lines(["", network.totals, f"{network.name}: {network.source}"])


def run_export(
    name: str,
    weights: str,
    out: Path,
    *,
    photo: Path | None,
    tolerance: float | None,
    role: str | None,
) -> None:
    """Export weights and print how far apart the two files' answers are.

    Args:
        name: The backend.
        weights: Its weights.
        out: The file to be written.
        photo: What to compare on.
        tolerance: The largest difference that is accepted.
        role: Its role, where the name alone does not tell.

    Raises:
        FacekitError: If the weights cannot be read, exported or written.
    """
    accepted = DEFAULT_TOLERANCE if tolerance is None else tolerance
    report = export(name, weights, out, role=_role(role), photo=photo, tolerance=accepted)
    print_lines([f"wrote {out}: {report}"])


def _role(name: str | None) -> Role | None:
    """Check a role's name.

    Raises:
        UnknownNameError: If there is no such role.
    """
    for role in ROLES:
        if name == role:
            return role
    if name is not None:
        kind = "role"
        raise UnknownNameError(kind, name, ROLES)
    return None
