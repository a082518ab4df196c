"""WIDER FACE's official ``.mat`` annotations, and how they differ from the text.

The ``.mat`` is a tree of cells: 61 events, their images, and for each image an ``n x 4`` array of
``x y width height`` and one column for each attribute. Its boxes have fractions and may begin left
of or above the image; the text has the same faces in the same order, mostly rounded. An image
without faces has one box of zeros, which is kept, ignored, as the ``.mat`` itself counts it.
scipy reads the file whole: memory grows with it (39,708 faces take some ten megabytes).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit.datasets import wider_face
from facekit.datasets.records import (
    FaceColumns,
    FaceRecord,
    Faces,
    ImageRecord,
    Provenance,
    Repair,
    safe_name,
)
from facekit.datasets.wider_face import ATTRIBUTES, LARGEST
from facekit.errors import DatasetError, MissingDependencyError

__all__ = ["Comparison", "compare_text_and_mat", "read_mat"]

_INSTALL: Final = 'pip install "facekit[eval]"'
_REQUIRED: Final = ("event_list", "file_list", "face_bbx_list")
_FARTHEST: Final = 1e9
_COORDINATES: Final = 4


def read_mat(path: str | os.PathLike[str], root: Path | None = None) -> Iterator[ImageRecord]:
    """Read an official ``.mat``, such as ``wider_face_val.mat``.

    Args:
        path: The file.
        root: The folder of images.

    Yields:
        One record an image, in the file's order. A face whose ``invalid`` is 1, or that has no
        area, has ``ignore``. There are no line numbers.

    Raises:
        MissingDependencyError: If scipy is not installed.
        DatasetError: If the file cannot be read or has another shape.
    """
    cells = _load(Path(path))
    try:
        yield from _Tree(str(path), cells, root).records()
    except (IndexError, TypeError, AttributeError) as error:
        raise DatasetError(path, None, f"not WIDER FACE's tree of cells: {error}") from error


def _load(path: Path) -> dict[str, Any]:
    """Read the cells that are needed, as scipy returns them."""
    try:
        from scipy.io import loadmat  # noqa: PLC0415 - optional package
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "scipy":
            raise
        raise MissingDependencyError("WIDER FACE's .mat", "scipy", _INSTALL) from error
    if not path.is_file():
        raise DatasetError(path, None, "no such file")
    names = [*_REQUIRED, *(f"{name}_label_list" for name in ATTRIBUTES)]
    try:
        cells: dict[str, Any] = loadmat(path, variable_names=names, appendmat=False)
    except Exception as error:
        # scipy raises whatever its parser stumbles over: ValueError, TypeError, zlib.error, ...
        raise DatasetError(path, None, f"scipy cannot read it: {error}") from error
    if missing := [name for name in _REQUIRED if name not in cells]:
        raise DatasetError(path, None, f"{', '.join(missing)} missing; WIDER FACE's .mat has them")
    return cells


class _Tree:
    """The cells of a file, walked in its own order."""

    def __init__(self, file: str, cells: Mapping[str, Any], root: Path | None) -> None:
        self._file = file
        self._cells = cells
        self._root = root
        self._labels = {
            name: f"{name}_label_list" for name in ATTRIBUTES if f"{name}_label_list" in cells
        }

    def _error(self, image: str, reason: str) -> DatasetError:
        return DatasetError(self._file, None, f"{image}: {reason}")

    def records(self) -> Iterator[ImageRecord]:
        source = Provenance(self._file)
        for event, (label,) in enumerate(self._cells["event_list"]):
            folder = str(label[0])
            files = self._cells["file_list"][event, 0]
            boxes = self._cells["face_bbx_list"][event, 0]
            if len(files) != len(boxes):
                raise self._error(folder, f"{len(files)} files, but boxes of {len(boxes)}")
            for image in range(len(files)):
                name = safe_name(f"{folder}/{files[image, 0][0]}.jpg", self._file)
                faces = self._faces(name, boxes[image, 0], self._columns(name, event, image))
                yield ImageRecord(
                    name=name,
                    root=self._root,
                    faces=faces,
                    source=source,
                    repairs=_repairs(name, faces, source),
                )

    def _columns(self, image: str, event: int, number: int) -> dict[str, list[int]]:
        columns = {}
        for name, key in self._labels.items():
            values = np.asarray(self._cells[key][event, 0][number, 0]).ravel().tolist()
            if not all(value in range(LARGEST.get(name, 1) + 1) for value in values):
                raise self._error(image, f"{name} must be 0 to {LARGEST.get(name, 1)}")
            columns[name] = [int(value) for value in values]
        return columns

    def _faces(
        self,
        image: str,
        boxes: npt.ArrayLike,
        columns: Mapping[str, list[int]],
    ) -> Faces:
        rows = np.atleast_2d(np.asarray(boxes))
        if rows.dtype.kind not in "iuf" or rows.shape[1] not in (0, _COORDINATES):
            raise self._error(image, f"boxes must be n x 4 numbers, got {rows.shape}")
        rows = rows.reshape(-1, _COORDINATES).astype(float)
        if not (np.abs(rows) < _FARTHEST).all():
            raise self._error(image, "a box is not of finite numbers")
        for name, values in columns.items():
            if len(values) != len(rows):
                raise self._error(image, f"{len(rows)} boxes, but {len(values)} values of {name}")
        if not len(rows):
            return ()
        rows[:, 2:] += rows[:, :2]
        flags = np.array([*columns.values()], dtype=np.uint8).reshape(len(columns), len(rows)).T
        ignore = _without_area(rows)
        if "invalid" in columns:
            ignore |= np.array(columns["invalid"]) == 1
        for column in (rows, ignore, flags):
            column.flags.writeable = False
        return FaceColumns(rows, ignore, tuple(columns), flags)


def _without_area(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which boxes ``x1, y1, x2, y2`` have no area."""
    return (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])


def _repairs(image: str, faces: Faces, source: Provenance) -> tuple[Repair, ...]:
    """Name the boxes without area, which are ignored."""
    empty = np.flatnonzero(_without_area(faces.boxes)) if isinstance(faces, FaceColumns) else ()
    return tuple(
        Repair("empty-box", source, f"{image}: box {number + 1} has no area; kept as ignored")
        for number in empty
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a ``.mat`` and a text of the same images differ.

    Attributes:
        images: Images that both have.
        faces: Faces of those images that have as many in both.
        only_text: Names of images that only the text has.
        only_mat: Names of images that only the ``.mat`` has.
        counts: Names of images with another number of faces.
        fractions: Faces whose box in the ``.mat`` is not of whole pixels.
        negative: Faces that begin left of or above the image in the ``.mat``.
        negative_text: The same of the text.
        empty: Faces without area in the ``.mat``.
        empty_text: The same of the text.
        attributes: Faces with another attribute.
        moved: Faces with an edge, width or height that differs by more than a pixel.
        largest: The largest such difference, pixels.
    """

    images: int
    faces: int
    only_text: tuple[str, ...]
    only_mat: tuple[str, ...]
    counts: tuple[str, ...]
    fractions: int
    negative: int
    negative_text: int
    empty: int
    empty_text: int
    attributes: int
    moved: int
    largest: float

    @property
    def agree(self) -> bool:
        """Whether images, numbers of faces and attributes are the same."""
        return not (self.only_text or self.only_mat or self.counts or self.attributes)

    def __str__(self) -> str:
        """Return a few lines for people."""
        share = 100 * self.fractions / max(1, self.faces)
        lines = [
            f"{self.images} images and {self.faces} faces in both",
            f"{len(self.only_text)} images only in the text, {len(self.only_mat)} only in the .mat",
            f"{len(self.counts)} images with another number of faces",
            f"{self.attributes} faces with other attributes",
            f".mat: {self.fractions} boxes with fractions ({share:.0f} %)",
            f".mat: {self.negative} with a negative x or y, {self.empty} without area",
            f"text: {self.negative_text} with a negative x or y, {self.empty_text} without area",
            f"{self.moved} boxes differ by more than a pixel, at most by {self.largest:.1f}",
        ]
        return "\n".join(lines)


def compare_text_and_mat(text: str | os.PathLike[str], mat: str | os.PathLike[str]) -> Comparison:
    """Compare an annotation text with the official ``.mat`` of the same images.

    Args:
        text: ``wider_face_val_bbx_gt.txt``.
        mat: ``wider_face_val.mat``.

    Raises:
        MissingDependencyError: If scipy is not installed.
        DatasetError: If a file is malformed.
    """
    others = {record.name: record for record in read_mat(mat)}
    only_text, counts = [], []
    pairs: list[tuple[FaceRecord, FaceRecord]] = []
    images = 0
    for record in wider_face.read(text):
        other = others.pop(record.name, None)
        if other is None:
            only_text.append(record.name)
            continue
        images += 1
        if len(record.faces) != len(other.faces):
            counts.append(record.name)
            continue
        pairs.extend(zip(record.faces, other.faces, strict=True))
    ours = _rows(face for face, _ in pairs)
    theirs = _rows(face for _, face in pairs)
    return Comparison(
        images=images,
        faces=len(pairs),
        only_text=tuple(only_text),
        only_mat=tuple(others),
        counts=tuple(counts),
        fractions=int((theirs != np.round(theirs)).any(axis=1).sum()),
        negative=_negative(theirs),
        negative_text=_negative(ours),
        empty=_empty(theirs),
        empty_text=_empty(ours),
        attributes=sum(one.attributes != other.attributes for one, other in pairs),
        moved=int((np.abs(ours - theirs) > 1).any(axis=1).sum()),
        largest=float(np.abs(ours - theirs).max(initial=0.0)),
    )


def _rows(faces: Iterable[FaceRecord]) -> npt.NDArray[np.float64]:
    """Return ``x, y, width, height`` of each face, ``(n, 4)`` float64, pixels."""
    rows = [(face.box[0], face.box[1], face.width, face.height) for face in faces]
    return np.asarray(rows, dtype=np.float64).reshape(-1, _COORDINATES)


def _negative(rows: npt.NDArray[np.float64]) -> int:
    """Count the boxes that begin left of or above the image."""
    return int((rows[:, :2] < 0).any(axis=1).sum())


def _empty(rows: npt.NDArray[np.float64]) -> int:
    """Count the boxes without area."""
    return int((rows[:, 2:] <= 0).any(axis=1).sum())
