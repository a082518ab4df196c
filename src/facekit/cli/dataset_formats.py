"""What ``facekit dataset formats`` prints."""

from __future__ import annotations

from typing import Any

from facekit.cli.console import print_json, print_table
from facekit.datasets.formats import Format, Holds, formats
from facekit.errors import FacekitError

__all__ = ["run"]


def run(*, json: bool) -> None:
    """Print every format.

    Args:
        json: Whether to print JSON.
    """
    rows = [_examined(one) for one in sorted(formats(), key=lambda one: one.name)]
    if json:
        print_json(rows)
        return
    print_table(
        ["name", "reads", "writes", "holds beside boxes", "what"],
        [
            [
                row["name"],
                "yes" if row["reads"] else "",
                "yes" if row["writes"] else "",
                (row["error"], "red") if row["error"] else ", ".join(row["holds"]),
                row["summary"],
            ]
            for row in rows
        ],
    )


def _examined(chosen: Format) -> dict[str, Any]:
    """Import a format's module, and say what it can do."""
    row: dict[str, Any] = {
        "name": chosen.name,
        "summary": chosen.summary,
        "owner": chosen.owner,
        "reads": False,
        "writes": False,
        "holds": [],
        "error": "",
    }
    try:
        module = chosen.load()
    except FacekitError as error:
        return row | {"error": str(error)}
    holds: Holds = getattr(module, "HOLDS", Holds())
    return row | {
        "reads": hasattr(module, "read"),
        "writes": hasattr(module, "write"),
        "holds": _held(holds),
    }


def _held(holds: Holds) -> list[str]:
    """Say what a format holds beside names and boxes."""
    words = sorted(holds.fields - {"scheme"})
    if holds.face_attributes is None:
        words.append("any attribute")
    elif holds.face_attributes:
        count = len(holds.face_attributes)
        words.append("1 attribute" if count == 1 else f"{count} attributes")
    return words
