"""Dataturks' JSON lines: one image a line, by its URL.

::

    {"content": "http://host/a.jpg", "annotation": [{"label": ["Face"], "notes": "",
     "points": [{"x": 0.1, "y": 0.3}, {"x": 0.2, "y": 0.5}],
     "imageWidth": 650, "imageHeight": 333}], "extras": null}

Points are fractions of the image: two corners in any order, or a polygon, whose extent is the box;
each is ``{x, y}`` or ``[x, y]``. A label is text or a list, and ``"Face"`` is facekit's ``"face"``.
The image's size is the one stated; where the image is at hand and has another, its own is taken,
and the attributes ``stated_width`` and ``stated_height`` keep the other. What the lines have no
place for, facekit writes into ``extras``: the name of a file that its URL does not give, and the
size of an image without faces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NoReturn
from urllib.parse import unquote, urlsplit

from facekit import atomic
from facekit import images as pictures
from facekit.datasets.dataturks_faces import DECIMALS, as_annotation, as_face, stated_size
from facekit.datasets.files import open_text
from facekit.datasets.formats import Holds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import EMPTY, ImageRecord, Provenance, Repair, Value, safe_name
from facekit.datasets.values import checked_size
from facekit.errors import ConfigError, DatasetError, ImageError

__all__ = ["HOLDS", "Names", "name_of_url", "read", "write"]

Names = Literal["url", "number"]


def _accepts(name: str, value: Value) -> bool:
    """Tell whether an attribute can have a value."""
    return isinstance(value, str) and ("://" in value if name == "url" else bool(value))


HOLDS: Final = Holds(
    fields=frozenset({"label", "size"}),
    face_attributes=frozenset({"notes"}),
    image_attributes=frozenset({"url"}),
    decimals=DECIMALS,
    sized=True,
    inside=True,
    accepts=_accepts,
)

_LONGEST_LINE: Final = 1 << 26


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    names: Names = "url",
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read Dataturks' JSON lines.

    Args:
        path: The file.
        images: The folder of images; by default the one that holds the file.
        names: What images are named by: ``"url"``, the last part of the URL, made unique by the
            number of the line (names that were there are remembered, some 100 bytes a line); or
            ``"number"``, ``face_0.jpeg``, ``face_1.jpeg``, ... as in the Detectron2 tutorial.
        on_malformed: Takes the error of each malformed line, which is left out; by default the
            first one is raised.

    Yields:
        One record a line, with the attribute ``url``; blank lines are none.

    Raises:
        DatasetError: If a line is malformed, with file, line and reason.
        ConfigError: If ``names`` is something else.
    """
    if names not in ("url", "number"):
        raise ConfigError(f"names: 'url' or 'number', got {names!r}")
    file = Path(path)
    reader = _Reader(file, file.parent if images is None else Path(images), names)
    with open_text(file) as lines:
        number = 0
        while text := lines.readline(_LONGEST_LINE):
            number += 1
            if len(text) == _LONGEST_LINE:
                raise DatasetError(file, number, f"a line of {_LONGEST_LINE} characters or more")
            if not text.strip():
                continue
            try:
                record = reader.record(text, number)
            except DatasetError as error:
                on_malformed(error)
            else:
                yield record


def _refuse(constant: str) -> NoReturn:
    """Refuse what JSON does not know, and Python reads nevertheless."""
    raise ValueError(f"{constant} is no JSON")


def name_of_url(url: str) -> str:
    """Return the last part of a URL's path, without escapes.

    Raises:
        ValueError: If the URL is malformed.
    """
    return PurePosixPath(unquote(urlsplit(url).path).replace("\\", "/")).name


class _Reader:
    """What the lines of a file have in common."""

    def __init__(self, file: Path, root: Path, names: Names) -> None:
        self._file = str(file)
        self._root = root
        self._names = names
        self._count = 0
        self._seen: set[str] = set()

    def record(self, text: str, number: int) -> ImageRecord:
        where = Provenance(self._file, number)
        line = self._parse(text, where)
        name, repairs = self._name(line, where)
        annotations = line["annotation"]
        if annotations is None:
            repairs.append(Repair("null-annotation", where, "null; taken as no faces"))
        stated = self._stated(line, annotations or [], where, repairs)
        size = self._true_size(name, where, repairs) or stated
        attributes: dict[str, Value] = {}
        if "://" in line["content"]:
            attributes["url"] = line["content"]
        if stated is not None and size != stated:
            attributes.update(stated_width=stated[1], stated_height=stated[0])
            message = f"states {stated[1]} x {stated[0]} pixels; the image has {_shown(size)}"
            repairs.append(Repair("stated-size", where, message))
        faces = []
        for annotation in annotations or []:
            face, mended = as_face(annotation, size or stated_size(annotation, where), where)
            faces.append(face)
            repairs.extend(mended)
        return ImageRecord(
            name=name,
            root=self._root,
            size=size,
            faces=tuple(faces),
            attributes=attributes or EMPTY,
            source=where,
            repairs=tuple(repairs),
        )

    def _parse(self, text: str, where: Provenance) -> dict[str, Any]:
        try:
            line = json.loads(text, parse_constant=_refuse)
            if "\\ud" in text.lower():
                json.dumps(line, ensure_ascii=False).encode()  # half a pair is no text
        except (ValueError, RecursionError) as error:
            raise DatasetError(self._file, where.line, f"not JSON: {error}") from error
        if not isinstance(line, dict):
            raise DatasetError(self._file, where.line, "a line is an object of JSON")
        if not isinstance(line.get("content"), str):
            raise DatasetError(self._file, where.line, "content must be a URL or a file name")
        if "annotation" not in line or not isinstance(line["annotation"], list | None):
            raise DatasetError(self._file, where.line, "annotation must be a list or null")
        return line

    def _name(self, line: dict[str, Any], where: Provenance) -> tuple[str, list[Repair]]:
        self._count += 1
        if self._names == "number":
            return f"face_{self._count - 1}.jpeg", []
        name = safe_name(self._given_name(line, where), self._file, where.line)
        if name not in self._seen:
            self._seen.add(name)
            return name, []
        path = PurePosixPath(name)
        unique = str(path.with_stem(f"{path.stem}_{where.line}"))
        while unique in self._seen:
            unique = str(path.with_stem(f"{PurePosixPath(unique).stem}_"))
        self._seen.add(unique)
        message = f"{name} was there before; named {unique}"
        return unique, [Repair("duplicate-name", where, message)]

    def _given_name(self, line: dict[str, Any], where: Provenance) -> str:
        content: str = line["content"]
        extras = line.get("extras")
        if isinstance(extras, dict) and isinstance(extras.get("file_name"), str):
            return str(extras["file_name"])
        if "://" not in content:
            return content
        try:
            return name_of_url(content)
        except ValueError as error:
            reason = f"not a URL: {content!r:.80}: {error}"
            raise DatasetError(self._file, where.line, reason) from error

    def _stated(
        self, line: dict[str, Any], annotations: list[Any], where: Provenance, repairs: list[Repair]
    ) -> tuple[int, int] | None:
        sizes = {stated_size(annotation, where): None for annotation in annotations}
        if len(sizes) > 1:
            listed = ", ".join(map(_shown, sizes))
            repairs.append(Repair("several-sizes", where, f"states {listed}; the first is taken"))
        extras = line.get("extras")
        if not sizes and isinstance(extras, dict) and "imageWidth" in extras:
            return checked_size(extras.get("imageHeight"), extras["imageWidth"], where)
        return next(iter(sizes), None)

    def _true_size(
        self, name: str, where: Provenance, repairs: list[Repair]
    ) -> tuple[int, int] | None:
        image = self._root / name
        if not image.is_file():
            return None
        try:
            return pictures.read_size(image)
        except ImageError as error:
            repairs.append(Repair("unreadable-image", where, str(error)))
            return None


def _shown(size: tuple[int, int] | None) -> str:
    """Return a size for people."""
    return "none" if size is None else f"{size[1]} x {size[0]}"


def write(records: Iterable[ImageRecord], path: str | os.PathLike[str]) -> None:
    """Write Dataturks' JSON lines.

    Args:
        records: Any stream of records whose sizes are known. ``content`` is the attribute ``url``,
            or the image's name where there is none.
        path: The file.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If a record's size is not known.
    """
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_line(record, path), ensure_ascii=False) + "\n")


def _names(url: str, name: str) -> bool:
    """Tell whether a URL gives an image its name."""
    try:
        return name_of_url(url) == name
    except ValueError:
        return False


def _line(record: ImageRecord, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return an image as a line."""
    if record.size is None:
        raise DatasetError(path, None, f"{record.name}: its size is not known")
    size = record.size
    url = str(record.attributes.get("url", ""))
    extras: dict[str, Any] = {}
    if url and not _names(url, record.name):
        extras["file_name"] = record.name
    if not record.faces:
        extras.update(imageWidth=size[1], imageHeight=size[0])
    return {
        "content": url or record.name,
        "annotation": [as_annotation(face, size) for face in record.faces],
        "extras": extras or None,
    }
