"""What a user may point at: image files, folders, globs, videos, cameras."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from facekit.errors import FacekitError, ImageError
from facekit.images import ImageLike

__all__ = ["IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "OnError", "Source", "expand"]

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
})
"""What is picked out of folders and globs; a file given by its own name may have any suffix."""

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
    ".mts", ".ogv", ".ts", ".webm", ".wmv",
})
# fmt: on
"""Files with these suffixes are read as videos."""

OnError = Callable[[Path | None, FacekitError], None]
"""Called with the path (``None`` for an image that came as an array) and what was wrong."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """One thing to read: an image, a video or a camera.

    Attributes:
        kind: ``"image"`` gives one frame, ``"video"`` many, ``"camera"`` endlessly many.
        path: The file; ``None`` for a camera and for an image that came as an array.
        camera: The camera's index; ``None`` for anything else.
        image: The image itself where it did not come from a file.
    """

    kind: Literal["image", "video", "camera"]
    path: Path | None = None
    camera: int | None = None
    image: ImageLike | None = None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        if self.camera is not None:
            return f"camera {self.camera}"
        return "<image>" if self.path is None else str(self.path)


def expand(
    sources: str | Path | int | Iterable[str | Path | int], *, on_error: OnError | None = None
) -> list[Source]:
    """Find every image, video and camera that a user named.

    Args:
        sources: One or many of: an image file; a folder (its images and those of its subfolders,
            hidden files left out, sorted by path); a glob pattern (``*``, ``?``, ``[...]``, and
            ``**`` for any depth; images and videos, sorted); a video file; a camera's index as a
            number or digits. What exists under its name is a file or folder, whatever its
            characters.
        on_error: Called with each name that gives nothing, and the rest goes on; without it the
            error is raised.

    Returns:
        The sources in the order given; a file named twice is listed twice.

    Raises:
        ImageError: If a file is missing, a folder has no image, or a pattern has no match.
    """
    names = [sources] if isinstance(sources, str | Path | int) else sources
    found: list[Source] = []
    for name in names:
        try:
            found.extend(_expand_one(name))
        except ImageError as error:
            if on_error is None:
                raise
            on_error(Path(str(name)), error)
    return found


def _expand_one(name: str | Path | int) -> list[Source]:
    """Expand one of the user's words.

    Raises:
        ImageError: If it gives nothing.
    """
    if isinstance(name, int):
        return [Source("camera", camera=name)]
    path = Path(name)
    try:
        if path.is_dir():
            return [_file(file) for file in _images_under(path)]
        if path.exists():
            return [_file(path)]
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise ImageError(message) from error
    text = str(name)
    if text.isascii() and text.isdecimal():
        return [Source("camera", camera=int(text))]
    if glob.has_magic(text):
        return [_file(file) for file in _matches(text)]
    message = f"{path}: no such file"
    raise ImageError(message)


def _file(path: Path) -> Source:
    """Tell a video from an image by the suffix."""
    return Source("video" if path.suffix.lower() in VIDEO_SUFFIXES else "image", path=path)


def _images_under(folder: Path) -> list[Path]:
    """List the images of a folder and its subfolders, sorted.

    Raises:
        ImageError: If there is none, or a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        message = f"{error.filename}: the folder cannot be read: {error.strerror}"
        raise ImageError(message) from error

    found: list[Path] = []
    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    if not found:
        message = f"{folder}: no image in this folder or its subfolders (name videos one by one)"
        raise ImageError(message)
    return sorted(found)


def _matches(pattern: str) -> list[Path]:
    """List the images and videos that a glob pattern matches, sorted.

    Raises:
        ImageError: If there is none.
    """
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    candidates = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns
    found = [path for path in candidates if path.suffix.lower() in known and path.is_file()]
    if not found:
        message = f"{pattern}: no image or video matches this pattern"
        raise ImageError(message)
    return sorted(found)
