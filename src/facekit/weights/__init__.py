"""Weights files: bundled, local and downloaded; located and verified before they are read.

The functions here answer from the catalogue in the package; :class:`Catalogue` reads any other.
Nothing in this package opens a checkpoint: the engines do, and only with ``weights_only``.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from facekit.weights.catalogue import CACHE_VARIABLE, Catalogue
from facekit.weights.entry import Announce, Status, WeightsEntry, sha256

__all__ = [
    "CACHE_VARIABLE",
    "Announce",
    "Catalogue",
    "Status",
    "WeightsEntry",
    "entries",
    "fetch",
    "resolve",
    "sha256",
    "verify",
]

BUNDLED = Path(__file__).parents[1] / "bundled"
"""The folder of the shipped weights, their catalogue, their model cards and their licence."""


@functools.cache
def _bundled_catalogue() -> Catalogue:
    return Catalogue.load(BUNDLED / "weights.toml")


def entries() -> dict[str, WeightsEntry]:
    """Return all known weights by name, in the catalogue's order."""
    return dict(_bundled_catalogue().entries)


def resolve(
    weights: str | os.PathLike[str] | None, *, default: str, sha256: str | None = None
) -> Path:
    """Turn what a user wrote as ``weights=`` into a checked file.

    Args:
        weights: A file, or a name of ``facekit weights list``, or ``None``.
        default: The name that ``None`` stands for.
        sha256: The hash that the file must have.

    Returns:
        An existing file; known weights are downloaded if need be, and always checked.

    Raises:
        WeightsError: If there is no such file or name, or its hash is wrong, or a download fails
            or is forbidden by ``FACEKIT_OFFLINE=1``.
        OutputError: If it is to be downloaded and the cache folder cannot be written.
    """
    return _bundled_catalogue().resolve(weights, default=default, sha256=sha256)


def fetch(name: str, progress: bool = True, *, announce: Announce | None = None) -> Path:  # noqa: FBT001, FBT002 - a public shorthand
    """Return the checked file of known weights, downloading it if need be.

    Args:
        name: A name of ``facekit weights list``.
        progress: Whether to show a progress bar on standard error.
        announce: Called with the entry before a download, to show its licence; by default the
            licence is logged.

    Raises:
        UnknownNameError: If the name is unknown.
        WeightsError: If a shipped file is missing or damaged, or a download fails or is forbidden.
        OutputError: If the cache folder cannot be written.
    """
    return _bundled_catalogue().fetch(name, progress=progress, announce=announce)


def verify(name: str) -> Status:
    """Say whether known weights are there and have the right hash; downloads nothing.

    Args:
        name: A name of ``facekit weights list``.

    Raises:
        UnknownNameError: If the name is unknown.
    """
    return _bundled_catalogue().verify(name)
