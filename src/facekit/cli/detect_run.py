"""What ``facekit detect`` does, from the door to the exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from facekit.analyzer import FaceAnalyzer
from facekit.cli.detect import Request
from facekit.cli.detect_config import run_config, source_name
from facekit.cli.detect_outputs import Crops, Drawings, plan_drawings
from facekit.cli.detect_records import Records, header, kind_of_records
from facekit.cli.detect_report import Found, progress
from facekit.cli.exits import FAILED, INTERRUPTED, OK, PARTLY_FAILED, report
from facekit.cli.naming import Names
from facekit.errors import BackendError, FacekitError, ImageError
from facekit.images import MAX_PIXELS_VARIABLE
from facekit.media import Source, expand
from facekit.types import Faces

__all__ = ["run"]


def run(request: Request) -> int:
    """Find faces, write and print what was asked for.

    Args:
        request: What the user asked for.

    Returns:
        The exit code.

    Raises:
        FacekitError: If nothing can be done, or a result cannot be written.
    """
    with _pixel_limit(request.max_pixels), _stopped_by_sigterm():
        failures = Failures()
        sources = _sources(request, failures)
        if not sources:
            return FAILED
        config = run_config(request)
        outputs = _Outputs(request, sources)
        analyzer = FaceAnalyzer.from_config(config, name=source_name(request))
        return _Run(request, sources, failures, outputs).go(analyzer)


class Failures:
    """Inputs that failed, reported one line each as they do."""

    def __init__(self) -> None:
        """Start with none."""
        self.found: list[tuple[str, str]] = []
        self.reported = 0

    def add(self, path: Path | None, error: FacekitError) -> None:
        """Report an input that failed.

        Args:
            path: The file, ``None`` for a camera.
            error: What was wrong.

        Raises:
            FacekitError: If it is not this input's fault: every other one would fail as well.
        """
        if not isinstance(error, ImageError | BackendError):
            raise error
        name = "camera" if path is None else str(path)
        message = str(error)
        if path is not None and name not in message:
            message = f"{name}: {message}"
        self.found.append((name, message))
        report(message)

    def new(self) -> list[tuple[str, str]]:
        """Return the failures since the last call."""
        fresh = self.found[self.reported :]
        self.reported = len(self.found)
        return fresh


def _sources(request: Request, failures: Failures) -> list[Source]:
    """Find what to read, each file once.

    Raises:
        ImageError: If a camera is not alone: it never ends, and nothing after it would be read.
    """
    found: dict[object, Source] = {}
    for source in expand(request.inputs, on_error=failures.add):
        found.setdefault(source.camera if source.path is None else source.path.absolute(), source)
    sources = list(found.values())
    if len(sources) > 1 and any(source.kind == "camera" for source in sources):
        message = "a camera must be the only input: it never ends; run one command an input"
        raise ImageError(message)
    return sources


class _Outputs:
    """Everything that a run writes; checked at the door, before a model is loaded."""

    def __init__(self, request: Request, sources: list[Source]) -> None:
        weights = None if request.weights is None else Path(request.weights)
        read = [source.path for source in sources] + [request.config, weights]
        names = Names(path for path in read if path is not None)
        self.kind = None if request.json is None else kind_of_records(request.json, names)
        self.crops = None if request.crops is None else Crops(request.crops, names)
        self.drawings: Drawings | None = plan_drawings(request, sources, names)
        self.records: Records | None = None
        self.json = request.json
        wanted = (request.output, request.json, request.crops)
        self.paths = [str(path) for path in wanted if path is not None]

    @contextlib.contextmanager
    def opened(self, analyzer: FaceAnalyzer) -> Iterator[None]:
        """Put every file in its place at the end, whichever way it comes."""
        with contextlib.ExitStack() as stack:
            if self.kind is not None and self.json is not None:
                self.records = self.kind(self.json, header(analyzer))
                stack.enter_context(self.records)
            if self.drawings is not None:
                self.drawings.class_names = tuple(analyzer.detector.class_names)
                stack.enter_context(self.drawings)
            yield

    def put(self, faces: Faces) -> None:
        """Write what was found in one image or frame."""
        record = faces.to_dict()
        if self.crops is not None:
            for face, path in zip(record["faces"], self.crops.put(faces), strict=True):
                face["crop"] = str(path)
        if self.drawings is not None:
            self.drawings.put(faces)
        if self.records is not None:
            self.records.put(record)

    def fail(self, failures: list[tuple[str, str]]) -> None:
        """Write down what failed."""
        for name, message in failures:
            if self.records is not None:
                self.records.fail(name, message)


class _Run:
    """One run over all sources."""

    def __init__(
        self, request: Request, sources: list[Source], failures: Failures, outputs: _Outputs
    ) -> None:
        self._request = request
        self._sources = sources
        self._failures = failures
        self._outputs = outputs
        self._found = Found(sources, quiet=bool(outputs.paths))

    def go(self, analyzer: FaceAnalyzer) -> int:
        """Analyse, write and print.

        Returns:
            The exit code.
        """
        interrupted = False
        with self._outputs.opened(analyzer):
            try:
                self._loop(analyzer)
            except KeyboardInterrupt:
                # A camera has no other end.
                interrupted = self._sources[0].kind != "camera"
                if interrupted and self._outputs.records is not None:
                    self._outputs.records.stop()
            self._outputs.fail(self._failures.new())
        self._found.summary(self._outputs.paths)
        if interrupted:
            report(f"stopped after {self._found.images_in_words()}", kind="interrupted")
            return INTERRUPTED
        if not self._failures.found:
            return OK
        return PARTLY_FAILED if self._found.images else FAILED

    def _loop(self, analyzer: FaceAnalyzer) -> None:
        request = self._request
        stream = analyzer.stream(
            self._sources,
            batch_size=request.batch_size,
            on_error=self._failures.add,
            max_frames=request.max_frames,
        )
        wanted = bool(self._outputs.paths) and sys.stderr.isatty()
        with (
            # Closing the generator releases the camera and stops the readers.
            contextlib.closing(stream),
            progress(self._sources, request.max_frames, wanted=wanted) as advance,
        ):
            for faces in stream:
                self._outputs.fail(self._failures.new())
                self._outputs.put(faces)
                self._found.put(faces)
                advance(self._found.images + len(self._failures.found))


@contextlib.contextmanager
def _pixel_limit(limit: int | None) -> Iterator[None]:
    """Set the pixel limit for a run."""
    before = os.environ.get(MAX_PIXELS_VARIABLE)
    try:
        if limit is not None:
            os.environ[MAX_PIXELS_VARIABLE] = str(limit)
        yield
    finally:
        if limit is not None:
            os.environ.pop(MAX_PIXELS_VARIABLE)
            if before is not None:
                os.environ[MAX_PIXELS_VARIABLE] = before


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let a polite ``kill`` end the run as Ctrl-C does: files are finished."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
