"""Format names to readers and writers: ``"wider_face:DIR"``, ``"coco:out.json"``.

A format is a module with

* ``HOLDS``: a :class:`Holds` that says what its files can say of an image and of a face,
* ``read(path, **options)``: a generator of records (absent where the format is only written),
* ``write(records, path, **options)``: writes all of them, atomically (absent where only read).

It is imported when first used. Third parties add modules by the entry-point group
``facekit.datasets``.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal, cast

from facekit.datasets.records import (
    EMPTY,
    FACE,
    FaceRecord,
    ImageRecord,
    Value,
    extent_of,
)
from facekit.datasets.sizes import with_size
from facekit.errors import (
    BackendError,
    DatasetError,
    DuplicateNameError,
    FacekitError,
    UnknownNameError,
)

__all__ = ["Format", "Holds", "Losses", "find", "formats", "parse", "read", "reduced", "write"]

GROUP = "facekit.datasets"


@dataclasses.dataclass(frozen=True)
class Format:
    """One registered format, not yet imported.

    Attributes:
        name: The word before the colon.
        target: The module.
        summary: One line for listings.
        owner: The distribution that registers it.
    """

    name: str
    target: str
    summary: str = ""
    owner: str = "facekit"

    def load(self) -> ModuleType:
        """Import the format's module.

        Raises:
            BackendError: If it cannot be imported; the cause is chained.
        """
        try:
            return importlib.import_module(self.target)
        except FacekitError:
            raise
        except Exception as error:
            # The import runs a plug-in's own code, which may raise anything.
            message = f"dataset format {self.name!r} of {self.owner} cannot be imported: {error}"
            raise BackendError(message) from error


_BUILT_IN = (
    Format("coco", "facekit.datasets.coco", "COCO's JSON: boxes, keypoints, polygons"),
    Format("csv", "facekit.datasets.table", "one face a row, with the tutorial's columns"),
    Format("dataturks", "facekit.datasets.dataturks", "Dataturks' JSON lines, images by URL"),
    Format("detectron2", "facekit.datasets.detectron2", "Detectron2's record dicts as JSON"),
    Format("ibug300w", "facekit.datasets.ibug300w", "68 points in dlib's XML; reads .pts too"),
    Format("labels", "facekit.datasets.labels", "a CSV of labels of whole images"),
    Format("mmdet", "facekit.datasets.mmdet", "MMDetection's COCO flavour"),
    Format("mmdet_voc", "facekit.datasets.mmdet_voc", "MMDetection's WIDERFaceDataset, VOC's XML"),
    Format("pts", "facekit.datasets.pts", "300-W's .pts files, one an image"),
    Format("tfrecord", "facekit.datasets.tfrecord", "TFRecord for TF Object Detection"),
    Format("voc", "facekit.datasets.voc", "PASCAL VOC's XML, one an image"),
    Format("wider_face", "facekit.datasets.wider_face", "WIDER FACE's text or official .mat"),
    Format("yolo", "facekit.datasets.yolo", "YOLO's .txt files with data.yaml"),
)


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
    accepts: Callable[[str, Value], bool] = lambda _name, _value: True


@dataclasses.dataclass
class Losses:
    """What a written file could not hold, so that nothing is lost in silence.

    Attributes:
        images: How many images were written.
        faces: How many faces were written.
        lost: How often each thing could not be held, by its name.
    """

    images: int = 0
    faces: int = 0
    lost: Counter[str] = dataclasses.field(default_factory=Counter)


def formats() -> list[Format]:
    """Return every registered format, built-in ones first, without importing any."""
    found = list(_BUILT_IN)
    for point in importlib.metadata.entry_points(group=GROUP):
        owner = point.dist.name if point.dist is not None else point.module
        found.append(Format(point.name, point.value, f"plug-in of {owner}", owner))
    return found


def find(name: str) -> Format:
    """Return the format of a name.

    Raises:
        UnknownNameError: If nobody registered it; the nearest names are in the message.
        DuplicateNameError: If two packages registered it.
    """
    matches = [one for one in formats() if one.name == name]
    if not matches:
        raise UnknownNameError("dataset format", name, {one.name for one in formats()})
    if len(matches) > 1:
        raise DuplicateNameError("dataset format", name, (one.owner for one in matches))
    return matches[0]


def parse(spec: str) -> tuple[Format, Path]:
    """Split ``"wider_face:DIR"`` into the format and the path.

    Raises:
        DatasetError: If there is no colon or no path.
        UnknownNameError: If nobody registered the format.
    """
    name, colon, path = spec.partition(":")
    if not colon or not path:
        raise DatasetError(spec, None, "write FORMAT:PATH, such as wider_face:DIR or coco:out.json")
    return find(name), Path(path)


def read(spec: str, **options: Any) -> Iterator[ImageRecord]:  # noqa: ANN401 - the format's own
    """Read a dataset, one record at a time.

    Args:
        spec: ``FORMAT:PATH``.
        **options: The format's own options.

    Returns:
        A generator of records; a file's errors come as it reaches them.

    Raises:
        UnknownNameError: If nobody registered the format.
        DatasetError: If the dataset is malformed, with file, line and reason.
    """
    chosen, path = parse(spec)
    module = chosen.load()
    if not hasattr(module, "read"):
        raise DatasetError(path, None, f"the format {chosen.name!r} can only be written")
    return cast("Iterator[ImageRecord]", module.read(path, **options))


def write(
    records: Iterable[ImageRecord],
    spec: str,
    *,
    unsized: Literal["error", "skip"] = "error",
    **options: Any,  # noqa: ANN401 - the format's own
) -> Losses:
    """Write a dataset; the target is replaced whole at the end, or left as it was.

    Args:
        records: Any stream of records; it is read once.
        spec: ``FORMAT:PATH``.
        unsized: What becomes of an image whose size the format needs and nobody knows: an error,
            or it is left out and counted among the losses.
        **options: The format's own options.

    Returns:
        What was written, and what the format could not hold.

    Raises:
        UnknownNameError: If nobody registered the format.
        OutputError: If the target cannot be written.
        DatasetError: If a record cannot be written at all.
    """
    chosen, path = parse(spec)
    module = chosen.load()
    if not hasattr(module, "write"):
        raise DatasetError(path, None, f"the format {chosen.name!r} can only be read")
    losses = Losses()
    if module.HOLDS.sized:
        records = _sized(records, losses, module.HOLDS, skip=unsized == "skip")
    try:
        module.write(_counted(records, module.HOLDS, losses), path, **options)
    except UnicodeEncodeError as error:
        text = error.object[max(0, error.start - 20) : error.end + 20]
        raise DatasetError(path, None, f"text that is not Unicode: {text!r}") from error
    losses.lost = +losses.lost  # without the things that were looked for and not lost
    return losses


def _sized(
    records: Iterable[ImageRecord], losses: Losses, holds: Holds, *, skip: bool
) -> Iterator[ImageRecord]:
    """Fill in the size of each image; leave out those without, and count them, if told to."""
    for record in records:
        needed = record.faces or holds.empty_images
        try:
            sized = with_size(record) if needed else record
        except DatasetError:
            if not skip:
                raise
            losses.lost["images of unknown size"] += 1
            continue
        yield sized


def _counted(records: Iterable[ImageRecord], holds: Holds, losses: Losses) -> Iterator[ImageRecord]:
    """Pass on what the format can hold of each record, and count the rest."""
    for record in records:
        kept = reduced(record, holds, losses.lost)
        if not kept.faces and not holds.empty_images:
            losses.lost["images without faces"] += 1
            continue
        losses.images += 1
        losses.faces += len(kept.faces)
        yield kept


def reduced(record: ImageRecord, holds: Holds, lost: Counter[str] | None = None) -> ImageRecord:
    """Return what a format can hold of a record: what reading it back gives.

    Args:
        record: Any record.
        holds: What the format can say.
        lost: Counts what is left out, by field or ``attributes.NAME``.
    """
    counter: Counter[str] = Counter() if lost is None else lost
    if not holds.faces:
        counter["faces"] += len(record.faces)
        record = record.replace(faces=())
    if holds.points_only:
        record = _only_points(record, counter)
    changes: dict[str, Any] = {}
    for name in ("size", "data"):
        if getattr(record, name) is not None and name not in holds.fields:
            changes[name] = None
            counter[name] += name == "data"
    changes["attributes"] = _kept(record.attributes, holds, counter, "image ")
    faces = record.faces
    if holds.inside and record.size is not None:
        cut = (_inside(face, record.size, counter) for face in faces)
        faces = tuple(face for face in cut if face.width > 0 and face.height > 0)
        counter["faces without area in the image"] += len(record.faces) - len(faces)
    changes["faces"] = tuple(_reduced_face(face, holds, counter) for face in faces)
    return record.replace(**changes)


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
    "ignore": False,
}


def _reduced_face(face: FaceRecord, holds: Holds, lost: Counter[str]) -> FaceRecord:
    """Return what a format can hold of a face."""
    changes: dict[str, Any] = {}
    for name, absent in _ABSENT.items():
        if name not in holds.fields and getattr(face, name) != absent:
            changes[name] = absent
            # A box without area comes back as ignored, with or without a word for it.
            lost[name] += name != "ignore" or (face.width > 0 and face.height > 0)
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
