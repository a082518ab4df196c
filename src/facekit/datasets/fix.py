"""A repaired copy of a dataset, and the list of what was repaired.

What is mended, and how, stands in :data:`facekit.datasets.findings.CODES`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from facekit import atomic
from facekit.datasets.check import image_quirk
from facekit.datasets.check_faces import (
    duplicates,
    is_empty,
    is_finite,
    is_outside,
    leaves,
)
from facekit.datasets.findings import Finding, Severity, finding
from facekit.datasets.formats import Losses, parse, write
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.datasets.sources import Source, reader, spared

__all__ = ["Fixed", "fix", "mended", "report_of"]


@dataclasses.dataclass(frozen=True)
class Fixed:
    """What a repair did.

    Attributes:
        losses: What was written, and what the target's format could not hold.
        repairs: How often each thing was mended, by its code.
        report: The list of repairs, JSON lines.
    """

    losses: Losses
    repairs: Counter[str]
    report: Path


def report_of(target: str) -> Path:
    """Return where the list of repairs lies by default: beside the target.

    Args:
        target: ``FORMAT:PATH``.
    """
    path = parse(target)[1]
    return path.with_name(f"{path.name}.repairs.jsonl")


def fix(
    source: Source,
    target: str,
    *,
    report: str | os.PathLike[str] | None = None,
    drop_missing: bool = False,
) -> Fixed:
    """Write a repaired copy of a dataset. The source is read twice and never changed.

    Args:
        source: ``FORMAT:PATH``, or a function that starts to read the records again.
        target: ``FORMAT:PATH`` of the copy.
        report: The list of repairs; by default the target's path with ``.repairs.jsonl``.
        drop_missing: Leave out images whose files are missing or damaged.

    Returns:
        Counts, and the path of the list.

    Raises:
        ConfigError: If the copy would overwrite the source.
        OutputError: If it cannot be written.
        DatasetError: If a line is malformed: that cannot be mended here.
    """
    start = reader(source)
    path = atomic.check_writable(report_of(target) if report is None else report)
    extra = _repeated(spared(start(), target))
    repairs: Counter[str] = Counter()
    with (
        atomic.atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        stream = _told(mended(start(), extra, drop_missing=drop_missing), file, repairs)
        losses = write(stream, target)
    return Fixed(losses, repairs, path)


def _repeated(records: Iterable[ImageRecord]) -> dict[str, list[FaceRecord]]:
    """Return the faces of every image's second and later records."""
    seen: set[int] = set()
    extra: dict[str, list[FaceRecord]] = {}
    for record in records:
        name = hash(record.name)
        if name in seen:
            extra.setdefault(record.name, []).extend(record.faces)
        seen.add(name)
    return extra


def _told(
    stream: Iterable[tuple[ImageRecord | None, list[Finding]]], file: IO[str], repairs: Counter[str]
) -> Iterator[ImageRecord]:
    """Pass records on, and write down what was mended."""
    for record, findings in stream:
        for found in findings:
            repairs[found.code] += 1
            file.write(json.dumps(found.to_dict()) + "\n")
        if record is not None:
            yield record


def mended(
    records: Iterable[ImageRecord],
    extra: dict[str, list[FaceRecord]] | None = None,
    *,
    drop_missing: bool = False,
) -> Iterator[tuple[ImageRecord | None, list[Finding]]]:
    """Mend records one at a time.

    Args:
        records: Any stream of records.
        extra: The faces of an image's later records, by its name.
        drop_missing: Leave out images whose files are missing or damaged.

    Yields:
        The mended record, or ``None`` where it is left out; and what was mended, the reader's
        own repairs among it.
    """
    joined: set[str] = set()
    for record in records:
        if record.name in joined:
            yield None, [finding(record, "duplicate-image", "joined to the first of its name")]
            continue
        if extra and record.name in extra:
            joined.add(record.name)
            record = record.replace(faces=(*record.faces, *extra[record.name]))  # noqa: PLW2901
        found: list[Finding] = []
        kept = _mended(record, found, drop_missing=drop_missing)
        yield kept, [*_noted(record, found), *found]


def _noted(record: ImageRecord, found: list[Finding]) -> list[Finding]:
    """Return the reader's repairs, without those in whose place another thing was done."""
    places = {(one.code, one.where.line) for one in found}
    return [
        Finding(repair.code, Severity.NOTE, repair.where, repair.message, record.name)
        for repair in record.repairs
        if (repair.code, repair.where.line) not in places
    ]


def _mended(record: ImageRecord, found: list[Finding], *, drop_missing: bool) -> ImageRecord | None:
    """Mend a record, adding to what was found; ``None`` where it is left out."""
    size, quirk = image_quirk(record)
    if quirk is not None and size is not None:
        found.append(finding(record, quirk[0], f"{quirk[1]}; the image's own size is kept"))
    elif quirk is not None and drop_missing:
        found.append(finding(record, quirk[0], f"{quirk[1]}; left out"))
        return None
    size = size or record.size
    faces = []
    for face in record.faces:
        kept, quirks = _mended_face(face, size)
        found += [finding(record, code, message, face.line) for code, message in quirks]
        faces += [kept] if kept is not None else []
    twins = {later for later, _, overlap in duplicates(faces) if overlap == 1}
    found += [finding(record, "duplicate-face", "left out", faces[i].line) for i in sorted(twins)]
    unique = tuple(face for i, face in enumerate(faces) if i not in twins)
    return record.replace(size=size, faces=unique)


def _mended_face(
    face: FaceRecord, size: tuple[int, int] | None
) -> tuple[FaceRecord | None, list[tuple[str, str]]]:
    """Mend a face; ``None`` where it is left out."""
    if not is_finite(face):
        return None, [("not-finite", "the face is left out")]
    if is_empty(face):
        return None, [("empty-box", f"{face.width:g} x {face.height:g}: the face is left out")]
    quirks = []
    points = face.landmarks
    if points is not None and not all(-1e9 < v < 1e9 for point in points for v in point):  # noqa: PLR2004 - also refuses NaN
        face = dataclasses.replace(face, landmarks=None, scheme="", visibility=None)
        quirks.append(("not-finite", "the landmarks are left out"))
    if size is None:
        return face, quirks
    if is_outside(face.box, size):
        return None, [("box-outside", f"{face.box}: the face is left out")]
    # With landmarks a box is the frame of a crop, and leaves the image on purpose.
    if face.landmarks is None and leaves(face.box, size):
        x1, y1, x2, y2 = face.box
        clipped = (max(x1, 0), max(y1, 0), min(x2, size[1]), min(y2, size[0]))
        quirks.append(("box-leaves-image", f"{face.box} is clipped to {clipped}"))
        face = dataclasses.replace(face, box=clipped)
    return face, quirks
