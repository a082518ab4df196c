"""TFRecord with the keys of TensorFlow's Object Detection API.

::

    label_map.pbtxt                   item { id: 1 name: 'face' }
    train.record                      or train.record-00000-of-00010, ...

Each example carries its image (``image/encoded``), and boxes as fractions of its size in 32-bit
floats, which keep a hundredth of a pixel. TensorFlow refuses boxes that leave the image, so they
are cut off at its borders; it does not apply EXIF orientations, so an image with one is encoded
anew, upright. ``image/object/difficult`` and ``is_crowd`` are facekit's ``ignore``.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import ExifTags, Image

from facekit import atomic
from facekit import images as pixels
from facekit.datasets.formats import Holds
from facekit.datasets.label_ids import LabelIds
from facekit.datasets.label_map import read_label_map, text_of
from facekit.datasets.records import ImageRecord, Provenance
from facekit.datasets.tf_example import (
    bytes_feature,
    read_frames,
    write_frame,
)
from facekit.datasets.tf_objects import DECIMALS, DEFAULTS, example_of, record_of
from facekit.errors import ConfigError, DatasetError, ImageError

__all__ = ["HOLDS", "LABEL_MAP", "read", "write"]

LABEL_MAP: Final = "label_map.pbtxt"

HOLDS: Final = Holds(
    fields=frozenset({"label", "ignore", "size", "data"}),
    face_attributes=frozenset(DEFAULTS),
    decimals=DECIMALS,
    sized=True,
    inside=True,
    face_defaults=DEFAULTS,
    accepts=lambda name, value: value in {0, 1} if name == "truncated" else isinstance(value, str),
)

_KINDS: Final = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"GI": "gif", b"BM": "bmp"}
_MAX_SHARDS: Final = 99_999
_TURNED: Final = frozenset(range(2, 9))


def read(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    label_map: str | os.PathLike[str] | None = None,
) -> Iterator[ImageRecord]:
    """Read TFRecord files.

    Args:
        path: A file, or the name before ``-00000-of-00010`` of a set of shards, which are read
            in turns, as they are written.
        images: The folder of images, where it matters; by default the one of the file.
        label_map: The ``.pbtxt``, for examples without ``class/text``; by default
            ``label_map.pbtxt`` beside the file, where there is one.

    Yields:
        One record an example, with its encoded image.

    Raises:
        DatasetError: If a file is damaged or an example malformed, with file and reason.
        MissingDependencyError: If google-crc32c is not installed.
    """
    place = Path(path)
    root = place.parent if images is None else Path(images)
    map_file = place.parent / LABEL_MAP if label_map is None else Path(label_map)
    labels = read_label_map(map_file) if label_map is not None or map_file.is_file() else {}
    readers = [(file, enumerate(read_frames(file), start=1)) for file in _shards(place)]
    while readers:
        for one in list(readers):
            file, frames = one
            number, data = next(frames, (0, b""))
            if number:
                yield record_of(data, Provenance(str(file)), number, labels, root)
            else:
                readers.remove(one)


def _shards(place: Path) -> list[Path]:
    """Return the files of a dataset."""
    if place.is_file():
        return [place]
    found = sorted(place.parent.glob(f"{glob.escape(place.name)}-?????-of-?????"))
    if not found:
        raise DatasetError(place, None, "no such file, nor shards of this name")
    count = found[0].name[-5:]
    names = [_shard(place, i, int(count)) for i in range(int(count))] if count.isdecimal() else []
    if missing := set(names) ^ set(found):
        shown = ", ".join(sorted(file.name for file in missing)[:3])
        raise DatasetError(place, None, f"shards are missing or of another set: {shown}")
    return found


def _shard(place: Path, number: int, count: int) -> Path:
    """Return the file of a shard; of a single one, the plain name."""
    return place if count == 1 else place.with_name(f"{place.name}-{number:05}-of-{count:05}")


def write(
    records: Iterable[ImageRecord],
    path: str | os.PathLike[str],
    *,
    shards: int = 1,
    labels: Sequence[str] | None = None,
) -> None:
    """Write TFRecord files, and ``label_map.pbtxt`` beside them; all are replaced at the end.

    A second file in the same folder goes on with the label map of the first.

    Args:
        records: Any stream of records whose images are at hand: as JPEG, PNG, GIF or BMP, which
            is what TensorFlow decodes. Boxes are to lie inside them, as
            :func:`facekit.datasets.write` cuts them.
        path: The file; of several shards, the name before ``-00000-of-00010``.
        shards: How many files; images go to them in turns.
        labels: Every label, in order, from 1; by default those of the label map, or ``"face"``
            first and others as they are met.

    Raises:
        OutputError: If a file cannot be written.
        DatasetError: If an image is not at hand, or not of the size that the record says; or a
            label is not among ``labels``.
        ConfigError: If ``shards`` is no count.
        MissingDependencyError: If google-crc32c is not installed.
    """
    if not 1 <= shards <= _MAX_SHARDS:
        raise ConfigError(f"shards: expected 1 to {_MAX_SHARDS}, got {shards!r}")
    place = Path(path)
    map_file = place.parent / LABEL_MAP
    ids = LabelIds(labels, first=1)
    if map_file.is_file():
        ids = LabelIds.continued(_known(map_file), labels, first=1, file=map_file)
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(
                stack.enter_context(atomic.atomic_path(_shard(place, i, shards))).open("wb")
            )
            for i in range(shards)
        ]
        for number, record in enumerate(records):
            write_frame(files[number % shards], example_of(record, ids, _image(record)))
    atomic.write_text(map_file, text_of(ids.items()))


def _known(map_file: Path) -> list[str]:
    """Return the labels of a label map, whose numbers must leave no gaps."""
    known = read_label_map(map_file)
    if sorted(known) != list(range(1, len(known) + 1)):
        raise DatasetError(map_file, None, f"its ids leave gaps: {sorted(known)}; move it away")
    return [known[number] for number in sorted(known)]


def _image(record: ImageRecord) -> dict[str, bytes]:
    """Return the features of the encoded image."""
    data, kind = _upright(_bytes_of(record), record.name)
    try:
        height, width = pixels.read_size(data, record.name)
    except ImageError as error:
        raise DatasetError(record.name, None, str(error)) from error
    if (stated := record.size or (height, width)) != (height, width):
        reason = f"the record says {stated[1]} x {stated[0]}, the image is {width} x {height}"
        raise DatasetError(record.name, None, reason)
    return {
        "image/encoded": bytes_feature([data]),
        "image/format": bytes_feature([kind.encode()]),
        "image/key/sha256": bytes_feature([hashlib.sha256(data).hexdigest().encode()]),
    }


def _bytes_of(record: ImageRecord) -> bytes:
    """Return the encoded image as it is."""
    if record.data is not None:
        return record.data
    if record.path is None:
        reason = "the image is not at hand; name its folder when reading (images=DIR)"
        raise DatasetError(record.name, None, reason)
    try:
        return record.path.read_bytes()
    except OSError as error:
        reason = f"{record.path}: cannot be read: {error.strerror or error}"
        raise DatasetError(record.name, None, reason) from error


def _upright(data: bytes, name: str) -> tuple[bytes, str]:
    """Return an image without EXIF orientation, and its format, one that TensorFlow decodes."""
    kind = _KINDS.get(data[:2])
    if kind is None:
        reason = "TensorFlow decodes JPEG, PNG, GIF and BMP; convert the image to one of them"
        raise DatasetError(name, None, reason)
    if b"Exif" not in data and b"eXIf" not in data:
        return data, kind
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.getexif().get(ExifTags.Base.Orientation, 1) not in _TURNED:
                return data, kind
            kind = "jpeg" if kind == "jpeg" else "png"
            return pixels.encode(pixels.as_rgb(image), f".{kind}"), kind
    except Exception as error:
        # Pillow's plugins raise anything on damaged headers.
        raise DatasetError(name, None, f"the image is damaged: {error}") from error
