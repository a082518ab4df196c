"""Detectron2's record dicts, as JSON and one by one.

The file is a list of what Detectron2 calls standard dataset dicts, so that ``json.load`` of it is
what ``DatasetCatalog`` wants. Boxes are ``XYXY_ABS`` (0), categories count from 0, points are
continuous pixels as everywhere in facekit, and ``iscrowd`` is ``ignore``: its mapper leaves those
out. Its mask models want a polygon of every face, so a face without any gets the four corners of
its box. What Detectron2 has no place for stands under keys that it passes over: ``label``,
``scheme`` and ``attributes``.

Writing takes constant memory; reading keeps the file's text in memory.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from facekit import atomic
from facekit.datasets.coco_objects import (
    attributes_of,
    keypoints_of,
    outline,
    points_of,
    polygons_of,
)
from facekit.datasets.formats import Holds
from facekit.datasets.json_text import Element, JsonText
from facekit.datasets.label_ids import LabelIds
from facekit.datasets.records import FACE, FaceRecord, ImageRecord, Provenance, Repair, safe_name
from facekit.datasets.sizes import known_size
from facekit.datasets.values import checked_box, checked_size, empty_box, numbers
from facekit.errors import DatasetError

__all__ = ["HOLDS", "XYXY_ABS", "dicts", "read", "write"]

XYXY_ABS: Final = 0
XYWH_ABS: Final = 1

HOLDS: Final = Holds(
    fields=frozenset(
        {"label", "landmarks", "scheme", "visibility", "polygons", "ignore", "size"},
    ),
    face_attributes=None,
    image_attributes=None,
    decimals=6,
    sized=True,
    accepts=lambda _name, value: not isinstance(value, float) or math.isfinite(value),
)


def dicts(
    records: Iterable[ImageRecord],
    *,
    labels: Sequence[str] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield Detectron2's dicts.

    Args:
        records: Any stream of records. The size of an image that has none is read from its
            header.
        labels: ``thing_classes``, in order; by default ``"face"`` first and others as they are
            met.
        root: The folder of images, put before their names; by default names are written as they
            are.

    Yields:
        One dict an image: ``file_name``, ``image_id``, ``height``, ``width``, ``annotations``.

    Raises:
        DatasetError: If the size of an image is not known, or a label is not among ``labels``.
    """
    ids = LabelIds(labels, first=0)
    for number, record in enumerate(records):
        height, width = known_size(record)
        yield {
            "file_name": record.name if root is None else str(Path(root) / record.name),
            "image_id": number,
            "height": height,
            "width": width,
            "annotations": [_annotation(face, ids, record) for face in record.faces],
            **({"attributes": dict(record.attributes)} if record.attributes else {}),
        }


def _annotation(face: FaceRecord, ids: LabelIds, record: ImageRecord) -> dict[str, Any]:
    """Return a face as an element of ``annotations``."""
    annotation = {
        "bbox": list(face.box),
        "bbox_mode": XYXY_ABS,
        "category_id": ids(face.label, record.name),
        "label": face.label,
        "iscrowd": int(face.ignore),
        "segmentation": [list(one) for one in face.polygons or (outline(face.box),)],
    }
    if face.landmarks:
        annotation |= {"keypoints": keypoints_of(face), "scheme": face.scheme}
    return annotation | ({"attributes": dict(face.attributes)} if face.attributes else {})


def write(
    records: Iterable[ImageRecord],
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> None:
    """Write a JSON list of Detectron2's dicts, one a line.

    Args:
        records: See :func:`dicts`.
        path: The JSON file.
        labels: See :func:`dicts`.
        root: See :func:`dicts`.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: As of :func:`dicts`, or if JSON cannot hold a number.
    """
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        separator = "[\n"
        for one in dicts(records, labels=labels, root=root):
            try:
                file.write(separator + json.dumps(one, allow_nan=False))
            except ValueError as error:
                reason = f"{one['file_name']}: a number that JSON cannot hold"
                raise DatasetError(path, None, reason) from error
            separator = ",\n"
        file.write("\n]\n" if separator == ",\n" else "[]\n")


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    labels: Sequence[str] = (FACE,),
) -> Iterator[ImageRecord]:
    """Read a JSON list of Detectron2's dicts.

    Args:
        path: The JSON file.
        images: The folder of images; by default the one that holds the JSON. A name that lies
            in it may be written as absolute.
        labels: ``thing_classes``, for files that facekit has not written: theirs have no
            ``label``.

    Yields:
        One record a dict, in the file's order.

    Raises:
        DatasetError: If the file is malformed, with file, line and reason.
    """
    text = JsonText(path)
    root = Path(path).parent if images is None else Path(images)
    for element in text.elements():
        where = text.where(element.line)
        if element.key or not isinstance(element.value, dict):
            raise DatasetError(where.file, where.line, "expected a list of Detectron2's dicts")
        yield _record(element, where, root, labels)


def _record(element: Element, where: Provenance, root: Path, labels: Sequence[str]) -> ImageRecord:
    """Return the record of a dict."""
    name, annotations = element.value.get("file_name"), element.value.get("annotations", [])
    if not isinstance(name, str) or not isinstance(annotations, list):
        reason = f"expected a file_name and a list of annotations, got {name!r}"
        raise DatasetError(where.file, where.line, reason)
    attributes, repairs = attributes_of(element.value.get("attributes"), where)
    faces = []
    for annotation in annotations:
        if not isinstance(annotation, dict):
            reason = f"{name}: an annotation must be a dict, got {annotation!r}"
            raise DatasetError(where.file, where.line, reason)
        face, mended = _face(annotation, where, labels)
        faces.append(face)
        repairs += mended
    inside = Path(name).relative_to(root) if Path(name).is_relative_to(root) else Path(name)
    return ImageRecord(
        name=safe_name(inside.as_posix(), where.file, where.line),
        root=root,
        size=checked_size(element.value.get("height"), element.value.get("width"), where),
        faces=tuple(faces),
        attributes=attributes,
        source=where,
        repairs=repairs,
    )


def _face(
    annotation: Mapping[str, Any], where: Provenance, labels: Sequence[str]
) -> tuple[FaceRecord, tuple[Repair, ...]]:
    """Return the face of an annotation."""
    x1, y1, x2, y2 = numbers(annotation.get("bbox"), where, "bbox", 4)
    mode = annotation.get("bbox_mode")
    if mode not in (XYXY_ABS, XYWH_ABS):
        reason = f"bbox_mode must be XYXY_ABS ({XYXY_ABS}) or XYWH_ABS ({XYWH_ABS}), got {mode!r}"
        raise DatasetError(where.file, where.line, reason)
    if mode == XYWH_ABS:
        x2, y2 = round(x1 + x2, 6), round(y1 + y2, 6)
    box = checked_box((x1, y1, x2, y2), where)
    polygons, dropped = polygons_of(annotation.get("segmentation"), where)
    landmarks, visibility = points_of(annotation.get("keypoints"), where)
    attributes, strange = attributes_of(annotation.get("attributes"), where)
    crowd, scheme = annotation.get("iscrowd", 0), annotation.get("scheme", "")
    if crowd not in (0, 1) or not isinstance(scheme, str):
        reason = f"iscrowd must be 0 or 1 and scheme a name, got {crowd!r} and {scheme!r}"
        raise DatasetError(where.file, where.line, reason)
    empty = empty_box(box, where)
    face = FaceRecord(
        box=box,
        label=_label(annotation, where, labels),
        landmarks=landmarks,
        scheme=(scheme or f"points{len(landmarks)}") if landmarks else "",
        visibility=visibility,
        polygons=None if polygons == (tuple(outline(box)),) else polygons,
        attributes=attributes,
        ignore=bool(crowd) or bool(empty),
        line=where.line,
    )
    return face, empty + dropped + strange


def _label(annotation: Mapping[str, Any], where: Provenance, labels: Sequence[str]) -> str:
    """Return the label of an annotation, by name or by number."""
    number, label = annotation.get("category_id"), annotation.get("label")
    whole = isinstance(number, int) and not isinstance(number, bool)
    if isinstance(label, str) and label and whole:
        return label
    if label is not None or not whole or not 0 <= number < len(labels):  # type: ignore[operator]
        reason = f"category_id must be 0 to {len(labels) - 1}, as in labels, got {number!r}"
        raise DatasetError(where.file, where.line, reason)
    return labels[number]  # type: ignore[index]
