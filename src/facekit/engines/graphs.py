"""The check that a graph is the network that an adapter expects, by its inputs and outputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from facekit.errors import WeightsError

__all__ = ["check_names"]


def check_names(
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    found_inputs: Collection[str],
    found_outputs: Collection[str],
) -> None:
    """Check that a graph has exactly the expected inputs, and the expected outputs among its own.

    Args:
        path: The weights file, for the message.
        inputs: The expected inputs' names.
        outputs: The expected outputs' names.
        found_inputs: The graph's inputs' names.
        found_outputs: The graph's outputs' names.

    Raises:
        WeightsError: If the graph is of another network.
    """
    if set(found_inputs) == set(inputs) and set(found_outputs) >= set(outputs):
        return
    reason = (
        f"weights of another network: expected {_list(inputs)} -> {_list(outputs)}, "
        f"the file has {_list(found_inputs)} -> {_list(found_outputs)}"
    )
    raise WeightsError(path, reason)


def _list(names: Collection[str]) -> str:
    """Name the first few."""
    shown = ", ".join(list(names)[:4])
    return f"({shown}{', ...' if len(names) > 4 else ''})"  # noqa: PLR2004 - as many as shown
