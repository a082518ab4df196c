"""Pictures decoded once, shrunk, in one file that all workers map into memory.

Decoding a photo takes longer than everything else that happens to a training crop. The file is
made once by several threads, kept in the user's cache folder under a name made from the photos'
paths, sizes and dates, and mapped read-only: the system keeps one copy in memory, however many
workers and processes read it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facekit import images
from facekit.atomic import atomic_path
from facekit.errors import ImageError, OutputError
from facekit.images import RgbImage
from facekit.training.config import cores

__all__ = ["CACHE_VARIABLE", "Picture", "PictureCache"]

log = logging.getLogger("facekit.training")

CACHE_VARIABLE = "FACEKIT_PICTURES"
"""Environment variable that names another folder for the files; they may be deleted any time."""

_AHEAD = 4
"""Pictures decoded ahead, per thread: what waits in memory to be written."""
_VERSION = 1


class Picture(NamedTuple):
    """One picture of the cache.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, read-only: a view of the file.
        scale: Width and height of the cached picture over those of the photo.
    """

    pixels: RgbImage
    scale: tuple[float, float]


class PictureCache:
    """Photos by path, decoded and shrunk; as cheap to send to a worker as its file's name."""

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        max_side: int | None = None,
        folder: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> None:
        """Map the file of some photos, or make it first.

        Args:
            paths: The photos; the same one may come several times.
            max_side: Shrink what is longer to this, pixels; ``None`` keeps every size.
            folder: Where the file lies; by default what ``FACEKIT_PICTURES`` names, or a folder
                of the user's cache.
            threads: Decode on so many; by default one a core.

        Raises:
            ImageError: If a photo cannot be read.
            OutputError: If the file cannot be written.
        """
        unique = list(dict.fromkeys(str(path) for path in paths))
        self._file = _folder(folder) / f"{_name(unique, max_side)}.rgb"
        if not self._file.is_file():
            _make(self._file, unique, max_side, threads or cores())
        self._places = {path: row for row, path in enumerate(unique)}
        self._open()

    def __len__(self) -> int:
        """Return how many different photos there are."""
        return len(self._places)

    def __getitem__(self, path: str | os.PathLike[str]) -> Picture:
        """Return a photo by its path, as given.

        Raises:
            KeyError: If the cache was made without it.
        """
        start, height, width, full_height, full_width = self._index[self._places[str(path)]]
        pixels = self._bytes[start : start + height * width * 3].reshape(height, width, 3)
        return Picture(pixels, (width / full_width, height / full_height))

    def size(self, path: str | os.PathLike[str]) -> tuple[int, int]:
        """Return height and width of the photo itself, pixels.

        Args:
            path: As given.
        """
        _, _, _, height, width = self._index[self._places[str(path)]]
        return int(height), int(width)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker as a name: a mapped array would be copied whole."""
        return {"_file": self._file, "_places": self._places}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again."""
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        """Map the file: all pixels, then the index, then the index's length."""
        with self._file.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(8), "little")
            file.seek(-8 - length, os.SEEK_END)
            index: list[list[int]] = json.loads(file.read(length))
        self._index = index
        mapped = np.memmap(self._file, np.uint8, mode="r")
        # A plain view: memmap's own slicing takes longer than reading a small crop.
        self._bytes: npt.NDArray[np.uint8] = mapped.view(np.ndarray)


def _folder(folder: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the files, made if need be.

    Raises:
        OutputError: If it cannot be made.
    """
    import pooch  # noqa: PLC0415 - it knows the user's cache folder, and takes its time

    chosen = folder or os.environ.get(CACHE_VARIABLE) or Path(pooch.os_cache("facekit"), "pictures")
    path = Path(chosen)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path}: cannot hold decoded pictures: {error.strerror or error}"
        raise OutputError(message) from error
    return path


def _name(paths: list[str], max_side: int | None) -> str:
    """Return a name that changes with anything that the file depends on.

    Raises:
        ImageError: If a photo is missing.
    """
    found = hashlib.sha256(f"{_VERSION} {max_side}".encode())
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError as error:
            message = f"{path}: cannot be read: {error.strerror or error}"
            raise ImageError(message) from error
        absolute = os.fsencode(Path(path).absolute())
        found.update(b"%b %d %d\n" % (absolute, status.st_size, status.st_mtime_ns))
    return found.hexdigest()[:24]


def _make(file: Path, paths: list[str], max_side: int | None, threads: int) -> None:
    """Decode all photos into the file."""
    log.info("decoding %d pictures into %s", len(paths), file)
    with atomic_path(file) as temporary, temporary.open("wb") as out:
        index = list(_written(out, paths, max_side, threads))
        text = json.dumps(index).encode()
        out.write(text)
        out.write(len(text).to_bytes(8, "little"))


def _written(
    out: IO[bytes], paths: list[str], max_side: int | None, threads: int
) -> Iterator[tuple[int, ...]]:
    """Write the pixels; yield start, height and width, and the photo's own height and width."""
    start = 0
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(paths), threads * _AHEAD):
            some = paths[first : first + threads * _AHEAD]
            for pixels, size in pool.map(lambda path: _shrunk(path, max_side), some):
                out.write(pixels.data)
                yield start, *pixels.shape[:2], *size
                start += pixels.size


def _shrunk(path: str, max_side: int | None) -> tuple[RgbImage, tuple[int, int]]:
    """Decode one photo; return its pixels, shrunk, and its own height and width."""
    pixels = images.read(path)
    height, width = pixels.shape[:2]
    scale = min(1.0, (max_side or np.inf) / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(pixels), (height, width)
