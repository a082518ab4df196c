"""Read the 68-point faces, split them by group, and hold them in memory as grey images.

The labels are dlib XML files of the iBUG 300-W scheme, under ``landmarks68/`` of the data folder
named by ``FACEKIT_DATA``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Split = Literal["train", "validation", "test", "left out"]
Source = Literal["ibug", "p1"]

LABEL_FILES: dict[Source, str] = {
    "ibug": "labels_ibug_300W_train.xml",
    "p1": "labels_p1_train.xml",
}
BOX_PER_EXTENT = 1.06
"""Side of the labels' boxes over the larger side of the points' extent (measured: 1.05 .. 1.07)."""

TEST_RESIDUE = 0
VALIDATION_RESIDUE = 1
HASH_MODULUS = 10

TWINS = frozenset({"helen/13601448", "helen/1425648903", "helen/2267933931"})
"""Photos of the test part whose person is also in another photo of the rest: measured on neither
side. Found by looking at the closest pairs of ``resnet18.py duplicates``."""


@dataclass(frozen=True, eq=False)
class Face:
    """One labelled face, with its photo in memory.

    Attributes:
        name: The label file's ``file`` attribute.
        group: What must stay on one side of a split: the photo (ibug) or the person (p1).
        source: The label file it came from.
        image: (H, W) uint8 grey, 0.299 R + 0.587 G + 0.114 B.
        points: (68, 2) float32, pixels of ``image``, as published.
    """

    name: str
    group: str
    source: Source
    image: NDArray[np.uint8]
    points: NDArray[np.float32]

    @property
    def split(self) -> Split:
        """The side of the split this face is on."""
        return split_of(self.group)

    @property
    def square(self) -> NDArray[np.float32]:
        """The canonical square around the points, see ``canonical_square``."""
        return canonical_square(self.points)


def canonical_square(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the square around the points as (centre x, centre y, side), in pixels.

    The centre is the middle of the points' extent (not their mean), the side 1.06 times the larger
    side of that extent: the label files' own boxes, without their rounding to whole pixels.

    Args:
        points: (68, 2), pixels.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    side = BOX_PER_EXTENT * float((high - low).max())
    return np.array([*((low + high) / 2), side], dtype=np.float32)


def photo_group(name: str) -> str:
    """Return the photo an ibug file was cut from.

    The name without extension, ``_mirror`` and a trailing ``_<digit>`` (the face's number), so two
    faces of one photo, or a mirrored twin, share a group.
    """
    stem = name.rsplit(".", 1)[0].replace("_mirror", "")
    return re.sub(r"_\d$", "", stem)


def person_group(name: str) -> str:
    """Return the person of a video frame: the name without its two trailing digits."""
    return re.sub(r"_\d\d$", "", name.rsplit(".", 1)[0])


def split_of(group: str) -> Split:
    """Return the side of the split a group is on, by its SHA-256: a tenth each, less `TWINS`."""
    if group in TWINS:
        return "left out"
    residue = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % HASH_MODULUS
    if residue == TEST_RESIDUE:
        return "test"
    return "validation" if residue == VALIDATION_RESIDUE else "train"


def read_faces(data: Path, source: Source) -> list[Face]:
    """Return every face of one label file, in its order.

    Args:
        data: The data folder; the labels lie in ``data / "landmarks68"``.
        source: Which label file.

    Raises:
        ValueError: A box without exactly 68 points, or an image that cannot be read.
    """
    folder = data / "landmarks68"
    group_of = photo_group if source == "ibug" else person_group
    root = ET.parse(folder / LABEL_FILES[source]).getroot()  # noqa: S314  trusted, local
    faces = []
    for element in root.iter("image"):
        name = element.attrib["file"]
        image = _read_grey(folder / name)
        faces += [
            Face(name, group_of(name), source, image, _points_of(box, name))
            for box in element.iter("box")
            if box.get("ignore") != "1"
        ]
    return faces


def split_faces(faces: Sequence[Face], split: Split) -> list[Face]:
    """Return the faces on one side of the split."""
    return [face for face in faces if face.split == split]


def _points_of(box: ET.Element, name: str) -> NDArray[np.float32]:
    """Return a box's parts in the order of their numbers, (68, 2)."""
    parts = {
        int(part.attrib["name"]): (float(part.attrib["x"]), float(part.attrib["y"]))
        for part in box.iter("part")
    }
    if sorted(parts) != list(range(68)):
        message = f"{name}: a box has {len(parts)} points, expected 00 .. 67"
        raise ValueError(message)
    return np.array([parts[number] for number in range(68)], dtype=np.float32)


def _read_grey(path: Path) -> NDArray[np.uint8]:
    """Return an image file as (H, W) uint8 grey."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        message = f"{path}: cannot be read as an image"
        raise ValueError(message)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
