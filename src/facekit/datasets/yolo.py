"""YOLO: a ``.txt`` an image, a line a face: ``class cx cy width height``, fractions of the image.

::

    data.yaml            names: {0: face} and the lists: train: train.txt
    train.txt            one line an image: ./images/a/1.jpg
    images/a/1.jpg
    labels/a/1.txt       0 0.5 0.5 0.25 0.4

This is what Ultralytics reads, which drops an image with any coordinate outside: so boxes are cut
off at the borders. Reading needs the images, or their headers at least: their size is in no file.
Files without lists, with ``images`` and ``labels`` side by side or mixed, are read as well; there
the labels' files are read in the order of their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from facekit import atomic
from facekit.datasets.files import open_text
from facekit.datasets.folders import image_of, made
from facekit.datasets.formats import Holds
from facekit.datasets.label_ids import LabelIds
from facekit.datasets.malformed import OnMalformed, refuse
from facekit.datasets.records import (
    FaceRecord,
    ImageRecord,
    Provenance,
    Repair,
    extent_of,
    safe_name,
)
from facekit.datasets.sizes import known_size, with_size
from facekit.datasets.values import checked_box, empty_box
from facekit.datasets.yolo_settings import SETTINGS, checked_names, class_names, read_settings
from facekit.errors import DatasetError

__all__ = ["HOLDS", "read", "write"]

_DECIMALS: Final = 4
_FRACTION_DECIMALS: Final = 10
_SPLITS: Final = ("train", "val", "test")
_LARGEST: Final = 1.01  # what rounding makes of 1
_BOX_COLUMNS: Final = 5

HOLDS: Final = Holds(
    fields=frozenset({"label", "size"}), decimals=_DECIMALS, sized=True, inside=True
)


def read(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    images: str | os.PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
    on_malformed: OnMalformed = refuse,
) -> Iterator[ImageRecord]:
    """Read YOLO's files.

    Args:
        path: The dataset's folder.
        split: ``"train"``, ``"val"`` or ``"test"``; by default every one.
        images: The folder of images; by default ``images``.
        labels: The names of the classes; by default those of ``data.yaml`` or ``classes.txt``.
        on_malformed: Takes the error of each malformed line, and of each image whose size is not
            known, which are left out; by default the first one is raised.

    Yields:
        One record an image that has a file of labels; an empty file is an image without faces.
        An outline, as for segmentation, becomes a polygon and the box around it.

    Raises:
        DatasetError: If a line is malformed, with file, line and reason; or an image is missing.
    """
    place = Path(path)
    names = class_names(place) if labels is None else dict(enumerate(labels))
    folder = place / "labels" if (place / "labels").is_dir() else place
    beside = place / "images" if (place / "images").is_dir() else place
    root = beside if images is None else Path(images)
    lists = [place / f"{one}.txt" for one in ((split,) if split else _SPLITS)]
    if lists := [one for one in lists if one.is_file()]:
        for file in lists:
            yield from _Reader(folder, root, names, on_malformed).listed(file)
        return
    if split is not None:
        folder, root = _split_folders(place, split, images)
    yield from _Reader(folder, root, names, on_malformed).found()


def _split_folders(
    place: Path, split: str, images: str | os.PathLike[str] | None
) -> tuple[Path, Path]:
    """Return the folders of labels and images of a split that has no list."""
    for labels, beside in (("labels/{}", "images/{}"), ("{}/labels", "{}/images")):
        if (folder := place / labels.format(split)).is_dir():
            return folder, place / beside.format(split) if images is None else Path(images)
    raise DatasetError(place, None, f"there is no {split}.txt and no labels/{split}")


def _image(file: Path, stem: PurePosixPath, root: Path) -> str:
    """Return the name of the image of a file of labels."""
    name = image_of(stem, root)
    if name is None:
        reason = f"no image {stem} in {root}; its size is needed, name the folder by images=DIR"
        raise DatasetError(file, None, reason)
    return name


class _Reader:
    """Files of labels, the images that they belong to, and what is done about malformed lines."""

    def __init__(
        self, folder: Path, root: Path, names: dict[int, str], on_malformed: OnMalformed
    ) -> None:
        self._folder = folder
        self._root = root
        self._names = names
        self._on_malformed = on_malformed

    def listed(self, file: Path) -> Iterator[ImageRecord]:
        """Read the images of a list."""
        with open_text(file) as lines:
            for number, line in enumerate(lines, start=1):
                text = line.strip().replace("\\", "/").removeprefix("./").removeprefix("images/")
                if not text:
                    continue
                try:
                    record = self._listed(text, Provenance(str(file), number))
                except DatasetError as error:
                    self._on_malformed(error)
                else:
                    yield record

    def _listed(self, text: str, source: Provenance) -> ImageRecord:
        name = safe_name(text, source.file, source.line)
        labels = self._folder / PurePosixPath(name).with_suffix(".txt")
        if labels.is_file():
            return self._record(labels, name)
        # YOLO's way to say that an image has no objects.
        return with_size(ImageRecord(name=name, root=self._root, source=source))

    def found(self) -> Iterator[ImageRecord]:
        """Read the files of labels that there are."""
        for file in sorted(self._folder.rglob("*.txt")):
            if file.name in {"classes.txt", *(f"{one}.txt" for one in _SPLITS)}:
                continue
            inside = file.relative_to(self._folder).with_suffix("")
            try:
                name = _image(file, PurePosixPath(inside.as_posix()), self._root)
                record = self._record(file, name)
            except DatasetError as error:
                self._on_malformed(error)
            else:
                yield record

    def _record(self, file: Path, name: str) -> ImageRecord:
        """Read the labels of an image."""
        source = Provenance(str(file), 1)
        record = ImageRecord(name=name, root=self._root, source=source)
        size = known_size(record)
        faces: list[FaceRecord] = []
        repairs: list[Repair] = []
        with open_text(file) as lines:
            for number, line in enumerate(lines, start=1):
                where = Provenance(str(file), number)
                try:
                    faces += (
                        [_face(words, where, size, self._names)] if (words := line.split()) else []
                    )
                except DatasetError as error:
                    self._on_malformed(error)
                    continue
        for face in faces:
            repairs += empty_box(face.box, Provenance(str(file), face.line))
        return record.replace(size=size, faces=tuple(faces), repairs=tuple(repairs))


def _face(
    words: list[str], where: Provenance, size: tuple[int, int], names: dict[int, str]
) -> FaceRecord:
    """Return the face of a line."""
    label = names.get(int(words[0])) if words[0].isdecimal() else None
    if label is None:
        reason = f"expected a class, 0 to {len(names) - 1}, got {words[0]!r}"
        raise DatasetError(where.file, where.line, reason)
    values = _fractions(words, where)
    height, width = size
    if len(words) == _BOX_COLUMNS:
        x, y, w, h = values
        top_left = ((x - w / 2) * width, (y - h / 2) * height)
        corners = (*top_left, (x + w / 2) * width, (y + h / 2) * height)
        polygons = None
    else:
        pixels = [
            round(value * (height if i % 2 else width), _DECIMALS) for i, value in enumerate(values)
        ]
        corners = extent_of(zip(pixels[::2], pixels[1::2], strict=True))
        polygons = (tuple(pixels),)
    box = checked_box([round(value, _DECIMALS) for value in corners], where)
    ignore = bool(empty_box(box, where))
    return FaceRecord(box=box, label=label, polygons=polygons, ignore=ignore, line=where.line)


def _fractions(words: list[str], where: Provenance) -> list[float]:
    """Return the numbers after the class: four of a box, or three and more points."""
    outline = len(words) > _BOX_COLUMNS + 1 and len(words) % 2
    if len(words) != _BOX_COLUMNS and not outline:
        reason = f"expected a class and 4 numbers, or 3 and more points, got {' '.join(words)!r}"
        raise DatasetError(where.file, where.line, reason)
    for word in words[1:]:
        try:
            good = 1 - _LARGEST <= float(word) <= _LARGEST
        except ValueError:
            good = False
        if not good:
            reason = f"expected fractions of the image, 0 to 1, got {word!r}"
            raise DatasetError(where.file, where.line, reason)
    return [float(word) for word in words[1:]]


def write(
    records: Iterable[ImageRecord],
    path: str | os.PathLike[str],
    *,
    split: str = "train",
    labels: Sequence[str] | None = None,
) -> None:
    """Write YOLO's files; each is replaced whole, ``data.yaml`` last.

    A second split goes into the same folder, and its classes have the numbers of the first.

    Args:
        records: Any stream of records. Boxes are to lie inside their images, as
            :func:`facekit.datasets.write` cuts them. The size of an image that has none is read
            from its header.
        path: The dataset's folder; made where it is missing. Images are not copied.
        split: The list that is written: ``"train"``, ``"val"`` or ``"test"``.
        labels: Every class, in order; by default those of an earlier split, or ``"face"`` first
            and others as they are met.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: If the size of an image is not known, a label is not among ``labels``, or
            two images need one file.
    """
    folder = made(Path(path))
    settings, ids = _earlier(folder / SETTINGS[0], labels)
    written: set[str] = set()
    with (
        atomic.atomic_path(folder / f"{split}.txt") as temporary,
        temporary.open("w", encoding="utf-8") as lines,
    ):
        for record in records:
            name = safe_name(record.name, path)
            target = str(PurePosixPath(name).with_suffix(".txt"))
            if target in written or len(name.splitlines()) != 1:
                reason = f"{name!r}: its labels have no file of their own, {target!r} is taken"
                raise DatasetError(path, None, reason)
            written.add(target)
            file = folder / "labels" / target
            atomic.write_text(made(file.parent) / file.name, _text(record, ids, folder))
            lines.write(f"./images/{name}\n")
    settings |= {split: f"{split}.txt", "names": {number: name for name, number in ids.items()}}
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    atomic.write_text(folder / SETTINGS[0], text)


def _earlier(file: Path, labels: Sequence[str] | None) -> tuple[dict[str, Any], LabelIds]:
    """Return what ``data.yaml`` says already, and the numbers of the classes."""
    if not file.is_file():
        return {}, LabelIds(labels, first=0)
    settings = read_settings(file)
    known = list(checked_names(settings.get("names"), file).values())
    return settings, LabelIds.continued(known, labels, first=0, file=file)


def _text(record: ImageRecord, ids: LabelIds, target: Path) -> str:
    """Return the lines of an image."""
    height, width = known_size(record)
    rows = []
    for face in record.faces:
        x1, y1, x2, y2 = face.box
        middle = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
        values = (*middle, face.width / width, face.height / height)
        rows.append(f"{ids(face.label, target)} {' '.join(map(_plain, values))}\n")
    return "".join(rows)


def _plain(value: float) -> str:
    """Return a fraction without an exponent."""
    return f"{value:.{_FRACTION_DECIMALS}f}".rstrip("0").rstrip(".")
