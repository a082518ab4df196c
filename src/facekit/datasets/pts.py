"""300-W's ``.pts`` files: the 68 points of one face, in a text file beside its image.

::

    version: 1
    n_points: 68
    {
    446.000 91.000
    ...
    }

300-W counts pixels from 1, facekit from 0: by default reading subtracts 1 and writing adds it.
Files that count from 0 say so with ``origin=0``. The box is the extent of the points.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from facekit import atomic
from facekit.datasets.files import open_text
from facekit.datasets.folders import IMAGE_SUFFIXES, image_of, made
from facekit.datasets.formats import Holds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import (
    FaceRecord,
    ImageRecord,
    Point,
    Provenance,
    Repair,
    extent_of,
    safe_name,
)
from facekit.errors import ConfigError, DatasetError

__all__ = ["HOLDS", "ORIGIN", "POINTS", "SCHEME", "read", "write"]

POINTS: Final = 68
SCHEME: Final = "ibug68"
ORIGIN: Final = 1
"""The number of an image's first pixel in 300-W's files."""

_DECIMALS: Final = 6

HOLDS: Final = Holds(
    fields=frozenset({"landmarks", "scheme"}),
    decimals=_DECIMALS,
    empty_images=False,
    points_only=True,
    schemes=frozenset({SCHEME}),
)

_FARTHEST: Final = 1e9
_HEADER: Final = re.compile(r"(version|n_points)\s*:\s*(\d+(?:\.\d+)?)")


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    origin: int = ORIGIN,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read ``.pts`` files.

    Args:
        path: A ``.pts`` file, or a folder that has some, at any depth.
        images: The folder of images, laid out as the annotations; by default the same folder.
        origin: The number of the first pixel in the files: 1 as in 300-W, or 0.
        on_malformed: Takes the error of each malformed file, which is left out; by default the
            first one is raised.

    Yields:
        One record a file, sorted by name; each has one face of the scheme ``"ibug68"``.

    Raises:
        DatasetError: If a file is malformed, with file, line and reason.
        ConfigError: If ``origin`` is neither 0 nor 1.
    """
    _check_origin(origin)
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    root = folder if images is None else Path(images)
    found = sorted(place.rglob("*.pts")) if place.is_dir() else [place]
    if not found:
        raise DatasetError(place, None, "the folder has no .pts files")
    for file in found:
        try:
            face = _read_face(file, origin)
        except DatasetError as error:
            on_malformed(error)
            continue
        name, repairs = _image_of(file, file.relative_to(folder), root)
        source = Provenance(str(file), 1)
        yield ImageRecord(name=name, root=root, faces=(face,), source=source, repairs=repairs)


def _check_origin(origin: int) -> None:
    """Refuse any origin but 0 and 1."""
    if origin not in (0, 1):
        raise ConfigError(f"origin: the first pixel is number 0 or 1, got {origin!r}")


def _image_of(file: Path, inside: Path, root: Path) -> tuple[str, tuple[Repair, ...]]:
    """Find the name of the image that belongs to a ``.pts`` file."""
    stem = PurePosixPath(inside.with_suffix("").as_posix())
    if (found := image_of(stem, root)) is not None:
        return safe_name(found, file), ()
    name = f"{stem}{IMAGE_SUFFIXES[0]}"
    message = f"no image of this name in {root}; it is taken for {name}"
    return safe_name(name, file), (Repair("no-image", Provenance(str(file)), message),)


def _read_face(path: Path, origin: int) -> FaceRecord:
    """Read one file."""
    with open_text(path) as file:
        lines = ((number, text.strip()) for number, text in enumerate(file, start=1))
        count = _read_header(path, lines)
        points = _read_points(path, lines, origin)
    if len(points) != count:
        raise DatasetError(path, None, f"the header says {count} points, got {len(points)}")
    return FaceRecord(box=extent_of(points), landmarks=points, scheme=SCHEME, line=1)


def _read_header(path: Path, lines: Iterator[tuple[int, str]]) -> int:
    """Read up to the opening brace; return the number of points."""
    given: dict[str, float] = {}
    number = 0
    for number, text in lines:
        if text == "{":
            break
        match = _HEADER.fullmatch(text)
        if text and match is None:
            raise DatasetError(path, number, f"expected version, n_points or {{, got {text!r}")
        if match is not None:
            given[match[1]] = float(match[2])
    else:
        raise DatasetError(path, max(number, 1), "the file ends before its points")
    if given.get("version", 1) != 1:
        raise DatasetError(path, number, f"version 1 is known, got {given['version']:g}")
    if given.get("n_points") != POINTS:
        reason = f"n_points must be {POINTS}, got {given.get('n_points', 'nothing')}"
        raise DatasetError(path, number, reason)
    return POINTS


def _read_points(path: Path, lines: Iterator[tuple[int, str]], origin: int) -> tuple[Point, ...]:
    """Read the points up to the closing brace."""
    points: list[Point] = []
    number = 0
    for number, text in lines:
        if text == "}":
            break
        if not text:
            continue
        points.append(_point(path, number, text, origin))
    else:
        raise DatasetError(path, number or None, "the file ends before the closing brace")
    for number, text in lines:
        if text:
            raise DatasetError(path, number, f"expected nothing after the points, got {text!r}")
    return tuple(points)


def _point(path: Path, number: int, text: str, origin: int) -> Point:
    """Read the line of a point."""
    try:
        x, y = map(float, text.split())
    except ValueError:
        raise DatasetError(path, number, f"expected x and y, got {text!r}") from None
    if not (abs(x) < _FARTHEST and abs(y) < _FARTHEST):
        raise DatasetError(path, number, f"not a point: {text!r}")
    # Rounded, because 1.123 - 1 is not 0.123.
    return (round(x - origin, _DECIMALS), round(y - origin, _DECIMALS))


def write(
    records: Iterable[ImageRecord], path: str | os.PathLike[str], *, origin: int = ORIGIN
) -> None:
    """Write one ``.pts`` file an image into a folder; each file is replaced whole.

    Args:
        records: Any stream of records with landmarks of the scheme ``"ibug68"``.
        path: The folder; made where it is missing.
        origin: The number of the first pixel: 1 as in 300-W, or 0.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: If a record has no or several faces, or two images need one file.
        ConfigError: If ``origin`` is neither 0 nor 1.
    """
    _check_origin(origin)
    folder = Path(path)
    written: set[str] = set()
    for record in records:
        name = str(PurePosixPath(safe_name(record.name, path)).with_suffix(".pts"))
        if name in written:
            raise DatasetError(path, None, f"two images would both be written as {name}")
        written.add(name)
        made((folder / name).parent)
        atomic.write_text(folder / name, _text(record, path, origin))


def _text(record: ImageRecord, path: str | os.PathLike[str], origin: int) -> str:
    """Return the file of an image."""
    points = record.faces[0].landmarks if len(record.faces) == 1 else None
    if not points or len(points) != POINTS:
        raise DatasetError(
            path,
            None,
            f"{record.name}: .pts holds the {POINTS} points of one face, no less or more",
        )
    rows = [f"{x + origin:.{_DECIMALS}f} {y + origin:.{_DECIMALS}f}" for x, y in points]
    return "\n".join(["version: 1", f"n_points: {POINTS}", "{", *rows, "}", ""])
