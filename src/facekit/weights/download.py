"""Downloads that arrive whole, checked, or not at all.

``pooch`` gives the temporary file beside the target, the last hash check and the move; what it
leaves open is done here: going on after a cut where the server can (HTTP ranges), telling a
server's fault that may pass from one that will not, and saying what came instead of the weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from facekit.errors import FacekitError, OutputError, WeightsError
from facekit.weights.entry import Announce, WeightsEntry, sha256
from facekit.weights.first_download import check_kind, record_path, recorded, write_record
from facekit.weights.part import BY_HAND, Part

__all__ = ["OFFLINE_VARIABLE", "Retries", "download", "is_offline", "log_licence"]

OFFLINE_VARIABLE = "FACEKIT_OFFLINE"
"""Environment variable that forbids downloads; unset, empty and ``0`` allow them."""

_CHUNK = 1 << 16
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_RECORDED = (
    "weights %r: their publisher gives no hash; recorded that of this first download, sha256 %s, "
    "in %s: whatever comes later must have it"
)
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Retries:
    """How patient to be with a server.

    Attributes:
        attempts: Requests at most.
        backoff: Pause before the second request, seconds; doubled before each later one.
        timeout: Longest silence of the server, seconds, both connecting and between two chunks.
    """

    attempts: int = 4
    backoff: float = 0.5
    timeout: float = 30.0


def is_offline() -> bool:
    """Say whether ``FACEKIT_OFFLINE`` forbids downloads."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"}


def log_licence(entry: WeightsEntry) -> None:
    """Log what is about to be downloaded and its licence.

    As a warning, because warnings are shown even where nobody has set up logging.
    """
    _log.warning(
        "downloading weights %r (%s) from %s; licence: %s",
        entry.name,
        "of unknown size" if entry.size is None else f"{entry.size / 1e6:.1f} MB",
        entry.url,
        entry.licence,
    )


def download(
    entry: WeightsEntry,
    path: Path,
    *,
    progress: bool = True,
    announce: Announce | None = None,
    retries: Retries | None = None,
) -> Path:
    """Download an entry's file; whatever stood at its place is replaced at the end.

    Args:
        entry: An entry with a URL.
        path: Where the file shall lie; its folder is made.
        progress: Whether to show a progress bar on standard error.
        announce: Called first, to show the licence; by default :func:`log_licence`.
        retries: How patient to be.

    Returns:
        ``path``, its content checked; of an entry without a hash, by that of its first download,
        which is recorded beside it.

    Raises:
        WeightsError: If downloads are forbidden, the server cannot be reached, refuses, or sends
            anything else than the entry's bytes. Nothing is left behind.
        OutputError: If the cache folder cannot be written.
    """
    if is_offline():
        reason = f"not downloaded yet, and {OFFLINE_VARIABLE} forbids it: unset it, or {BY_HAND}"
        raise WeightsError(entry.url, reason)
    (announce or log_licence)(entry)
    expected = recorded(path) if entry.trust_first_download else entry.sha256
    transfer = _Transfer(entry, path, expected, retries or Retries(), show_progress=progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if expected is None:
            # pooch would take what lies there, of which nobody knows where it came from.
            path.unlink(missing_ok=True)
        with _silent_pooch():
            found = pooch.retrieve(
                entry.url,
                known_hash=None if expected is None else f"sha256:{expected}",
                fname=path.name,
                path=path.parent,
                downloader=transfer,
            )
    except FacekitError:
        raise
    except OSError as error:
        # What goes wrong on the wire is a WeightsError by now: this is the disk.
        message = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error
    return Path(found)


@contextlib.contextmanager
def _silent_pooch() -> Iterator[None]:
    """Keep pooch's own line off standard error: ours says the same, and the licence."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclasses.dataclass(frozen=True)
class _Transfer:
    """The downloader that pooch calls with the URL and a temporary file."""

    entry: WeightsEntry
    path: Path
    expected: str | None
    retries: Retries
    show_progress: bool

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Fill ``output_file``, in several requests where needed, and check its hash.

        Raises:
            WeightsError: If that is not possible, or the bytes are others.
            OutputError: If the file cannot be written.
        """
        with Path(output_file).open("wb") as file, self._progress() as show:
            part = Part(file, self.entry, show)
            attempt = 1
            while failure := self._request(url, part):
                if attempt >= self.retries.attempts:
                    raise WeightsError(url, f"{failure}, {attempt} times over; {BY_HAND}")
                time.sleep(self.retries.backoff * 2 ** (attempt - 1))
                attempt += 1
        self._check(Path(output_file))

    def _request(self, url: str, part: Part) -> str:
        """Send one request for what is still missing.

        Returns:
            What went wrong and may go well next time; empty once the server has sent all.

        Raises:
            WeightsError: If the server's answer will not change.
            OutputError: If the file cannot be written.
        """
        headers = {"Accept-Encoding": "identity"}
        if part.written:
            headers["Range"] = f"bytes={part.written}-"
        get = pooch.HTTPDownloader(
            chunk_size=_CHUNK,
            timeout=self.retries.timeout,
            headers=headers,
            hooks={"response": part.begin},
        )
        try:
            get(url, part, None)
        except FacekitError:
            raise
        except OSError as error:  # every error of requests is one
            return self._failure(url, part, error)
        finally:
            part.end()
        return self._cut(part) if part.written < part.expected else ""

    def _failure(self, url: str, part: Part, error: OSError) -> str:
        """Put a failed request into words, if another one may go well.

        Raises:
            WeightsError: If the server answered and will answer the same again.
        """
        response = getattr(error, "response", None)
        if response is None:
            root = _root(error)
            detail = getattr(root, "strerror", None) or str(root) or type(root).__name__
            return f"{self._cut(part) if part.begun else 'the server is out of reach'} ({detail})"
        answer = f"the server answers {response.status_code} {response.reason}"
        if response.status_code not in _TRANSIENT:
            raise WeightsError(url, f"{answer}; {BY_HAND}") from error
        return answer

    def _cut(self, part: Part) -> str:
        size = self.entry.size or part.expected
        return f"the connection broke after {part.written} of {size} bytes"

    def _check(self, path: Path) -> None:
        """Refuse other bytes than the entry's; record those of a first download.

        Raises:
            WeightsError: With both hashes and, where it can be told, what came instead.
            OutputError: If the record cannot be written.
        """
        actual = sha256(path)
        if actual == self.expected:
            return
        with path.open("rb") as file:
            start = file.read(_CHUNK)
        is_page = start.lstrip().startswith((b"<!", b"<h", b"<H", b"<?xml"))
        came = "a web page came in place of the weights" if is_page else "other bytes came"
        if self.expected is None and not is_page:
            check_kind(str(self.entry.url), start)
            # Before the file has its name: there is none without a record.
            record = write_record(self.path, actual)
            _log.warning(_RECORDED, self.entry.name, actual, record)
            return
        reason = f"{came}; {BY_HAND}"
        if self.entry.trust_first_download and not is_page:
            record = record_path(self.path)
            reason = f"{came} than at the first download; if you trust them, delete {record}"
        raise WeightsError(self.entry.url, reason, expected=self.expected, actual=actual)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[Callable[[int, int], None]]:
        """Show a bar on standard error; yields what takes the bytes written, and how many come."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        bar = Progress(
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        # rich 13 prints an empty line for a bar that is disabled, but started.
        with bar if self.show_progress else contextlib.nullcontext():
            task = bar.add_task(self.entry.name, total=self.entry.size)
            yield lambda written, total: bar.update(task, completed=written, total=total)


def _root(error: BaseException) -> BaseException:
    """Return the first cause, which says most: requests wraps it several times."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
