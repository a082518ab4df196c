"""What ``facekit evaluate --card`` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from facekit import atomic
from facekit.boxes import squares_around
from facekit.cli.naming import check_folder
from facekit.datasets import ImageRecord
from facekit.errors import ConfigError
from facekit.evaluation.candidates import Candidate
from facekit.evaluation.card import write_card
from facekit.evaluation.cost import measure_cost
from facekit.evaluation.landmarks import truth_points
from facekit.evaluation.photos import read_photo
from facekit.evaluation.result import Result
from facekit.evaluation.selection import is_at_hand
from facekit.images import RgbImage

__all__ = ["check_cards", "write_cards"]

_SUFFIX: Final = ".md"


def check_cards(place: Path, candidates: Sequence[Candidate | None]) -> None:
    """Check at the door that cards can be written.

    Args:
        place: A Markdown file, or a folder.
        candidates: The backends; ``None`` for predictions on disk.

    Raises:
        ConfigError: If one file is named for several backends, or for predictions.
        OutputError: If the place cannot be written.
    """
    named = {one.label for one in candidates if one is not None}
    if not named:
        message = "--card is of backends: predictions on disk do not say what made them"
        raise ConfigError(message)
    if place.suffix.lower() != _SUFFIX:
        check_folder(place)
        return
    if len(named) > 1:
        message = f"--card {place}: is one file for {len(named)} backends; name a folder"
        raise ConfigError(message)
    atomic.check_writable(place)


def write_cards(
    place: Path,
    dataset: str,
    rows: Iterable[tuple[Candidate | None, Result]],
    records: Sequence[ImageRecord],
) -> Iterator[Path]:
    """Measure what backends cost, and write their cards.

    Args:
        place: A Markdown file, or a folder.
        dataset: What the dataset is called.
        rows: Each result with its backend.
        records: The dataset.

    Yields:
        The cards that were written.

    Raises:
        FacekitError: If a backend fails, or a card cannot be written.
    """
    grouped: dict[str, tuple[Candidate, list[Result]]] = {}
    for candidate, result in rows:
        if candidate is not None:
            grouped.setdefault(candidate.label, (candidate, []))[1].append(result)
    if place.suffix.lower() != _SUFFIX:
        place.mkdir(exist_ok=True)
    for label, (candidate, results) in grouped.items():
        cost = measure_cost(candidate, *_example(candidate, records))
        path = place if place.suffix.lower() == _SUFFIX else place / f"{label}{_SUFFIX}"
        yield write_card(path, candidate, dataset, results, cost)


def _example(
    candidate: Candidate, records: Sequence[ImageRecord]
) -> tuple[RgbImage, npt.NDArray[np.float32] | None]:
    """Return the first image that the backend has something to say of, and its faces."""
    here = [record for record in records if is_at_hand(record)]
    if candidate.role == "detector":
        return read_photo(here[0]), None
    if candidate.role == "landmarker":
        record = next(one for one in here if len(truth_points(one)))
        return read_photo(record), squares_around(truth_points(record))
    photo = read_photo(here[0])
    whole = [(0.0, 0.0, float(photo.shape[1]), float(photo.shape[0]))]
    return photo, np.array([face.box for face in here[0].faces] or whole, dtype=np.float32)
