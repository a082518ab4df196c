"""Which images of a dataset are measured, and what becomes of those that cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final, Literal

from facekit.datasets import ImageRecord
from facekit.errors import ConfigError, DatasetError

__all__ = ["MISSING", "Missing", "Selection", "is_at_hand", "roots_of", "select"]

Missing = Literal["error", "skip", "empty"]
"""What becomes of images that are not at hand: an error; left out; nothing is found in them."""

MISSING: Final[tuple[Missing, ...]] = ("error", "skip", "empty")


@dataclasses.dataclass(frozen=True)
class Selection:
    """The images that are measured.

    Attributes:
        records: The images, in the dataset's order.
        absent: Names of those in which nothing can be looked for; they are among ``records``
            where nothing is to be found in them, and else left out.
        total: How many images the dataset has.
    """

    records: tuple[ImageRecord, ...]
    absent: tuple[str, ...]
    total: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        if len(self.records) < self.total:
            note = (
                f"a subset: {len(self.records):,} of the dataset's {self.total:,} images; numbers "
                "of the whole set are not comparable with these"
            )
            return (note,)
        if self.absent:
            return (f"{len(self.absent):,} images without predictions: nothing found in them",)
        return ()


def roots_of(records: Iterable[ImageRecord]) -> list[str]:
    """Return the folders of images, sorted: what is kept of one dataset is not another's.

    Args:
        records: The dataset.
    """
    roots = {record.root for record in records if record.root is not None}
    return sorted(str(root.resolve()) for root in roots)


def is_at_hand(record: ImageRecord) -> bool:
    """Whether an image's pixels can be read."""
    return record.data is not None or (record.path is not None and record.path.is_file())


def select(
    records: Iterable[ImageRecord],
    *,
    has: Callable[[ImageRecord], bool] = is_at_hand,
    missing: Missing = "error",
    what: str = "not at hand",
    empty: bool = True,
) -> Selection:
    """Choose the images to measure.

    Args:
        records: The dataset.
        has: Whether an image can be measured.
        missing: What becomes of one that cannot.
        what: What is wrong with one that cannot, in words.
        empty: Whether ``missing="empty"`` means anything here.

    Raises:
        ConfigError: If ``missing`` is another word, or means nothing here.
        DatasetError: If the dataset has no image, has one twice, or one cannot be measured and
            that is an error, or none can.
    """
    known = MISSING if empty else MISSING[:-1]
    if missing not in known:
        message = f"missing images: the word must be one of {', '.join(known)}, got {missing!r}"
        raise ConfigError(message)
    everything = tuple(records)
    _check_unique(everything)
    absent = tuple(record for record in everything if not has(record))
    names = {record.name for record in absent}
    if absent and missing == "error":
        raise _absent(absent, len(everything), what, empty=empty)
    kept = everything
    if missing == "skip":
        kept = tuple(record for record in everything if record.name not in names)
    if not kept:
        raise DatasetError(_file_of(everything), None, f"no image is left: all are {what}")
    return Selection(kept, tuple(record.name for record in absent), len(everything))


def _check_unique(records: tuple[ImageRecord, ...]) -> None:
    """Refuse a dataset that names an image twice: one's faces would be the other's misses."""
    seen: set[str] = set()
    for record in records:
        if record.name in seen:
            line = record.source.line if record.source is not None else None
            raise DatasetError(
                _file_of((record,)), line, f"the image {record.name!r} is there twice"
            )
        seen.add(record.name)
    if not records:
        raise DatasetError("dataset", None, "it has no image")


def _file_of(records: tuple[ImageRecord, ...]) -> str:
    """Return the annotation file, for messages."""
    source = records[0].source if records else None
    return "dataset" if source is None else source.file


def _absent(absent: tuple[ImageRecord, ...], total: int, what: str, *, empty: bool) -> DatasetError:
    """Name the first images that cannot be measured."""
    first = absent[0]
    shown = str(first.path or first.name)
    reason = (
        f"{len(absent):,} of {total:,} images are {what} (the first: {shown}); --missing skip "
        "measures the others"
    )
    if empty:
        reason += ", --missing empty counts them as images in which nothing is found"
    return DatasetError(_file_of(absent), first.source.line if first.source else None, reason)
