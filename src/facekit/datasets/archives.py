"""Archives unpacked from hands that nobody vouches for: nothing leaves the folder.

Members with absolute paths, ``..``, links, devices or names that a file cannot have are refused,
and so is an archive that unpacks to more than a stated size or number of files. Everything is
unpacked beside the target and moved there at the end.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from facekit.datasets.folders import made
from facekit.datasets.records import safe_name
from facekit.errors import DatasetError, OutputError

__all__ = ["Bounds", "unpack"]

_CHUNK: Final = 1 << 20
_DAMAGED: Final = (
    OSError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


class Bounds(NamedTuple):
    """How large an archive may become.

    Attributes:
        size: All files together, bytes.
        files: How many.
    """

    size: int = 50_000_000_000
    files: int = 1_000_000


class _Member(NamedTuple):
    """A file of an archive."""

    name: str
    opened: contextlib.AbstractContextManager[IO[bytes]]


def unpack(
    archive: str | os.PathLike[str], folder: str | os.PathLike[str], bounds: Bounds | None = None
) -> list[str]:
    """Unpack a ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz``.

    Args:
        archive: The file; its content tells what it is.
        folder: Where its files go; what the archive has at its top must not be there yet.
        bounds: How large it may become.

    Returns:
        The names that it has at its top, sorted.

    Raises:
        DatasetError: If it is damaged, none of these, too large, or would leave the folder.
        OutputError: If a file cannot be written or is there already.
    """
    source, target = Path(archive), made(Path(folder))
    staging = target / f".part-{uuid.uuid4().hex}"
    try:
        made(staging)
        _fill(source, staging, bounds or Bounds())
        return _moved(staging, target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fill(source: Path, staging: Path, bounds: Bounds) -> None:
    """Write every file of an archive into a folder of its own."""
    size = 0
    seen: set[str] = set()
    for name, opened in _members(source):
        if name.casefold() in seen:
            raise DatasetError(source, None, f"{name} is in the archive twice")
        seen.add(name.casefold())
        if len(seen) > bounds.files:
            raise DatasetError(source, None, f"more than {bounds.files} files")
        made((staging / name).parent)
        with opened as stream, (staging / name).open("xb") as file:
            for chunk in _chunks(stream, source):
                size += len(chunk)
                if size > bounds.size:
                    raise DatasetError(source, None, f"unpacks to over {bounds.size} bytes")
                file.write(chunk)


def _chunks(stream: IO[bytes], source: Path) -> Iterator[bytes]:
    """Read a file of an archive."""
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except _DAMAGED as error:
        raise DatasetError(source, None, f"the archive is damaged: {error}") from error


def _members(source: Path) -> Iterator[_Member]:
    """Stream the files of an archive; their folders are made as they are needed."""
    if not source.is_file():
        raise DatasetError(source, None, "no such file")
    try:
        if zipfile.is_zipfile(source):
            yield from _zip_members(source)
        elif tarfile.is_tarfile(source):
            yield from _tar_members(source)
        else:
            raise DatasetError(source, None, "neither a zip nor a tar archive")
    except _DAMAGED as error:
        raise DatasetError(source, None, f"the archive is damaged: {error}") from error


def _tar_members(source: Path) -> Iterator[_Member]:
    """Stream the files of a tar archive."""
    with tarfile.open(source) as archive:
        for member in archive:
            name = _checked(member.name, source)
            if member.isdir():
                continue
            if not member.isreg():
                raise DatasetError(source, None, f"{name} is a link or a device, which is refused")
            stream = archive.extractfile(member)
            if stream is not None:
                yield _Member(name, stream)
        # The check sum stands at the end, which is read only now.
        while archive.fileobj is not None and archive.fileobj.read(_CHUNK):
            pass


def _zip_members(source: Path) -> Iterator[_Member]:
    """Stream the files of a zip archive."""
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            name = _checked(member.filename, source)
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise DatasetError(source, None, f"{name} is a link or a device, which is refused")
            yield _Member(name, archive.open(member))


def _checked(name: str, source: Path) -> str:
    """Refuse a name that leaves the folder; ``.`` stays."""
    if PurePosixPath(name) == PurePosixPath():
        return "."
    return safe_name(name, source)


def _moved(staging: Path, target: Path) -> list[str]:
    """Move what was unpacked to its place."""
    names = sorted(path.name for path in staging.iterdir())
    for name in names:
        if (target / name).exists():
            raise OutputError(
                f"{target / name}: is there already; remove it or name another folder"
            )
    for name in names:
        (staging / name).replace(target / name)
    return names
