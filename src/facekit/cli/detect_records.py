"""Results as JSON: one document, or a line an image."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from facekit import __version__, atomic
from facekit.analyzer import FaceAnalyzer
from facekit.cli.naming import Names, check_file
from facekit.errors import OutputError

__all__ = ["Document", "Lines", "Records", "header", "kind_of_records"]

Record = dict[str, Any]


def header(analyzer: FaceAnalyzer) -> Record:
    """Return what made the results.

    Args:
        analyzer: The models.
    """
    landmarker = analyzer.landmarker
    return {
        "facekit": __version__,
        "detector": analyzer.detector.name,
        "score_threshold": round(float(analyzer.detector.score_threshold), 6),
        "landmarker": None if landmarker is None else landmarker.name,
        "classifiers": list(analyzer.classifiers),
    }


def _encoded(value: Any) -> str:  # noqa: ANN401 - plain JSON values
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _bytes(text: str) -> bytes:
    r"""Encode JSON; what a file name has of undecodable bytes becomes JSON's own ``\udc..``."""
    return text.encode("utf-8", "backslashreplace")


def kind_of_records(path: Path, names: Names) -> type[Document | Lines]:
    """Check at the door where records shall go, and choose how by the suffix.

    Args:
        path: A ``.json`` or ``.jsonl`` file.
        names: What must not be overwritten.

    Raises:
        OutputError: If the suffix is another or the file cannot be written.
    """
    kinds: dict[str, type[Document | Lines]] = {".json": Document, ".jsonl": Lines}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        message = f"--json {path}: write .json for one document or .jsonl for a line an image"
        raise OutputError(message)
    check_file(path, names, "--json")
    return kind


class Document:
    """One JSON document with all records, written atomically at the end.

    An end by Ctrl-C or an error writes what was done until then, with ``"complete": false``.
    Without any record nothing is written.
    """

    def __init__(self, path: Path, head: Record) -> None:
        """Take the file's path and the document's head.

        Args:
            path: The file.
            head: As :func:`header` gives it.
        """
        self.path = path
        self._head = head
        self._records: list[str] = []
        self._failed: list[str] = []
        self._complete = True

    def put(self, record: Record) -> None:
        """Take the record of one image or frame."""
        self._records.append(_encoded(record))

    def fail(self, name: str, message: str) -> None:
        """Take note of an input that failed."""
        self._failed.append(_encoded({"image": name, "error": message}))

    def stop(self) -> None:
        """Take note that the run ends before its inputs do."""
        self._complete = False

    def __enter__(self) -> Self:
        """Return the records."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the document, one record a line.

        Raises:
            OutputError: If it cannot be written.
        """
        if not self._records:
            return
        head = self._head | {"complete": self._complete and kind is None}
        fields = [f"  {_encoded(key)}: {_encoded(value)}" for key, value in head.items()]
        fields += [_listed("images", self._records), _listed("failed", self._failed)]
        atomic.write_bytes(self.path, _bytes("{\n" + ",\n".join(fields) + "\n}\n"))


def _listed(key: str, values: list[str]) -> str:
    """Return a JSON field with one value a line."""
    if not values:
        return f'  "{key}": []'
    return f'  "{key}": [\n    ' + ",\n    ".join(values) + "\n  ]"


class Lines:
    """A JSON object a line, each written as soon as it is known.

    Lines go to ``FILE.part``, which becomes ``FILE`` when the run ends, in whichever way Python
    still runs; a killed run leaves ``FILE.part`` with every line it finished, and the old ``FILE``.
    """

    def __init__(self, path: Path, head: Record) -> None:
        """Take the file's path and what every line starts with.

        Args:
            path: The file.
            head: As :func:`header` gives it.
        """
        self.path = path
        self._head = head
        self._part = path.with_name(f"{path.name}.part")
        self._file: IO[bytes] | None = None
        self._waiting: list[Record] = []

    def put(self, record: Record) -> None:
        """Write the record of one image or frame."""
        for value in (*self._waiting, record):
            self._write(self._head | value)
        self._waiting = []

    def fail(self, name: str, message: str) -> None:
        """Take note of an input that failed: its line comes before the next record's."""
        self._waiting.append({"image": name, "error": message})

    def stop(self) -> None:
        """Do nothing: a line stands for itself."""

    def _write(self, value: Record) -> None:
        try:
            if self._file is None:
                # Unbuffered: a line is in the file once it is written.
                self._file = self._part.open("wb", buffering=0)
            self._file.write(_bytes(_encoded(value) + "\n"))
        except OSError as error:
            message = f"{self._part}: cannot be written: {error.strerror or error}"
            raise OutputError(message) from error

    def __enter__(self) -> Self:
        """Return the records."""
        return self

    def __exit__(self, *_: object) -> None:
        """Put the file in its place."""
        if self._file is None:
            return
        with contextlib.closing(self._file):
            for value in self._waiting:
                self._write(self._head | value)
            self._part.replace(self.path)


Records = Document | Lines
