"""Datasets of many files: making their folders, and finding the image of an annotation."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from facekit.errors import OutputError

__all__ = ["IMAGE_SUFFIXES", "image_of", "made"]

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")


def made(folder: Path) -> Path:
    """Make a folder, and those above it, where they are missing; return it.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    return folder


def image_of(name: PurePosixPath, root: Path) -> str | None:
    """Return the name, with its suffix, of the image in ``root`` that has this name without one.

    Args:
        name: Relative, without suffix.
        root: The folder of images.
    """
    for suffix in (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)):
        if (root / f"{name}{suffix}").is_file():
            return f"{name}{suffix}"
    return None
