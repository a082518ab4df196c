"""Sets that have a public address: fetched whole, resumed where cut off, and unpacked safely.

Nothing is fetched before the caller says that its licence was accepted; facekit ships no image.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from facekit.datasets.archives import unpack
from facekit.datasets.folders import made
from facekit.datasets.web import Alarm, Limits, WebError, asked, next_url, refused
from facekit.errors import ConfigError, DatasetError, OutputError, UnknownNameError

__all__ = ["SETS", "Archive", "PublicSet", "fetch_set", "find_set"]

_CHUNK: Final = 1 << 18
_OK, _PARTIAL, _BEYOND = 200, 206, 416
_LARGE: Final = Limits(attempts=8, timeout=60, deadline=24 * 3600, max_bytes=10_000_000_000)
_SPAN: Final = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

Progress = Callable[[str, int, int | None], None]
"""Called with the archive's name, the bytes that are there, and how many there will be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Archive:
    """One archive of a set.

    Attributes:
        url: Where it lies.
        folder: The folder that it has at its top.
        md5: The hash that was published for this address, or ``""``.
    """

    url: str
    folder: str
    md5: str = ""

    @property
    def name(self) -> str:
        """The archive's file."""
        return self.url.rpartition("/")[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A set with a public address.

    Attributes:
        name: The word for it, that of its format.
        licence: What may be done with it.
        page: Where its makers say so.
        archives: What it is made of.
    """

    name: str
    licence: str
    page: str
    archives: tuple[Archive, ...]


_IMAGES: Final = "https://huggingface.co/datasets/CUHK-CSE/wider_face/resolve/main/data"

SETS: Final[Mapping[str, PublicSet]] = MappingProxyType(
    {
        "wider_face": PublicSet(
            name="wider_face",
            licence="CC BY-NC-ND 4.0: no commercial use, no derivatives",
            page="http://shuoyang1213.me/WIDERFACE/",
            archives=(
                Archive(
                    url="http://shuoyang1213.me/WIDERFACE/support/bbx_annotation/"
                    "wider_face_split.zip",
                    folder="wider_face_split",
                    md5="0e3767bcf0e326556d407bf5bff5d27c",
                ),
                Archive(url=f"{_IMAGES}/WIDER_train.zip", folder="WIDER_train"),
                Archive(url=f"{_IMAGES}/WIDER_val.zip", folder="WIDER_val"),
            ),
        ),
        "ibug300w": PublicSet(
            name="ibug300w",
            licence="research only: no commercial use, nor of models trained on it",
            page="https://ibug.doc.ic.ac.uk/resources/300-W/",
            archives=(
                Archive(
                    url="http://dlib.net/files/data/ibug_300W_large_face_landmark_dataset.tar.gz",
                    folder="ibug_300W_large_face_landmark_dataset",
                ),
            ),
        ),
    }
)


def find_set(name: str) -> PublicSet:
    """Return a set by its name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in SETS:
        raise UnknownNameError("public set", name, SETS)
    return SETS[name]


def fetch_set(
    chosen: PublicSet,
    folder: str | os.PathLike[str],
    *,
    licence_accepted: bool,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Fetch and unpack a set.

    Args:
        chosen: The set; see :func:`find_set`.
        folder: Where its folders go. What is there is not fetched again, and a download that was
            cut off goes on.
        licence_accepted: That the licence was read and accepted.
        limits: How far to go with the servers.
        progress: Told how far it is.

    Returns:
        The folders of the archives.

    Raises:
        ConfigError: If the licence was not accepted, or ``FACEKIT_OFFLINE`` forbids downloads.
        DatasetError: If an archive does not come, is another or is hostile.
        OutputError: If a file cannot be written.
    """
    if not licence_accepted:
        reason = f"the licence is not accepted: {chosen.licence}; see {chosen.page}"
        raise ConfigError(f"{chosen.name}: {reason}")
    if os.environ.get("FACEKIT_OFFLINE", "") not in {"", "0"}:
        raise ConfigError("FACEKIT_OFFLINE forbids downloads; unset it to fetch sets")
    target = made(Path(folder))
    found = []
    for archive in chosen.archives:
        if not (target / archive.folder).is_dir():
            _fetch_archive(archive, target, limits or _LARGE, progress)
        found.append(target / archive.folder)
    return found


def _fetch_archive(
    archive: Archive, target: Path, limits: Limits, progress: Progress | None
) -> None:
    """Fetch, check and unpack one archive."""
    part = target / f"{archive.name}.part"
    try:
        _download(archive, part, limits, progress)
        _check(archive, part)
        _unpacked(part, target)
    except WebError as error:
        raise DatasetError(archive.url, None, f"did not come: {error}") from error
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{part}: cannot be written: {error.strerror or error}") from error
    if not (target / archive.folder).is_dir():
        reason = f"has no folder {archive.folder}; it is another archive than facekit knows"
        raise DatasetError(archive.url, None, reason)


def _unpacked(part: Path, target: Path) -> None:
    """Unpack an archive; it is of no more use, whether that went well or not."""
    try:
        unpack(part, target)
    except DatasetError:
        part.unlink()
        raise
    part.unlink()


def _check(archive: Archive, part: Path) -> None:
    """Compare the hash with the published one; another archive is thrown away."""
    if not archive.md5:
        return
    with part.open("rb") as file:
        # MD5 is what was published; it finds accidents, not malice, and unpacking trusts nobody.
        actual = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if actual != archive.md5:
        part.unlink()
        raise DatasetError(archive.url, None, f"MD5 {archive.md5} was published, got {actual}")


def _download(archive: Archive, part: Path, limits: Limits, progress: Progress | None) -> None:
    """Fill a file, in as many requests as it takes and is allowed."""
    for attempt in range(1, limits.attempts + 1):
        try:
            with part.open("ab") as file:
                _request(archive, file, limits, progress)
        except WebError as error:
            if not error.passing or attempt == limits.attempts:
                raise
            threading.Event().wait(limits.backoff * 2 ** (attempt - 1))
        else:
            return


def _request(archive: Archive, file: IO[bytes], limits: Limits, progress: Progress | None) -> None:
    """Ask for what is still missing, following redirects."""
    url = archive.url
    start = file.tell()
    headers = {"Range": f"bytes={start}-"} if start else {}
    with Alarm(limits.deadline) as alarm:
        for _ in range(limits.redirects + 1):
            with asked(url, limits, alarm, headers) as response:
                moved = next_url(url, response)
                if moved is None:
                    if not _is_complete(response, start):
                        _placed(response, file)
                        _append(archive, response, file, limits, progress)
                        alarm.check()
                    return
                url = moved
    raise WebError(f"more than {limits.redirects} redirects")


def _is_complete(response: http.client.HTTPResponse, start: int) -> bool:
    """Tell whether the server says that nothing is missing."""
    return response.status == _BEYOND and response.getheader("Content-Range") == f"bytes */{start}"


def _placed(response: http.client.HTTPResponse, file: IO[bytes]) -> None:
    """Make sure that what comes belongs at the end of the file; else start the file again."""
    span = _SPAN.match(response.getheader("Content-Range") or "")
    if response.status == _PARTIAL and span is not None and int(span[1]) == file.tell():
        return
    if response.status not in (_OK, _PARTIAL, _BEYOND):
        raise refused(response)
    file.seek(0)
    file.truncate()
    if response.status != _OK:
        raise WebError("the server sent another part than was asked for", passing=True)


def _append(
    archive: Archive,
    response: http.client.HTTPResponse,
    file: IO[bytes],
    limits: Limits,
    progress: Progress | None,
) -> None:
    """Write what comes."""
    there, missing = file.tell(), response.length
    total = None if missing is None else there + missing
    while chunk := response.read1(_CHUNK):
        there += len(chunk)
        if there > limits.max_bytes:
            raise WebError(f"more bytes than the limit of {limits.max_bytes}")
        file.write(chunk)
        if progress is not None:
            progress(archive.name, there, total)
    if total is not None and there < total:
        raise WebError(f"the connection ended after {there} of {total} bytes", passing=True)
