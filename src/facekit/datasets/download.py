"""The images of records that are known by their URLs, such as Dataturks'.

Each image is written whole or not at all, so that a killed run goes on where it was: what is there
is not fetched again. An image that does not come costs one line of the report, and nothing else.

>>> records = read("dataturks:faces.json", names="number")               # doctest: +SKIP
>>> fetched = fetch_images(records, "faces", reencode=True)              # doctest: +SKIP
>>> write_report(fetched, "report.jsonl")                                # doctest: +SKIP
Counter({'fetched': 391, 'failed': 17})
>>> records = read("dataturks:faces.json", names="number", images="faces")  # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal

from facekit import atomic, images
from facekit.datasets.folders import made
from facekit.datasets.records import ImageRecord, safe_name
from facekit.datasets.web import Limits, WebError, fetch
from facekit.errors import ConfigError, ImageError

__all__ = ["Limits", "Outcome", "Status", "fetch_images", "write_report"]

Status = Literal["fetched", "present", "failed"]

OFFLINE_VARIABLE: Final = "FACEKIT_OFFLINE"
"""Environment variable that forbids downloads; unset, empty and ``0`` allow them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one image.

    Attributes:
        name: The image's file, relative to the folder.
        url: Where it was asked for, or ``""``.
        status: ``"fetched"`` now, ``"present"`` from before, or ``"failed"``.
        reason: Why it failed, or what is odd about it, or ``""``.
        attempts: Requests made.
        bytes: Size of the file as it came.
        size: The image's height and width, pixels, or ``None``.
        stated: The size that the annotation states, or ``None``.
        file: The annotation file, or ``""``.
        line: Its line, or ``None``.
    """

    name: str
    url: str
    status: Status
    reason: str = ""
    attempts: int = 0
    bytes: int = 0
    size: tuple[int, int] | None = None
    stated: tuple[int, int] | None = None
    file: str = ""
    line: int | None = None


def fetch_images(
    records: Iterable[ImageRecord],
    folder: str | os.PathLike[str],
    *,
    reencode: bool = False,
    workers: int = 8,
    limits: Limits | None = None,
) -> Generator[Outcome, None, None]:
    """Fetch the images of records into a folder, several at a time.

    Args:
        records: Records with the attribute ``url``; they are read as they are needed.
        folder: Where images go, under their records' names; made where it is missing.
        reencode: Write each image anew as RGB, upright, in the format of its name's suffix
            (``names="number"`` gives ``face_0.jpeg`` ... as in the Detectron2 tutorial). Otherwise
            the server's bytes are kept.
        workers: Requests at a time.
        limits: How far to go with each server.

    Yields:
        One outcome a record, in their order; closing the generator ends the run. Every image has
        been decoded once: what is no image, or is cut off, has failed.

    Raises:
        ConfigError: If ``FACEKIT_OFFLINE`` forbids downloads, or ``workers`` is not positive.
        OutputError: If an image cannot be written.
        DatasetError: If the records are malformed.
    """
    if os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"}:
        raise ConfigError(f"{OFFLINE_VARIABLE} forbids downloads; unset it to fetch images")
    if workers < 1:
        raise ConfigError(f"workers: at least 1, got {workers}")
    run = _Run(made(Path(folder)), limits or Limits(), reencode=reencode)
    waiting: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="facekit-fetch") as pool:
        try:
            for record in records:
                waiting.append(pool.submit(run.one, record))
                # Enough for every worker, and few enough for any number of records.
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            run.stop.set()
            for future in waiting:
                future.cancel()


class _Run:
    """What the workers share."""

    def __init__(self, folder: Path, limits: Limits, *, reencode: bool) -> None:
        self.stop = threading.Event()
        self._folder = folder
        self._limits = limits
        self._reencode = reencode

    def one(self, record: ImageRecord) -> Outcome:
        """Fetch one image."""
        source = record.source
        outcome = Outcome(
            name=record.name,
            url=str(record.attributes.get("url", "")),
            status="failed",
            stated=_stated(record),
            file="" if source is None else source.file,
            line=None if source is None else source.line,
        )
        target = self._folder / safe_name(record.name, outcome.file, outcome.line)
        if (size := _size_of(target)) is not None:
            return _measured(dataclasses.replace(outcome, status="present"), size)
        if not outcome.url:
            return dataclasses.replace(outcome, reason="the annotation gives no URL")
        try:
            answer = fetch(outcome.url, self._limits, self.stop)
        except WebError as error:
            return dataclasses.replace(outcome, reason=str(error), attempts=error.attempts)
        came = dataclasses.replace(outcome, attempts=answer.attempts, bytes=len(answer.data))
        try:
            size = self._save(answer.data, target)
        except ImageError as error:
            kind = f" (the server says {answer.kind})" if answer.kind else ""
            return dataclasses.replace(came, reason=f"{error}{kind}")
        return _measured(dataclasses.replace(came, status="fetched"), size)

    def _save(self, data: bytes, target: Path) -> tuple[int, int]:
        """Decode and write an image; return its height and width."""
        made(target.parent)
        with atomic.atomic_path(target) as temporary:
            temporary.write_bytes(data)
            try:
                pixels = images.read(temporary)
            except ImageError as error:
                # The temporary file's name means nothing to anybody.
                raise ImageError(str(error).removeprefix(f"{temporary}: ")) from error
            if self._reencode:
                temporary.write_bytes(images.encode(pixels, target.suffix))
        return (pixels.shape[0], pixels.shape[1])


def _size_of(image: Path) -> tuple[int, int] | None:
    """Return the height and width of an image that is there, or ``None``."""
    try:
        return images.read_size(image)
    except ImageError:
        return None


def _stated(record: ImageRecord) -> tuple[int, int] | None:
    """Return the size that an annotation states, also where the image had another."""
    sides = [record.attributes.get(f"stated_{side}") for side in ("height", "width")]
    if all(isinstance(side, int) for side in sides):
        return (int(sides[0] or 0), int(sides[1] or 0))
    return record.size


def _measured(outcome: Outcome, size: tuple[int, int]) -> Outcome:
    """Fill in an image's size, and say if the annotation states another."""
    reason = ""
    if outcome.stated is not None and outcome.stated != size:
        stated, true = (f"{width} x {height}" for height, width in (outcome.stated, size))
        reason = f"the annotation states {stated} pixels, the image has {true}"
    return dataclasses.replace(outcome, size=size, reason=reason)


def write_report(outcomes: Iterable[Outcome], path: str | os.PathLike[str]) -> Counter[str]:
    """Write a report of JSON lines, one an image.

    Args:
        outcomes: Any stream of outcomes; it is read once.
        path: The report.

    Returns:
        How many images have which status.

    Raises:
        OutputError: If the file cannot be written.
    """
    counts: Counter[str] = Counter()
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for outcome in outcomes:
            counts[outcome.status] += 1
            file.write(json.dumps(dataclasses.asdict(outcome), ensure_ascii=False) + "\n")
    return counts
