"""One image as one PASCAL VOC XML, and back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from facekit.datasets.records import FaceRecord, ImageRecord, Provenance, Repair, Value, safe_name
from facekit.datasets.sizes import known_size
from facekit.datasets.values import checked_box, checked_size, empty_box
from facekit.datasets.xml_events import Start, events
from facekit.errors import DatasetError

__all__ = ["DEFAULTS", "FLAGS", "Style", "accepts", "annotation", "read_annotation"]

FLAGS: Final = ("truncated", "occluded")
DEFAULTS: Final[Mapping[str, Value]] = MappingProxyType({"truncated": 0, "view": "Unspecified"})
"""What every object says, because readers in circulation stop where it is missing.

VOC's word for ``view`` is ``pose``; WIDER FACE has a ``pose`` of its own, which is a flag.
"""

_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_UNWRITABLE: Final = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECIMALS: Final = 6
_READ: Final = frozenset(
    {"", "folder", "filename", "size", "size/height", "size/width", "name", "pose", "difficult"}
    | set(FLAGS)
    | {f"bndbox/{corner}" for corner in _CORNERS}
)


def accepts(name: str, value: Value) -> bool:
    """Tell whether an object can have an attribute of a value: flags of 0 or 1, a view in words."""
    if name in FLAGS:
        return value in {0, 1}
    return isinstance(value, str) and bool(value) and _is_printable(value)


@dataclasses.dataclass(frozen=True)
class Style:
    """How a flavour of VOC counts and names.

    Attributes:
        first: The number of the first pixel: ``xmin - first`` is the left side of a box, and
            ``xmax`` the right one.
        folder: Whether the image's folder stands in ``<folder>`` and not in ``<filename>``.
    """

    first: int = 1
    folder: bool = False


class _Text(NamedTuple):
    """The text of an element, and its line."""

    text: str
    line: int


_Texts = dict[str, _Text]


def read_annotation(file: Path, inside: PurePosixPath, root: Path, style: Style) -> ImageRecord:
    """Read one XML.

    Args:
        file: The XML.
        inside: Its folder, relative to the folder of annotations: where the image lies if
            ``<filename>`` has no folder.
        root: The folder of images.
        style: Which flavour.

    Raises:
        DatasetError: If it is malformed, with file, line and reason.
    """
    image: _Texts = {}
    objects: list[_Texts] = []
    for path, text in _leaves(file):
        if path == ("object",):
            objects.append({"": text})
        elif path[0] == "object":
            _put(objects[-1], "/".join(path[1:]), text, file)
        else:
            _put(image, "/".join(path), text, file)
    where = Provenance(str(file), image[""].line)
    faces = tuple(_face(one, str(file), style) for one in objects)
    size, unsized = _size(image, where)
    empty = [empty_box(face.box, Provenance(str(file), face.line)) for face in faces]
    return ImageRecord(
        name=_name(image, where, inside, style),
        root=root,
        size=size,
        faces=faces,
        source=where,
        repairs=unsized + tuple(repair for repairs in empty for repair in repairs),
    )


def _put(texts: _Texts, name: str, text: _Text, file: Path) -> None:
    """Take an element that is read; the rest, such as an object's ``part``, is not kept."""
    if name not in _READ:
        return
    if name in texts:
        raise DatasetError(file, text.line, f"<{name.replace('/', '><')}> is there twice")
    texts[name] = text


def _leaves(file: Path) -> Iterator[tuple[tuple[str, ...], _Text]]:
    """Yield the path of each element below ``<annotation>`` and its text; an object's at once."""
    open_tags: list[_Text] = []
    for event in events(file):
        if isinstance(event, Start):
            if not open_tags and event.tag != "annotation":
                reason = f"expected VOC's <annotation>, got <{event.tag}>"
                raise DatasetError(file, event.line, reason)
            open_tags.append(_Text(event.tag, event.line))
            if [tag.text for tag in open_tags] == ["annotation", "object"]:
                yield ("object",), _Text("", event.line)
            elif len(open_tags) == 1:
                yield ("",), _Text("", event.line)
            continue
        path = tuple(tag.text for tag in open_tags[1:])
        start = open_tags.pop()
        if path and path != ("object",):
            yield path, _Text(event.text.strip(), start.line)


def _wanted(texts: _Texts, name: str, file: str) -> _Text:
    """Return an element that must be there, with a text."""
    found = texts.get(name)
    if found is None or not found.text:
        line = texts[""].line if found is None else found.line
        raise DatasetError(file, line, f"<{name.replace('/', '><')}> is missing or empty")
    return found


def _name(image: _Texts, where: Provenance, inside: PurePosixPath, style: Style) -> str:
    """Return the image's name."""
    written = _wanted(image, "filename", where.file)
    name = PurePosixPath(safe_name(written.text, where.file, written.line))
    if style.folder:
        folder = _wanted(image, "folder", where.file)
        name = PurePosixPath(folder.text.replace("\\", "/")) / name
        return safe_name(str(name), where.file, folder.line)
    return str(inside / name if len(name.parts) == 1 else name)


def _size(image: _Texts, where: Provenance) -> tuple[tuple[int, int] | None, tuple[Repair, ...]]:
    """Return the stated size; zeros, as annotation tools write them, and none are named."""
    texts = [image[key].text for key in ("size/height", "size/width") if key in image]
    if set(texts) <= {"0"}:
        return None, (Repair("no-size", where, "the image's size is missing or zero"),)
    at = Provenance(where.file, image.get("size", image[""]).line)
    height, width = (int(text) if text.isdecimal() else text for text in (*texts, "", "")[:2])
    return checked_size(height, width, at), ()


def _face(element: _Texts, file: str, style: Style) -> FaceRecord:
    """Return the face of an object."""
    where = Provenance(file, element[""].line)
    corners = [_number(element, f"bndbox/{corner}", file) for corner in _CORNERS]
    x1, y1 = (round(value - style.first, _DECIMALS) for value in corners[:2])
    box = checked_box((x1, y1, *corners[2:]), where)
    attributes: dict[str, Value] = {}
    for name in FLAGS:
        if name in element:
            attributes[name] = _flag(element, name, file)
    if "pose" in element and element["pose"].text:
        attributes["view"] = element["pose"].text
    return FaceRecord(
        box=box,
        label=_wanted(element, "name", file).text,
        attributes=attributes,
        ignore=_flag(element, "difficult", file) == 1 or bool(empty_box(box, where)),
        line=where.line,
    )


def _number(element: _Texts, name: str, file: str) -> float:
    text, line = _wanted(element, name, file)
    try:
        return float(text)
    except ValueError:
        reason = f"<{name.rpartition('/')[2]}> must be a number, got {text!r}"
        raise DatasetError(file, line, reason) from None


def _flag(element: _Texts, name: str, file: str) -> int:
    text, line = element.get(name, _Text("0", 0))
    if text.lower() not in {"0", "1", "false", "true", ""}:
        raise DatasetError(file, line, f"<{name}> must be 0 or 1, got {text!r}")
    return int(text.lower() in {"1", "true"})


def annotation(record: ImageRecord, target: object, style: Style) -> str:
    """Return the XML of an image.

    Args:
        record: The image; coordinates are rounded to whole pixels.
        target: The dataset that is written, for messages.
        style: Which flavour.

    Raises:
        DatasetError: If its size is not known, or a text or flag cannot be written.
    """
    height, width = known_size(record)
    name = PurePosixPath(safe_name(record.name, target))
    folder, filename = (str(name.parent), name.name) if style.folder else ("", str(name))
    rows = [
        "<annotation>",
        f"  <folder>{_printable(folder, target)}</folder>",
        f"  <filename>{_printable(filename, target)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "  <segmented>0</segmented>",
        *(_object(face, record, target, style) for face in record.faces),
        "</annotation>",
        "",
    ]
    return "\n".join(rows)


def _object(face: FaceRecord, record: ImageRecord, target: object, style: Style) -> str:
    """Return the element of a face."""
    given = {**DEFAULTS, **face.attributes}
    flags = {name: given[name] for name in FLAGS if name in given}
    for name, value in flags.items():
        if value not in {0, 1}:
            reason = f"{record.name}: {name} must be 0 or 1, got {value!r}"
            raise DatasetError(target, None, reason)
    x1, y1, x2, y2 = (round(value) for value in face.box)
    corners = zip(_CORNERS, (x1 + style.first, y1 + style.first, x2, y2), strict=True)
    rows = [
        f"<name>{_printable(face.label, target)}</name>",
        f"<pose>{_printable(str(given['view']), target)}</pose>",
        *(f"<{name}>{int(value)}</{name}>" for name, value in flags.items()),
        f"<difficult>{int(face.ignore)}</difficult>",
        "<bndbox>" + "".join(f"<{name}>{value}</{name}>" for name, value in corners) + "</bndbox>",
    ]
    return "\n".join(["  <object>", *(f"    {row}" for row in rows), "  </object>"])


def _printable(text: str, target: object) -> str:
    """Check that XML can hold a text, and return it escaped."""
    if not _is_printable(text):
        raise DatasetError(target, None, f"XML cannot hold the characters or spaces of {text!r}")
    return escape(text)


def _is_printable(text: str) -> bool:
    """Tell whether XML can hold a text, and gives it back as it is."""
    return not _UNWRITABLE.search(text) and text == text.strip()
