"""What a format's files can say, and what of a record is left where they cannot say it all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from facekit.datasets.records import (
    EMPTY,
    FACE,
    FaceColumns,
    FaceRecord,
    Faces,
    ImageRecord,
    Value,
    extent_of,
)

__all__ = ["Holds", "reduced"]


def _anything(_name: str, _value: Value) -> bool:
    """Accept every attribute."""
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holds:
    """What a format's files can say.

    Attributes:
        fields: Names of :class:`FaceRecord` and :class:`ImageRecord` fields beside boxes and
            names: ``label``, ``landmarks``, ``scheme``, ``visibility``, ``polygons``, ``ignore``,
            ``size``, ``data``.
        face_attributes: The attributes of a face that it holds; ``None`` for any.
        image_attributes: The attributes of an image that it holds; ``None`` for any.
        decimals: Decimals of a box's and a landmark's coordinate in pixels; ``None`` for all.
        empty_images: Whether an image without faces can be written; one that cannot is left out.
        points_only: Whether the landmarks of one face are all that it says of a ``.jpg`` image;
            the box is then their extent.
        schemes: The schemes of the landmarks that it holds; ``None`` for any.
        sized: Whether the size of every image must be known, from the record or the image.
        inside: Whether boxes are cut off at the image's borders, and faces of which nothing is
            left are left out; needs ``sized``.
        face_defaults: Attributes that every face has in a file, with what is written where the
            record says nothing of them.
        ignore_attribute: The attribute that is 1 where ``ignore`` is true, by its name, or ``""``.
        faces: Whether faces are held at all, not only what is true of the image.
        accepts: Whether an attribute that is held, by its name, can have a value.
    """

    fields: frozenset[str] = frozenset()
    face_attributes: frozenset[str] | None = frozenset()
    image_attributes: frozenset[str] | None = frozenset()
    decimals: int | None = None
    empty_images: bool = True
    points_only: bool = False
    schemes: frozenset[str] | None = None
    sized: bool = False
    inside: bool = False
    # Python 3.11 takes a mapping proxy for a mutable default.
    face_defaults: Mapping[str, Value] = dataclasses.field(default_factory=lambda: EMPTY)
    ignore_attribute: str = ""
    faces: bool = True
    accepts: Callable[[str, Value], bool] = _anything


def reduced(record: ImageRecord, holds: Holds, lost: Counter[str] | None = None) -> ImageRecord:
    """Return what a format can hold of a record: what reading it back gives.

    A format without a word for ignored faces gets none of them: there they would be faces to find.
    Other converters leave out COCO's crowds likewise.

    Args:
        record: Any record.
        holds: What the format can say.
        lost: Counts what is left out, by field or ``attributes.NAME``.
    """
    counter: Counter[str] = Counter() if lost is None else lost
    if not holds.faces:
        counter["faces"] += len(record.faces)
        record = record.replace(faces=())
    if "ignore" not in holds.fields and record.ignored.any():
        counter["ignored faces"] += int(record.ignored.sum())
        record = record.replace(faces=_heeded(record.faces))
    if holds.points_only:
        record = _only_points(record, counter)
    changes: dict[str, Any] = {}
    for name in ("size", "data"):
        if getattr(record, name) is not None and name not in holds.fields:
            changes[name] = None
            counter[name] += name == "data"
    changes["attributes"] = _kept(record.attributes, holds, counter, "image ")
    changes["faces"] = _reduced_faces(record, holds, counter)
    return record.replace(**changes)


def _heeded(faces: Faces) -> Faces:
    """Return the faces that are not ignored."""
    if isinstance(faces, FaceColumns):
        return faces.take(~faces.ignore)
    return tuple(face for face in faces if not face.ignore)


def _reduced_faces(record: ImageRecord, holds: Holds, counter: Counter[str]) -> Faces:
    """Return what a format can hold of an image's faces."""
    faces = record.faces
    if isinstance(faces, FaceColumns) and _holds_all(faces, record.size, holds):
        return faces
    if holds.inside and record.size is not None:
        cut = (_inside(face, record.size, counter) for face in faces)
        faces = tuple(face for face in cut if face.width > 0 and face.height > 0)
        counter["faces without area in the image"] += len(record.faces) - len(faces)
    kept = tuple(_reduced_face(face, holds, counter) for face in faces)
    if "ignore" in holds.fields or holds.points_only:
        return kept
    # Readers ignore a face without area, which this format has no word for.
    some = _heeded(kept)
    counter["faces without area"] += len(kept) - len(some)
    return some


def _holds_all(faces: FaceColumns, size: tuple[int, int] | None, holds: Holds) -> bool:
    """Tell whether a format can hold faces as they are, without making objects of them."""
    names = set(faces.names)
    return (
        names <= (names if holds.face_attributes is None else holds.face_attributes)
        and names >= {*holds.face_defaults, *filter(None, [holds.ignore_attribute])}
        and _holds_boxes(faces, size if holds.inside else None, holds.decimals)
        and _holds_ignore(faces, holds)
        and _accepts_all(faces, holds)
    )


def _holds_boxes(faces: FaceColumns, size: tuple[int, int] | None, decimals: int | None) -> bool:
    """Tell whether no box would be rounded, or lose anything at the borders of a size."""
    boxes = faces.boxes
    if size is not None:
        x1, y1, x2, y2 = boxes.T
        inside = (x1 >= 0) & (y1 >= 0) & (x2 <= size[1]) & (y2 <= size[0])
        if not (inside & (x2 > x1) & (y2 > y1)).all():
            return False
    return decimals is None or np.array_equal(np.round(boxes, decimals), boxes)


def _holds_ignore(faces: FaceColumns, holds: Holds) -> bool:
    """Tell whether all that is ignored, and nothing else, would come back as ignored."""
    x1, y1, x2, y2 = faces.boxes.T
    empty = (x2 <= x1) | (y2 <= y1)
    if "ignore" not in holds.fields:
        return not (faces.ignore | empty).any()
    said = faces.ignore
    if holds.ignore_attribute:
        said = faces.attributes[holds.ignore_attribute] == 1
    return bool((faces.ignore & (empty | said) | ~faces.ignore & ~empty & ~said).all())


def _accepts_all(faces: FaceColumns, holds: Holds) -> bool:
    """Tell whether every attribute can have the values that it has."""
    if holds.accepts is _anything:
        return True
    return all(
        holds.accepts(name, value)
        for name, column in faces.attributes.items()
        for value in set(column.tolist())
    )


def _inside(face: FaceRecord, size: tuple[int, int], lost: Counter[str]) -> FaceRecord:
    """Return a face whose box is cut off at the image's borders."""
    height, width = size
    x1, x2 = (min(max(x, 0), width) for x in face.box[::2])
    y1, y2 = (min(max(y, 0), height) for y in face.box[1::2])
    lost["parts of boxes outside the image"] += (x1, y1, x2, y2) != face.box
    return dataclasses.replace(face, box=(x1, y1, x2, y2))


_ABSENT: dict[str, Any] = {
    "label": FACE,
    "landmarks": None,
    "scheme": "",
    "visibility": None,
    "polygons": None,
}


def _reduced_face(face: FaceRecord, holds: Holds, lost: Counter[str]) -> FaceRecord:
    """Return what a format can hold of a face."""
    changes: dict[str, Any] = {}
    for name, absent in _ABSENT.items():
        if name not in holds.fields and getattr(face, name) != absent:
            changes[name] = absent
            lost[name] += 1
    if holds.schemes is not None and face.landmarks and face.scheme not in holds.schemes:
        changes.update(landmarks=None, scheme="", visibility=None)
        lost[f"landmarks of the scheme {face.scheme!r}"] += 1
    changes["attributes"] = _kept(face.attributes, holds, lost, "")
    if holds.face_defaults:
        changes["attributes"] = {**holds.face_defaults, **changes["attributes"]}
    exact = dataclasses.replace(face, **changes)
    rounded = exact if holds.decimals is None else _rounded(exact, holds.decimals)
    lost["coordinate decimals"] += rounded != exact
    return _flagged(rounded, holds)


def _flagged(face: FaceRecord, holds: Holds) -> FaceRecord:
    """Return a face that says by ``ignore`` and by the attribute that it is to be ignored."""
    if face.width <= 0 or face.height <= 0:
        # Every reader ignores a box without area, whatever else is said of it.
        return face if holds.points_only else dataclasses.replace(face, ignore=True)
    if not holds.ignore_attribute:
        return face
    ignore = face.ignore or face.attributes.get(holds.ignore_attribute) == 1
    attributes = {**face.attributes, holds.ignore_attribute: int(ignore)}
    return dataclasses.replace(face, ignore=ignore, attributes=attributes)


def _rounded(face: FaceRecord, decimals: int) -> FaceRecord:
    """Return a face with its box and landmarks rounded."""
    x1, y1, x2, y2 = (round(value, decimals) for value in face.box)
    landmarks = face.landmarks
    if landmarks is not None:
        landmarks = tuple((round(x, decimals), round(y, decimals)) for x, y in landmarks)
    return dataclasses.replace(face, box=(x1, y1, x2, y2), landmarks=landmarks)


def _only_points(record: ImageRecord, lost: Counter[str]) -> ImageRecord:
    """Return what is left when only the landmarks of one face can be said."""
    marked = [face for face in record.faces if face.landmarks]
    lost["faces without landmarks"] += len(record.faces) - len(marked)
    lost["faces after the first of an image"] += max(0, len(marked) - 1)
    faces = []
    for face in marked[:1]:
        extent = extent_of(face.landmarks or ())
        lost["box"] += extent != face.box
        faces.append(dataclasses.replace(face, box=extent))
    name = str(PurePosixPath(record.name).with_suffix(".jpg"))
    lost["image suffix"] += name != record.name
    return record.replace(name=name, faces=tuple(faces))


def _kept(
    attributes: Mapping[str, Value], holds: Holds, lost: Counter[str], prefix: str
) -> Mapping[str, Value]:
    """Return the attributes of a face, or of an image, that a format has a place for."""
    names = holds.image_attributes if prefix else holds.face_attributes
    kept = {
        name: value
        for name, value in attributes.items()
        if (names is None or name in names) and holds.accepts(name, value)
    }
    for name in attributes:
        if name not in kept:
            lost[f"{prefix}attributes.{name}"] += 1
    return kept or EMPTY
