"""What can be wrong with a dataset, by name."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from facekit.datasets.records import ImageRecord, Provenance

__all__ = ["CODES", "Code", "Finding", "Severity", "finding", "place_of"]


class Severity(enum.StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Training or measuring on it would fail or mislead."""
    WARNING = "warning"
    """Most likely a mistake."""
    NOTE = "note"
    """Good to know."""


class Code(NamedTuple):
    """One kind of finding.

    Attributes:
        severity: How bad it is.
        meaning: What it says, for people.
        remedy: What :func:`facekit.datasets.fix.fix` does about it; empty where nothing.
    """

    severity: Severity
    meaning: str
    remedy: str = ""


_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "malformed": Code(_ERROR, "a line that the reader refuses"),
        "more-malformed": Code(_ERROR, "malformed lines after the first hundred of a file"),
        "unsafe-name": Code(_ERROR, "a file name that would leave the dataset's folder"),
        "image-missing": Code(_ERROR, "no such image file", "left out, if asked"),
        "image-unreadable": Code(_ERROR, "the image's header is damaged", "left out, if asked"),
        "size-differs": Code(_ERROR, "the stated size is not the image's", "the image's size"),
        "size-swapped": Code(_ERROR, "height and width are swapped", "the image's size"),
        "not-finite": Code(_ERROR, "a coordinate is not a number", "the face is left out"),
        "empty-box": Code(_ERROR, "a box without area", "the face is left out"),
        "box-outside": Code(_ERROR, "a box wholly outside the image", "the face is left out"),
        "duplicate-image": Code(_ERROR, "an image is there twice", "one image with all faces"),
        "point-count": Code(_ERROR, "another number of points than the scheme's, or visibilities"),
        "box-leaves-image": Code(
            _WARNING, "a box partly outside the image", "clipped, unless it has landmarks"
        ),
        "duplicate-face": Code(_WARNING, "a face is there twice", "the first is kept"),
        "landmarks-outside-box": Code(_WARNING, "most landmarks lie outside their box"),
        "landmarks-outside-image": Code(_WARNING, "landmarks lie outside the image"),
        "elongated-box": Code(_WARNING, "a box much longer than wide, or the reverse"),
        "label-spelling": Code(_WARNING, "labels that differ only by case or spaces"),
        "name-case": Code(_WARNING, "image names that differ only by case"),
        "same-content": Code(_WARNING, "two names of one and the same image"),
        "near-duplicate-face": Code(_NOTE, "two boxes that nearly coincide"),
        "tiny-face": Code(_NOTE, "a face smaller than a detector can see"),
        "no-faces": Code(_NOTE, "an image without faces"),
        "images-not-at-hand": Code(_NOTE, "image files and sizes could not be checked"),
    }
)
"""Every finding of facekit's own; a reader's repairs come as notes with their own codes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One quirk of a dataset.

    Attributes:
        code: A key of :data:`CODES`, or the code of a reader's repair.
        severity: How bad it is.
        where: File and line.
        message: What was found.
        image: The image's name, where it is about one.
    """

    code: str
    severity: Severity
    where: Provenance
    message: str
    image: str = ""

    def __str__(self) -> str:
        """Return ``file:line: severity: code: message``."""
        line = "" if self.where.line is None else f":{self.where.line}"
        return f"{self.where.file}{line}: {self.severity}: {self.code}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "file": self.where.file,
            "line": self.where.line,
            "image": self.image,
            "message": self.message,
        }


def place_of(record: ImageRecord, line: int | None = None) -> Provenance:
    """Return where a record, or one of its faces, stands.

    Args:
        record: The record.
        line: The face's line; by default the record's.
    """
    source = record.source or Provenance(record.name)
    return source if line is None else Provenance(source.file, line)


def finding(record: ImageRecord, code: str, message: str, line: int | None = None) -> Finding:
    """Build a finding of facekit's own.

    Args:
        record: The record that it is about.
        code: A key of :data:`CODES`.
        message: What was found.
        line: The face's line; by default the record's.
    """
    return Finding(code, CODES[code].severity, place_of(record, line), message, record.name)
