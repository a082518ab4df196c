"""Look for one picture on both sides of the split: perceptual hashes and face templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from landmark_augment import plain_crop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landmark_data import Face
    from numpy.typing import NDArray

HASH_SIDE = 16
TEMPLATE_SIDE = 32

HELD_OUT = ("test", "left out")
"""The faces never trained on; those already left out are still found."""


@dataclass(frozen=True)
class Pair:
    """A held-out face and the face outside the held-out part that is most like it.

    Attributes:
        held: The held-out face's name.
        other: The other face's name.
        bits: Different bits of the two photos' 256-bit difference hashes; below about 30 is one
            picture saved twice, 128 is chance.
        correlation: Of the two face crops' grey levels, -1..1.
    """

    held: str
    other: str
    bits: int
    correlation: float


def closest_pairs(faces: Sequence[Face], count: int = 5) -> list[Pair]:
    """Return the pairs across the split most like each other, by hash and then by template.

    Each face is compared with the others as they are and mirrored.

    Args:
        faces: All faces of one label file.
        count: Pairs of each of the two kinds.
    """
    held = [face for face in faces if face.split in HELD_OUT]
    others = [face for face in faces if face.split not in HELD_OUT]
    bits, correlations = _compare(held, others)
    ranked = [np.argsort(score, axis=None)[:count] for score in (bits, -correlations)]
    places = np.stack(np.unravel_index(np.concatenate(ranked), bits.shape), axis=1)
    return [
        Pair(held[i].name, others[j].name, int(bits[i, j]), float(correlations[i, j]))
        for i, j in places
    ]


def _compare(
    held: Sequence[Face], others: Sequence[Face]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return every pair's different bits and correlation, the closer of both mirrorings."""
    hashes = np.stack([_difference_hash(face.image) for face in held])
    templates = np.stack([_template(face, mirror=False) for face in held])
    bits, correlations = [], []
    for mirror in (False, True):
        step = -1 if mirror else 1
        theirs = np.stack([_difference_hash(face.image[:, ::step]) for face in others])
        bits.append((hashes[:, None] != theirs[None]).sum(axis=2))
        correlations.append(
            templates @ np.stack([_template(face, mirror=mirror) for face in others]).T
        )
    return np.min(bits, axis=0), np.max(correlations, axis=0)


def _difference_hash(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of 16 x 16 cells is brighter than its left neighbour, (256,)."""
    small = cv2.resize(image, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small[:, 1:] > small[:, :-1], dtype=np.bool_).ravel()


def _template(face: Face, *, mirror: bool) -> NDArray[np.float32]:
    """Return a face's crop as a vector of mean 0 and length 1."""
    crop = plain_crop(face, face.square, TEMPLATE_SIDE)[0].astype(np.float32)
    crop = crop[:, ::-1] if mirror else crop
    vector = crop.ravel() - crop.mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), dtype=np.float32)
