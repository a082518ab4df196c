"""A backend over many images: read ahead, kept image by image, timed, and stopped without loss."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from facekit.datasets import ImageRecord
from facekit.evaluation.photos import batches
from facekit.evaluation.store import Store
from facekit.images import RgbImage, read_size

__all__ = ["BATCH_SIZE", "Run", "Step", "Watch", "run", "unwatched"]

BATCH_SIZE: Final = 4
"""Images that a backend sees together."""

Value = TypeVar("Value")

Watch = Callable[[Iterable[ImageRecord]], Iterable[ImageRecord]]
"""Passes images on as they are done, and shows how far a run is."""

Step = Callable[[Sequence[ImageRecord], Sequence[RgbImage]], Sequence[Value]]
"""What a backend says of some images."""


def unwatched(records: Iterable[ImageRecord]) -> Iterable[ImageRecord]:
    """Pass images on, and show nothing."""
    return records


@dataclasses.dataclass(frozen=True, eq=False)
class Run(Generic[Value]):
    """What a backend said of a dataset.

    Attributes:
        values: Its answers by the image's name, in the dataset's order.
        seconds: Time in the backend.
        fresh: How many images it saw; the others' answers were kept from before.
    """

    values: dict[str, Value]
    seconds: float
    fresh: int

    @property
    def seconds_per_image(self) -> float | None:
        """Time in the backend for an image, or ``None`` where all answers were kept."""
        return self.seconds / self.fresh if self.fresh else None


def run(
    records: Sequence[ImageRecord],
    step: Step[Value],
    *,
    store: Store[Value] | None = None,
    batch_size: int = BATCH_SIZE,
    watch: Watch = unwatched,
) -> Run[Value]:
    """Ask a backend about images.

    Args:
        records: The images; all are at hand.
        step: What it says of some of them.
        store: Keeps answers image by image; what it has is not asked again.
        batch_size: Images that the backend sees together.
        watch: Passes images on as they are done.

    Raises:
        ImageError: If an image cannot be read.
        BackendError: If the backend fails.
        OutputError: If answers cannot be kept.
        DatasetError: If kept answers are damaged.
    """
    done = {} if store is None else dict(_kept(records, store))
    left = [record for record in records if record.name not in done]
    asking = _Asking(left, step, batch_size)
    for record in watch(asking.records()):
        answer = asking.answers.pop(record.name)
        if store is not None:
            store.save(record.name, answer)
        done[record.name] = answer
    return Run({record.name: done[record.name] for record in records}, asking.seconds, len(left))


def _kept(records: Iterable[ImageRecord], store: Store[Value]) -> Iterator[tuple[str, Value]]:
    """Yield the answers that are there already."""
    for record in records:
        if store.has(record.name):
            yield record.name, store.load(record.name, _size_of(record))


def _size_of(record: ImageRecord) -> tuple[int, int]:
    """Return an image's height and width, pixels, without decoding it."""
    if record.data is not None:
        return read_size(record.data, record.name)
    return (1, 1) if record.path is None else read_size(record.path)


class _Asking(Generic[Value]):
    """Passes records on once their answers are there."""

    def __init__(self, records: Sequence[ImageRecord], step: Step[Value], batch_size: int) -> None:
        self.answers: dict[str, Value] = {}
        self.seconds = 0.0
        self._records, self._step, self._batch_size = records, step, batch_size

    def records(self) -> Iterator[ImageRecord]:
        for some, pictures in batches(self._records, self._batch_size):
            start = time.perf_counter()
            answers = self._step(some, pictures)
            self.seconds += time.perf_counter() - start
            self.answers.update(
                (record.name, answer) for record, answer in zip(some, answers, strict=True)
            )
            yield from some
