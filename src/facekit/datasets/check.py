"""A linter for datasets of any format: each quirk named, with file and line.

>>> from facekit.datasets.check import check
>>> for finding in check("wider_face:WIDER"):                    # doctest: +SKIP
...     print(finding)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from facekit import images
from facekit.datasets.check_faces import duplicates, face_quirks
from facekit.datasets.findings import CODES, Finding, Severity, finding, place_of
from facekit.datasets.formats import going_on, read
from facekit.datasets.malformed import Malformed
from facekit.datasets.records import ImageRecord, Provenance, safe_name
from facekit.errors import DatasetError, ImageError

__all__ = ["CODES", "TINY", "Finding", "Severity", "check", "image_quirk"]

TINY: Final = 10.0
"""The shortest side of a face that WIDER FACE's own protocol still counts, pixels."""

_MOST_SPELLINGS: Final = 10_000


def check(
    source: str | Iterable[ImageRecord],
    *,
    look_at_images: bool = True,
    contents: bool = False,
    tiny: float = TINY,
    faces: bool = True,
    malformed: Malformed | None = None,
) -> Iterator[Finding]:
    """Find the quirks of a dataset.

    Memory grows by some hundred bytes an image, which finding names twice takes.

    Args:
        source: ``FORMAT:PATH``, or any stream of records.
        look_at_images: Look for the image files and read their headers, where they are at hand.
        contents: Also read each file whole, to find one image under two names.
        tiny: A face with a shorter side is tiny, pixels.
        faces: Whether an image without faces is worth a note; not so where the format has none.
        malformed: What a stream's reader was given as ``on_malformed``.

    Yields:
        Findings in the order of the records. Malformed lines come before what stands after them,
        the first hundred of each file; where the format does not allow to go on, one is the last,
        but for findings on the dataset as a whole.

    Raises:
        UnknownNameError: If nobody registered the format.
        DatasetError: If there is no such dataset.
    """
    lines = Malformed() if malformed is None else malformed
    records = _read(source, lines) if isinstance(source, str) else source
    checker = _Checker(look_at_images=look_at_images, contents=contents, tiny=tiny, faces=faces)
    begun = False
    try:
        for record in records:
            begun = True
            refused = [_malformed(error) for error in lines.taken()]
            yield from refused
            yield from checker.record(record, whole=not refused)
    except DatasetError as error:
        yield from map(_malformed, lines.taken())
        if not begun and error.line is None:
            raise
        yield _malformed(error, "; what follows is not read")
    yield from map(_malformed, lines.taken())
    for file, count in lines.more():
        where = Provenance(file)
        yield Finding("more-malformed", Severity.ERROR, where, f"{count} more malformed lines")
    yield from checker.whole()


def _read(spec: str, malformed: Malformed) -> Iterator[ImageRecord]:
    """Read a dataset, past its malformed lines where its format allows that."""
    return read(spec, **going_on(spec, malformed))


def _malformed(error: DatasetError, more: str = "") -> Finding:
    """Return the finding of a malformed line."""
    where = Provenance(error.file, error.line)
    return Finding("malformed", Severity.ERROR, where, f"{error.reason}{more}")


class _Checker:
    """The rules, and what they must remember of earlier records."""

    def __init__(self, *, look_at_images: bool, contents: bool, tiny: float, faces: bool) -> None:
        self._expects_faces = faces
        self._look = look_at_images
        self._contents = contents
        self._tiny = tiny
        self._names: dict[int, int | None] = {}
        self._folded: set[int] = set()
        self._digests: dict[bytes, str] = {}
        self._spellings: dict[str, str] = {}
        self._unseen = 0
        self._last = Provenance("")

    def record(self, record: ImageRecord, *, whole: bool = True) -> Iterator[Finding]:
        """Yield the findings of a record; that it has no faces only where no line was refused."""
        self._last = place_of(record)
        for repair in record.repairs:
            yield Finding(repair.code, Severity.NOTE, repair.where, repair.message, record.name)
        yield from self._name(record)
        size = record.size
        if self._look:
            known, quirk = image_quirk(record)
            self._unseen += known is None and quirk is None
            if quirk is not None:
                yield finding(record, *quirk)
            size = known or size
            if known is not None and self._contents:
                yield from self._content(record)
        if whole and self._expects_faces and not record.faces:
            yield finding(record, "no-faces", f"{record.name} has no faces")
        yield from self._faces(record, size)

    def whole(self) -> Iterator[Finding]:
        """Yield the findings on the dataset as a whole."""
        if self._unseen:
            where = Provenance(self._last.file)
            message = f"{self._unseen} images: their files and sizes were not checked"
            yield Finding("images-not-at-hand", Severity.NOTE, where, message)

    def _name(self, record: ImageRecord) -> Iterator[Finding]:
        try:
            safe_name(record.name, record.name)
        except DatasetError as error:
            yield finding(record, "unsafe-name", error.reason)
        exact, folded = hash(record.name), hash(record.name.casefold())
        if exact in self._names:
            line = self._names[exact]
            there = "" if line is None else f", first at line {line}"
            yield finding(record, "duplicate-image", f"{record.name} is there twice{there}")
        elif folded in self._folded:
            yield finding(record, "name-case", f"{record.name} differs from another only by case")
        self._names.setdefault(exact, place_of(record).line)
        self._folded.add(folded)

    def _content(self, record: ImageRecord) -> Iterator[Finding]:
        data = record.data
        if data is None:
            data = Path(record.path or "").read_bytes()
        twin = self._digests.setdefault(hashlib.blake2b(data, digest_size=16).digest(), record.name)
        if twin != record.name:
            yield finding(record, "same-content", f"{record.name} is the same image as {twin}")

    def _faces(self, record: ImageRecord, size: tuple[int, int] | None) -> Iterator[Finding]:
        mended = {(repair.code, repair.where.line) for repair in record.repairs}
        faces = tuple(record.faces)
        for face in faces:
            for code, message in face_quirks(face, size, self._tiny):
                if (code, face.line) not in mended:
                    yield finding(record, code, message, face.line)
            yield from self._label(record, face.label, face.line)
        for later, earlier, overlap in duplicates(faces):
            code = "duplicate-face" if overlap == 1 else "near-duplicate-face"
            message = f"face {later + 1} of {record.name} has the box of face {earlier + 1}"
            if overlap < 1:
                message += f", to an overlap of {overlap:.2f}"
            yield finding(record, code, message, faces[later].line)

    def _label(self, record: ImageRecord, label: str, line: int | None) -> Iterator[Finding]:
        if label in self._spellings or len(self._spellings) > _MOST_SPELLINGS:
            return
        plain = " ".join(label.casefold().split())
        others = [known for known, form in self._spellings.items() if form == plain]
        self._spellings[label] = plain
        if others:
            yield finding(record, "label-spelling", f"{label!r} beside {others[0]!r}", line)


def image_quirk(
    record: ImageRecord,
) -> tuple[tuple[int, int] | None, tuple[str, str] | None]:
    """Look at a record's image; no pixel is decoded.

    Args:
        record: Any record.

    Returns:
        The image's height and width, or ``None`` where that is not known; and code and message
        of what is wrong, or ``None``.
    """
    source = record.data if record.data is not None else record.path
    if source is None:
        return None, None
    if isinstance(source, Path) and not source.is_file():
        return None, ("image-missing", f"{source}: no such file")
    try:
        size = images.read_size(source, record.name)
    except ImageError as error:
        return None, ("image-unreadable", str(error))
    if record.size in {None, size}:
        return size, None
    height, width = record.size or size
    code = "size-swapped" if (width, height) == size else "size-differs"
    words = f"{record.name} is said to be {width} x {height}, and is {size[1]} x {size[0]}"
    return size, (code, words)
