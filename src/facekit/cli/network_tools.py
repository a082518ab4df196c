"""What ``facekit summary`` and ``facekit export`` do and print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from facekit.cli.console import print_lines, print_table
from facekit.cli.console_progress import watched
from facekit.cli.dataset_specs import source
from facekit.datasets import ImageRecord
from facekit.errors import ConfigError, DatasetError, UnknownNameError
from facekit.evaluation.photos import read_photo
from facekit.evaluation.selection import is_at_hand
from facekit.export import Scene, export
from facekit.registry import ROLES, Role
from facekit.summary import summary
from facekit.types import Detections

__all__ = ["run_export", "scenes", "show_summary"]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


def show_summary(
    name: str, weights: str | None, role: str | None, *, config: str | None, photo: str
) -> None:
    """Print the layers of a backend's network and their totals.

    Args:
        name: The backend.
        weights: Its weights, by default its own.
        role: Its role, where the name alone does not tell.
        config: Of `mmdet`: the model's config.
        photo: Of `mmdet`: the photo's size, ``WxH``.

    Raises:
        FacekitError: If there is no such network, or its weights cannot be read.
    """
    network = summary(name, weights, role=_role(role), config=config, photo_size=_photo_size(photo))
    headers, *rows = network.rows()
    layer, kind, shape, *numbers = headers
    print_table([layer, kind, shape, *(f">{number}" for number in numbers)], rows)
    print_lines(["", network.totals, f"{network.name}: {network.source}"])


def _photo_size(text: str) -> tuple[int, int]:
    """Read ``WxH`` as height and width.

    Raises:
        ConfigError: If it is no size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"--photo {text}: write WxH in pixels, such as 640x480")
    return int(match[2]), int(match[1])


def run_export(
    name: str,
    weights: str,
    out: Path,
    *,
    photo: Path | None,
    tolerance: float | None,
    weights_bits: int,
    int8: Iterable[Scene] | None,
    with_nms: bool,
    config: Path | None,
    role: str | None,
) -> None:
    """Export weights and print how far apart the two files' answers are.

    Args:
        name: The backend.
        weights: Its weights.
        out: The file to be written.
        photo: What to compare on.
        tolerance: The largest difference that is accepted.
        weights_bits: 8 or 32.
        int8: Photos to measure the ranges of 8-bit arithmetic on.
        with_nms: Whether decoding and suppression go inside.
        config: The configuration of weights that do not hold their own.
        role: Its role, where the name alone does not tell.

    Raises:
        FacekitError: If the weights cannot be read, exported or written.
    """
    report = export(
        name,
        weights,
        out,
        role=_role(role),
        photo=photo,
        tolerance=tolerance,
        weights_bits=_bits(weights_bits),
        int8=int8,
        with_nms=with_nms,
        config=config,
    )
    print_lines([f"wrote {out}: {report}"])


def _bits(number: int) -> Literal[8, 32]:
    """Check the bits of a weight.

    Raises:
        ConfigError: If there is no such choice.
    """
    if number == 8:  # noqa: PLR2004 - a choice
        return 8
    if number == 32:  # noqa: PLR2004 - a choice
        return 32
    raise ConfigError(f"--weights-bits {number}: 8 or 32")


def _role(name: str | None) -> Role | None:
    """Check a role's name.

    Raises:
        UnknownNameError: If there is no such role.
    """
    for role in ROLES:
        if name == role:
            return role
    if name is not None:
        kind = "role"
        raise UnknownNameError(kind, name, ROLES)
    return None


def scenes(
    spec: str, images: Path | None, split: str | None, read: Sequence[str], count: int
) -> Iterator[Scene]:
    """Read some photos of a dataset and their faces, evenly over all that are at hand.

    Args:
        spec: ``FORMAT:PATH``.
        images: The folder of images.
        split: The part of the dataset.
        read: Other options of the format, ``KEY=VALUE``.
        count: How many photos at most.

    Raises:
        FacekitError: If the dataset cannot be read, or has no photo at hand.
    """
    records = source(spec, split=split, images=images, read=read)()
    at_hand = [record for record in records if is_at_hand(record)]
    if not at_hand:
        raise DatasetError(spec, None, "no image of it is at hand; --images names their folder")
    chosen = np.linspace(0, len(at_hand) - 1, min(count, len(at_hand))).astype(int)
    return map(_scene, watched([at_hand[i] for i in chosen], "preparing"))


def _scene(record: ImageRecord) -> Scene:
    photo = read_photo(record)
    boxes = record.boxes[~record.ignored].astype(np.float32)
    scores = np.ones(len(boxes), dtype=np.float32)
    return photo, Detections(boxes=boxes, scores=scores, image_size=photo.shape[:2])
