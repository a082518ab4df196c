"""What ``facekit summary`` and ``facekit export`` do and print."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facekit.cli.console import print_lines, print_table
from facekit.errors import ConfigError, UnknownNameError
from facekit.export import export
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
    weights_bits: int,
    role: str | None,
) -> None:
    """Export weights and print how far apart the two files' answers are.

    Args:
        name: The backend.
        weights: Its weights.
        out: The file to be written.
        photo: What to compare on.
        tolerance: The largest difference that is accepted.
        weights_bits: 8 or 32.
        role: Its role, where the name alone does not tell.

    Raises:
        FacekitError: If the weights cannot be read, exported or written.
    """
    report = export(
        name,
        weights,
        out,
        role=_role(role),
        photo=photo,
        tolerance=tolerance,
        weights_bits=_bits(weights_bits),
    )
    print_lines([f"wrote {out}: {report}"])


def _bits(number: int) -> Literal[8, 32]:
    """Check the bits of a weight.

    Raises:
        ConfigError: If there is no such choice.
    """
    if number == 8:  # noqa: PLR2004 - a choice
        return 8
    if number == 32:  # noqa: PLR2004 - a choice
        return 32
    raise ConfigError(f"--weights-bits {number}: 8 or 32")


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
