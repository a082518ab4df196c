"""COCO's JSON: detection, keypoints and polygons.

A box is ``[x, y, width, height]`` and covers ``[x, x + width)``; points are kept as they are.
``iscrowd`` is facekit's ``ignore``: COCOeval neither rewards nor punishes what is found there. A
visibility of 2 everywhere is read as none, because that is how landmarks without any are written.
What COCO has no place for stands under keys of facekit's own, which other readers pass over:
``attributes`` of an image and of an annotation (as CVAT writes them), ``scheme`` of a category.

Writing takes constant memory. Reading keeps the file's text in memory, as JSON demands: images
and annotations come in any order. Keys that no record has a place for, such as ``licenses``, are
not read.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from facekit import atomic
from facekit.datasets.coco_objects import (
    DECIMALS,
    attributes_of,
    face_of,
    keypoint_names,
    keypoints_of,
    properties_of,
    skeleton,
)
from facekit.datasets.formats import Holds
from facekit.datasets.json_text import Element, JsonText
from facekit.datasets.label_ids import LabelIds
from facekit.datasets.records import FACE, FaceRecord, ImageRecord, Provenance, Repair, safe_name
from facekit.datasets.sizes import known_size
from facekit.datasets.values import checked_size
from facekit.errors import DatasetError

__all__ = ["HOLDS", "read", "write"]

_ENCODE: Final = json.JSONEncoder(allow_nan=False).encode

HOLDS: Final = Holds(
    fields=frozenset(
        {"label", "landmarks", "scheme", "visibility", "polygons", "ignore", "size"},
    ),
    face_attributes=None,
    image_attributes=None,
    decimals=DECIMALS,
    sized=True,
    accepts=lambda _name, value: not isinstance(value, float) or math.isfinite(value),
)


def read(
    path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None
) -> Iterator[ImageRecord]:
    """Read COCO's JSON.

    Args:
        path: The JSON file.
        images: The folder of images; by default the one that holds the JSON.

    Yields:
        One record an image, in the file's order; its faces in the order of the annotations.

    Raises:
        DatasetError: If the file is malformed, with file, line and reason.
    """
    yield from _Reader(Path(path), Path(path).parent if images is None else Path(images)).records()


class _Reader:
    """Where everything stands in one file."""

    def __init__(self, file: Path, root: Path) -> None:
        self._text = JsonText(file)
        self._root = root
        self._images: dict[int, tuple[int, int]] = {}
        self._annotations: dict[int, array[int]] = {}  # of an image: start, line, start, line, ...
        self._categories: dict[int, tuple[str, str]] = {}  # label and scheme

    def records(self) -> Iterator[ImageRecord]:
        takers = {
            "images": self._take_image,
            "annotations": self._take_annotation,
            "categories": self._take_category,
        }
        for element in self._text.elements():
            if (taker := takers.get(element.key)) is not None:
                if element.number is None or not isinstance(element.value, dict):
                    raise self._error(element, f"expected a list of objects in {element.key!r}")
                taker(element)
        for key in takers:
            if key not in self._text.keys:
                raise DatasetError(self._text.path, None, f"not COCO: there is no list {key!r}")
        self._check_references()
        yield from map(self._record, self._images)

    def _error(self, element: Element, reason: str) -> DatasetError:
        return DatasetError(self._text.path, element.line, reason)

    def _id(self, element: Element, key: str) -> int:
        value = element.value.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            reason = f"{element.key}[{element.number}]: {key} must be a whole number, got {value!r}"
            raise self._error(element, reason)
        return value

    def _take_image(self, element: Element) -> None:
        number = self._id(element, "id")
        if number in self._images:
            raise self._error(element, f"the image id {number} is there twice")
        self._images[number] = (element.start, element.line)

    def _take_annotation(self, element: Element) -> None:
        places = self._annotations.setdefault(self._id(element, "image_id"), array("Q"))
        places.extend((element.start, element.line))

    def _take_category(self, element: Element) -> None:
        number, name = self._id(element, "id"), element.value.get("name")
        if number in self._categories or not isinstance(name, str) or not name:
            raise self._error(element, f"a category has an id and a name, got {element.value!r}")
        scheme = element.value.get("scheme", "")
        if not isinstance(scheme, str):
            raise self._error(element, f"a category's scheme is a name, got {scheme!r}")
        points = element.value.get("keypoints")
        if not scheme and points == keypoint_names("ibug68", 68):
            scheme = "ibug68"
        self._categories[number] = (name, scheme)

    def _check_references(self) -> None:
        for number, places in self._annotations.items():
            if number not in self._images:
                reason = f"an annotation of the image id {number}, which is not in 'images'"
                raise DatasetError(self._text.path, places[1], reason)

    def _record(self, number: int) -> ImageRecord:
        start, line = self._images[number]
        image, where = self._text.value(start), self._text.where(line)
        name = image.get("file_name")
        if not isinstance(name, str):
            raise DatasetError(where.file, line, f"file_name must be a name, got {name!r}")
        size, repairs = _size_of(image, where)
        attributes, strange = attributes_of(image.get("attributes"), where)
        faces: list[FaceRecord] = []
        repairs += strange
        places = iter(self._annotations.get(number, ()))
        for start, line in zip(places, places, strict=True):
            face, mended = self._face(start, line)
            faces.append(face)
            repairs += mended
        return ImageRecord(
            name=safe_name(name, where.file, where.line),
            root=self._root,
            size=size,
            faces=tuple(faces),
            attributes=attributes,
            source=where,
            repairs=repairs,
        )

    def _face(self, start: int, line: int) -> tuple[FaceRecord, tuple[Repair, ...]]:
        annotation = self._text.value(start)
        category = annotation.get("category_id")
        if not isinstance(category, int) or category not in self._categories:
            reason = f"category_id {category!r} is not in 'categories'"
            raise DatasetError(self._text.path, line, reason)
        label, scheme = self._categories[category]
        return face_of(annotation, label, scheme, self._text.where(line))


def _size_of(
    image: Mapping[str, Any], where: Provenance
) -> tuple[tuple[int, int] | None, tuple[Repair, ...]]:
    """Return the size of an element of ``images``, which some writers leave out."""
    height, width = image.get("height"), image.get("width")
    if height is None and width is None:
        return None, (Repair("no-size", where, "width and height are missing"),)
    return checked_size(height, width, where), ()


def write(
    records: Iterable[ImageRecord],
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    rectangles: bool = False,
) -> None:
    """Write COCO's JSON, in constant memory.

    Args:
        records: Any stream of records. The size of an image that has none is read from its
            header.
        path: The JSON file.
        labels: Every category, in the order of their ids from 1; by default ``"face"`` is 1 and
            others follow as they are met. Give them where several files must agree.
        rectangles: Whether a face without polygons gets the outline of its box as segmentation,
            for trainers that demand one.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If the size of an image is not known, a label is not among ``labels``, or
            faces of one label have landmarks of different schemes.
    """
    with (
        atomic.atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8") as file,
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=temporary.parent) as spool,
    ):
        writer = _Writer(Path(path), LabelIds(labels, first=1), spool, rectangles=rectangles)
        file.write('{"info": {"description": "written by facekit"}, "licenses": [],\n"images": [')
        for number, record in enumerate(records, start=1):
            file.write(",\n" if number > 1 else "\n")
            file.write(writer.image(record, number))
        file.write('\n],\n"annotations": [')
        for line in writer.annotations():
            file.write(line)
        file.write(f'\n],\n"categories": {writer.categories()}}}\n')


class _Writer:
    """Annotations wait in a file of their own until every image is written."""

    def __init__(self, path: Path, ids: LabelIds, spool: IO[str], *, rectangles: bool) -> None:
        self._path = path
        self._ids = ids
        self._spool = spool
        self._rectangles = rectangles
        self._count = 0
        self._points: dict[str, tuple[str, int]] = {}  # of a label: scheme, number of points

    def image(self, record: ImageRecord, number: int) -> str:
        """Return an element of ``images``, and put its annotations aside."""
        height, width = known_size(record)
        for face in record.faces:
            self._count += 1
            category = self._ids(face.label, self._path)
            annotation = {"id": self._count, "image_id": number, "category_id": category}
            annotation |= properties_of(face, rectangles=self._rectangles)
            if face.landmarks:
                annotation |= self._keypoints(face, record)
            self._spool.write(f"{0 if face.landmarks else category} {self._dump(annotation)}\n")
        image = {"id": number, "file_name": record.name, "width": width, "height": height}
        return self._dump(image | _extra(record.attributes))

    def _keypoints(self, face: FaceRecord, record: ImageRecord) -> dict[str, Any]:
        """Return the landmarks, all of one label of one scheme."""
        kind = (face.scheme, len(face.landmarks or ()))
        if self._points.setdefault(face.label, kind) != kind:
            scheme, count = self._points[face.label]
            reason = (
                f"{record.name}: COCO has one set of keypoints for each category, but faces of "
                f"{face.label!r} have {count} points of {scheme!r} and {kind[1]} of {kind[0]!r}"
            )
            raise DatasetError(self._path, None, reason)
        keypoints = keypoints_of(face)
        return {"keypoints": keypoints, "num_keypoints": sum(map(bool, keypoints[2::3]))}

    def annotations(self) -> Iterator[str]:
        """Yield the text of ``annotations``.

        COCOeval wants keypoints of every annotation in a category that has some; which those are
        is known only now.
        """
        zeros = {
            self._ids(label, self._path): f', "keypoints": {[0] * 3 * count}, "num_keypoints": 0}}'
            for label, (_, count) in self._points.items()
        }
        self._spool.seek(0)
        separator = "\n"
        for line in self._spool:
            category, _, text = line.rstrip("\n").partition(" ")
            missing = zeros.get(int(category))
            yield separator + (text if missing is None else text[:-1] + missing)
            separator = ",\n"

    def categories(self) -> str:
        """Return the text of ``categories``."""
        return self._dump([self._category(name, number) for name, number in self._ids.items()])

    def _category(self, name: str, number: int) -> dict[str, Any]:
        category: dict[str, Any] = {"id": number, "name": name, "supercategory": FACE}
        if name in self._points:
            scheme, count = self._points[name]
            category["keypoints"] = keypoint_names(scheme, count)
            category["skeleton"] = skeleton(scheme)
            category["scheme"] = scheme
        return category

    def _dump(self, value: object) -> str:
        try:
            return _ENCODE(value)
        except ValueError as error:
            reason = f"a number that JSON cannot hold in {value!r}"
            raise DatasetError(self._path, None, reason) from error


def _extra(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the key of an image's attributes, where it has some."""
    return {"attributes": dict(attributes)} if attributes else {}
