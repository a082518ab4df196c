"""Format names to readers and writers: ``"wider_face:DIR"``, ``"coco:out.json"``.

A format is a module with

* ``HOLDS``: a :class:`Holds` that says what its files can say of an image and of a face,
* ``read(path, **options)``: a generator of records (absent where the format is only written);
  where it can go on after a malformed line, it takes ``on_malformed``, as in
  :mod:`facekit.datasets.malformed`,
* ``write(records, path, **options)``: writes all of them, atomically (absent where only read).

It is imported when first used. Third parties add modules by the entry-point group
``facekit.datasets``.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from facekit.datasets.holds import Holds, reduced
from facekit.datasets.malformed import OPTION, OnMalformed, takes_it
from facekit.datasets.records import ImageRecord
from facekit.datasets.sizes import with_size
from facekit.errors import (
    BackendError,
    DatasetError,
    DuplicateNameError,
    FacekitError,
    UnknownNameError,
)

__all__ = [
    "Format",
    "Holds",
    "Losses",
    "find",
    "formats",
    "going_on",
    "parse",
    "read",
    "reduced",
    "write",
]

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


def going_on(spec: str, on_malformed: OnMalformed) -> dict[str, OnMalformed]:
    """Return the option that lets a reader go on after malformed lines; none where it has none.

    Args:
        spec: ``FORMAT:PATH``.
        on_malformed: Takes the error of each malformed line.
    """
    function = getattr(parse(spec)[0].load(), "read", None)
    return {OPTION: on_malformed} if function is not None and takes_it(function) else {}


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
        except DatasetError as error:
            if not skip:
                raise _with_remedy(error, record) from error
            losses.lost["images of unknown size"] += 1
            continue
        yield sized


def _with_remedy(error: DatasetError, record: ImageRecord) -> DatasetError:
    """Return the error of an image whose size is not known, with what can be done about it."""
    if record.path is None:
        return error  # it names the folder of images, of which nothing is known
    remedy = "'facekit dataset check SRC --fix DST --drop-missing' leaves such images out"
    return DatasetError(error.file, error.line, f"{error.reason}; {remedy}")


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
