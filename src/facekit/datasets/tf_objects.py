"""One image as the features of one example of TF Object Detection, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from facekit.datasets.label_ids import LabelIds
from facekit.datasets.records import FaceRecord, ImageRecord, Provenance, Value, safe_name
from facekit.datasets.sizes import known_size
from facekit.datasets.tf_example import (
    Values,
    bytes_feature,
    decode,
    encode,
    float_feature,
    int_feature,
)
from facekit.datasets.values import checked_box, checked_size, empty_box
from facekit.datasets.voc_xml import DEFAULTS
from facekit.errors import DatasetError

__all__ = ["DECIMALS", "DEFAULTS", "example_of", "record_of"]

DECIMALS: Final = 2
"""Of a pixel: 32-bit floats tell 65,536 pixels apart to four thousandths."""

_LARGEST: Final = 1.1  # where TensorFlow's own checks end
_OBJECT: Final = "image/object/"
_BOX: Final = tuple(f"{_OBJECT}bbox/{name}" for name in ("xmin", "ymin", "xmax", "ymax"))

T = TypeVar("T", bytes, int, float)


def example_of(record: ImageRecord, ids: LabelIds, image: Mapping[str, bytes]) -> bytes:
    """Return the example of an image.

    Args:
        record: The image; its boxes lie inside it.
        ids: The numbers of the labels.
        image: The features of the encoded image.

    Raises:
        DatasetError: If a flag is no number, or a label is not among those given.
    """
    height, width = known_size(record)
    faces = record.faces
    scales = (width, height, width, height)
    boxes = {
        name: float_feature(face.box[i] / scales[i] for face in faces)
        for i, name in enumerate(_BOX)
    }
    given = [{**DEFAULTS, **face.attributes} for face in faces]
    flags = [one["truncated"] for one in given]
    if not all(value in {0, 1} for value in flags):
        raise DatasetError(record.name, None, f"truncated must be 0 or 1, got {flags}")
    ignored = int_feature(int(face.ignore) for face in faces)
    name = bytes_feature([record.name.encode()])
    features = {
        "image/height": int_feature([height]),
        "image/width": int_feature([width]),
        "image/filename": name,
        "image/source_id": name,
        **image,
        **boxes,
        f"{_OBJECT}class/text": bytes_feature(face.label.encode() for face in faces),
        f"{_OBJECT}class/label": int_feature(ids(face.label, record.name) for face in faces),
        f"{_OBJECT}difficult": ignored,
        f"{_OBJECT}is_crowd": ignored,
        f"{_OBJECT}truncated": int_feature(int(value) for value in flags),
        f"{_OBJECT}view": bytes_feature(str(one["view"]).encode() for one in given),
    }
    if any(face.ignore for face in faces):
        # Training reads neither of the flags: what shall be neither face nor background weighs 0.
        weights = float_feature(0.0 if face.ignore else 1.0 for face in faces)
        features[f"{_OBJECT}weight"] = weights
    return encode(features)


def record_of(
    data: bytes, where: Provenance, number: int, labels: Mapping[int, str], root: Path | None
) -> ImageRecord:
    """Return the record of an example.

    Args:
        data: The example.
        where: Its file.
        number: Its place in the file, from 1, for messages.
        labels: The label map, for examples without the labels' texts.
        root: The folder of images.

    Raises:
        DatasetError: If it is malformed.
    """
    try:
        features = decode(data)
    except ValueError as error:
        raise DatasetError(where.file, None, f"record {number} is no example: {error}") from error
    example = _Example(features, where, number)
    name = example.one("image/filename") or example.one("image/source_id")
    heights, widths = example.ints("image/height"), example.ints("image/width")
    record = ImageRecord(
        name=safe_name(example.text(name), where.file, None),
        root=root,
        data=example.one("image/encoded") or None,
        size=checked_size(heights[0], widths[0], where) if heights and widths else None,
        source=where,
    )
    size = known_size(record)
    faces = tuple(example.face(i, size, labels) for i in range(example.count()))
    repairs = tuple(repair for face in faces for repair in empty_box(face.box, where))
    return record.replace(size=size, faces=faces, repairs=repairs)


class _Example:
    """The features of one example, checked as they are asked for."""

    def __init__(self, features: Mapping[str, Values], where: Provenance, number: int) -> None:
        self._features = features
        self._where = where
        self._number = number

    def _error(self, reason: str) -> DatasetError:
        return DatasetError(self._where.file, None, f"record {self._number}: {reason}")

    def _list(self, name: str, kind: type[T]) -> list[T]:
        values = self._features.get(name, [])
        found = [value for value in values if isinstance(value, kind)]
        if len(found) != len(values):
            raise self._error(f"{name} must be a list of {kind.__name__}")
        return found

    def ints(self, name: str) -> list[int]:
        """Return a list of integers; empty where it is missing."""
        return self._list(name, int)

    def one(self, name: str) -> bytes:
        """Return the first byte string of a list; empty where there is none."""
        return next(iter(self._list(name, bytes)), b"")

    def text(self, value: bytes) -> str:
        """Return a byte string as text."""
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8: {value!r}") from error

    def count(self) -> int:
        """Return how many objects there are.

        Raises:
            DatasetError: If lists that belong together differ in length.
        """
        counts = {len(self._list(name, float)) for name in _BOX}
        if len(counts) > 1:
            raise self._error(f"the four lists of corners have {sorted(counts)} numbers")
        count = counts.pop()
        for name in ("class/text", "class/label", "difficult", "is_crowd", "truncated", "view"):
            length = len(self._features.get(_OBJECT + name, []))
            if length not in {0, count}:
                raise self._error(f"{_OBJECT}{name} has {length} values for {count} boxes")
        return count

    def face(self, i: int, size: tuple[int, int], labels: Mapping[int, str]) -> FaceRecord:
        """Return one object."""
        fractions = [self._list(name, float)[i] for name in _BOX]
        if not all(
            math.isfinite(value) and 1 - _LARGEST <= value <= _LARGEST for value in fractions
        ):
            raise self._error(f"corners must be fractions of the image, 0 to 1, got {fractions}")
        height, width = size
        scales = (width, height, width, height)
        corners = [
            round(value * scale, DECIMALS) for value, scale in zip(fractions, scales, strict=True)
        ]
        box = checked_box(corners, self._where)
        flags = [self.ints(f"{_OBJECT}{name}") for name in ("difficult", "is_crowd")]
        ignored = any(flag[i] for flag in flags if flag)
        return FaceRecord(
            box=box,
            label=self._label(i, labels),
            attributes=self._attributes(i),
            ignore=ignored or bool(empty_box(box, self._where)),
        )

    def _attributes(self, i: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        if truncated := self.ints(f"{_OBJECT}truncated"):
            found["truncated"] = truncated[i]
        if views := self._list(f"{_OBJECT}view", bytes):
            found["view"] = self.text(views[i])
        return found

    def _label(self, i: int, labels: Mapping[int, str]) -> str:
        if texts := self._list(f"{_OBJECT}class/text", bytes):
            return self.text(texts[i])
        numbers = self.ints(f"{_OBJECT}class/label")
        if not numbers or numbers[i] not in labels:
            reason = f"no class/text, and the label map lacks {numbers[i : i + 1] or 'a label'}"
            raise self._error(reason)
        return labels[numbers[i]]
