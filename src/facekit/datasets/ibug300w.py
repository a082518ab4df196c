"""Faces with 68 points in dlib's XML, as iBUG 300-W is published for dlib.

::

    <dataset><images>
      <image file='a.jpg' width='500' height='332'>
        <box top='181' left='274' width='52' height='53'>
          <part name='00' x='277' y='194'/> ... <part name='67' x='292' y='217'/>
        </box>
      </image>
    </images></dataset>

Elements are found by tag and parts ordered by their number. Coordinates are 0-based and kept as
they are; a box covers ``left .. left + width`` (dlib's own rectangle is inclusive) and may leave
the image, on purpose. A box has no parts or exactly 68. Names are relative to the XML's folder.
Folders and files of ``.pts`` are read by :mod:`facekit.datasets.pts`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final
from xml.sax.saxutils import escape, quoteattr

from facekit import atomic
from facekit.datasets import pts
from facekit.datasets.formats import Holds
from facekit.datasets.records import (
    FACE,
    Box,
    FaceRecord,
    ImageRecord,
    Point,
    Provenance,
    Repair,
    Value,
    safe_name,
)
from facekit.datasets.xml_events import End, Start, events
from facekit.errors import DatasetError

__all__ = ["ATTRIBUTES", "HOLDS", "POINTS", "SCHEME", "read", "write"]

POINTS: Final = 68
SCHEME: Final = "ibug68"

ATTRIBUTES: Final[Mapping[str, Callable[[str], str | int | float]]] = {
    "difficult": int,
    "truncated": int,
    "occluded": int,
    "angle": float,
    "detection_score": float,
    "age": float,
    "gender": str,
}
"""dlib's optional attributes of a box."""


def _accepts(name: str, value: Value) -> bool:
    """Tell whether an attribute can have a value."""
    kind = ATTRIBUTES.get(name)
    if kind is str:
        return isinstance(value, str) and not _UNWRITABLE.search(value)
    if isinstance(value, str):
        return False
    return isinstance(value, int) or (kind is float and math.isfinite(value))


HOLDS: Final = Holds(
    fields=frozenset({"label", "landmarks", "scheme", "ignore", "size"}),
    face_attributes=frozenset(ATTRIBUTES),
    decimals=0,
    schemes=frozenset({SCHEME}),
    accepts=_accepts,
)

_FARTHEST: Final = 1e9
_UNWRITABLE: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KEPT: Final = {"\r": "&#13;"}
_YES_NO: Final = {"0": False, "1": True, "false": False, "true": True}


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    origin: int = 1,
) -> Iterator[ImageRecord]:
    """Read dlib's XML, or ``.pts`` files.

    Args:
        path: The XML; or a ``.pts`` file or a folder of them.
        images: The folder of images; by default the one that holds the XML.
        origin: Of ``.pts``: the number of the first pixel; see :func:`facekit.datasets.pts.read`.

    Yields:
        One record an image, in the file's order.

    Raises:
        DatasetError: If the file is malformed, with file, line and reason.
    """
    place = Path(path)
    if place.is_dir() or place.suffix.lower() == ".pts":
        yield from pts.read(place, images=images, origin=origin)
        return
    yield from _Reader(place, Path(images) if images is not None else place.parent).records()


class _Reader:
    """The elements of one file, gathered into faces and images."""

    def __init__(self, file: Path, root: Path) -> None:
        self._file = str(file)
        self._root = root
        self._line = 0
        self._image: Start | None = None
        self._box: Start | None = None
        self._label = FACE
        self._faces: list[FaceRecord] = []
        self._parts: dict[int, Point] = {}
        self._repairs: list[Repair] = []

    def records(self) -> Iterator[ImageRecord]:
        first = True
        for event in events(self._file):
            self._line = event.line
            if first and event.tag != "dataset":
                raise self._error(f"expected dlib's <dataset>, got <{event.tag}>")
            first = False
            if isinstance(event, Start):
                self._start(event)
            elif event.tag == "image":
                yield self._end_image()
            else:
                self._end(event)

    def _error(self, reason: str, line: int | None = None) -> DatasetError:
        return DatasetError(self._file, self._line if line is None else line, reason)

    def _start(self, element: Start) -> None:
        if element.tag == "image":
            if self._image is not None:
                raise self._error("<image> inside <image>")
            self._image = element
        elif element.tag == "box":
            if self._image is None or self._box is not None:
                raise self._error("<box> must stand in an <image>, and not in another <box>")
            self._box = element
        elif element.tag == "part":
            self._add_part(element.attributes)

    def _end(self, element: End) -> None:
        if element.tag == "box" and self._box is not None:
            self._faces.append(self._face(self._box))
            self._box, self._label, self._parts = None, FACE, {}
        elif element.tag == "label" and self._box is not None:
            self._label = element.text or FACE

    def _end_image(self) -> ImageRecord:
        image = self._image
        if image is None or self._box is not None:
            raise self._error("</image> without its beginning")
        source = Provenance(self._file, image.line)
        self._line = image.line
        record = ImageRecord(
            name=safe_name(self._text(image.attributes, "file"), self._file, image.line),
            root=self._root,
            size=self._size(image.attributes),
            faces=tuple(self._faces),
            source=source,
            repairs=tuple(self._repairs),
        )
        self._image, self._faces, self._repairs = None, [], []
        return record

    def _size(self, attributes: Mapping[str, str]) -> tuple[int, int] | None:
        texts = [attributes.get(name) for name in ("height", "width")]
        if texts == [None, None]:
            return None
        if not all(text and text.isdecimal() and int(text) > 0 for text in texts):
            raise self._error(f"height and width must be positive numbers, got {texts}")
        return (int(texts[0] or 0), int(texts[1] or 0))

    def _text(self, attributes: Mapping[str, str], name: str) -> str:
        if name not in attributes:
            raise self._error(f"the attribute {name!r} is missing")
        return attributes[name]

    def _number(self, attributes: Mapping[str, str], name: str) -> float:
        text = self._text(attributes, name)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not -_FARTHEST < value < _FARTHEST:
            raise self._error(f"{name} must be a number of pixels, got {text!r}")
        return value

    def _add_part(self, attributes: Mapping[str, str]) -> None:
        if self._box is None:
            raise self._error("<part> must stand in a <box>")
        name = self._text(attributes, "name")
        number = int(name) if name.isdecimal() else POINTS
        if number >= POINTS:
            raise self._error(f"a part is named 00 to {POINTS - 1}, got {name!r}")
        if number in self._parts:
            raise self._error(f"part {name} is there twice")
        self._parts[number] = (self._number(attributes, "x"), self._number(attributes, "y"))

    def _face(self, element: Start) -> FaceRecord:
        given, self._line = dict(element.attributes), element.line
        left, top, width, height = (
            self._number(given, k) for k in ("left", "top", "width", "height")
        )
        ignore = given.get("ignore", "0").lower()
        if ignore not in _YES_NO:
            raise self._error(f"ignore must be 0 or 1, got {ignore!r}")
        box: Box = (left, top, left + width, top + height)
        empty = width <= 0 or height <= 0
        if empty:
            self._repair("empty-box", f"{width:g} x {height:g} has no area; kept as ignored")
        landmarks = self._landmarks(ignored=_YES_NO[ignore])
        return FaceRecord(
            box=box,
            label=self._label,
            landmarks=landmarks,
            scheme=SCHEME if landmarks else "",
            attributes=self._attributes(given),
            ignore=_YES_NO[ignore] or empty,
            line=element.line,
        )

    def _landmarks(self, *, ignored: bool) -> tuple[Point, ...] | None:
        count = len(self._parts)
        if count == POINTS:
            return tuple(self._parts[number] for number in range(POINTS))
        if count and not ignored:
            missing = ", ".join(f"{n:02}" for n in range(POINTS) if n not in self._parts)
            raise self._error(
                f"a labelled box has exactly {POINTS} parts, got {count}; without {missing}"
            )
        if count:
            self._repair("ignored-parts", f"the {count} parts of an ignored box are left out")
        return None

    def _attributes(self, given: Mapping[str, str]) -> dict[str, str | int | float]:
        values: dict[str, str | int | float] = {}
        for name in set(given) - {"left", "top", "width", "height", "ignore"}:
            try:
                values[name] = ATTRIBUTES.get(name, str)(given[name])
            except ValueError:
                raise self._error(f"{name} must be a number, got {given[name]!r}") from None
        return values

    def _repair(self, code: str, message: str) -> None:
        self._repairs.append(Repair(code, Provenance(self._file, self._line), message))


_HEAD: Final = """<?xml version='1.0' encoding='UTF-8'?>
<dataset>
<name>facekit</name>
<images>
"""


def write(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write dlib's XML, in UTF-8.

    Args:
        records: Any stream of records. Coordinates are rounded to whole pixels, because dlib
            reads nothing else. Landmarks of any other scheme than ``"ibug68"`` are left out.
        path: The XML file.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If a name or label has characters that XML cannot hold.
    """
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        for record in records:
            _write_image(record, file, path)
        file.write("</images>\n</dataset>\n")


def _write_image(record: ImageRecord, file: IO[str], path: str | os.PathLike[str]) -> None:
    """Write an image's element."""
    size = ""
    if record.size is not None:
        size = f" width='{record.size[1]}' height='{record.size[0]}'"
    name = _printable(record.name, path)
    file.write(f"  <image file={quoteattr(name)}{size}>\n")
    for face in record.faces:
        _write_box(face, file, path)
    file.write("  </image>\n")


def _write_box(face: FaceRecord, file: IO[str], path: str | os.PathLike[str]) -> None:
    """Write a face's element."""
    x1, y1, x2, y2 = (round(value) for value in face.box)
    more = {name: face.attributes[name] for name in ATTRIBUTES if name in face.attributes}
    written: dict[str, Any] = {"top": y1, "left": x1, "width": x2 - x1, "height": y2 - y1, **more}
    if face.ignore:
        written["ignore"] = 1
    texts = (f" {name}={quoteattr(_plain(value, path))}" for name, value in written.items())
    file.write(f"    <box{''.join(texts)}>\n")
    if face.label != FACE:
        file.write(f"      <label>{escape(_printable(face.label, path), _KEPT)}</label>\n")
    points = face.landmarks or ()
    if points and len(points) != POINTS:
        raise DatasetError(path, None, f"a labelled face has {POINTS} points, got {len(points)}")
    for number, (x, y) in enumerate(points):
        file.write(f"      <part name='{number:02}' x='{round(x)}' y='{round(y)}'/>\n")
    file.write("    </box>\n")


def _plain(value: str | float | bool, path: str | os.PathLike[str]) -> str:  # noqa: FBT001
    """Return an attribute's value as dlib reads it: a flag is 0 or 1."""
    return _printable(str(int(value) if isinstance(value, bool) else value), path)


def _printable(text: str, path: str | os.PathLike[str]) -> str:
    """Check that XML can hold a text."""
    if _UNWRITABLE.search(text):
        raise DatasetError(path, None, f"XML cannot hold the characters of {text!r}")
    return text
