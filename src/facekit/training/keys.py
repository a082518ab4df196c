"""Which items a run sees, in which order, and where their randomness comes from.

The order is one endless stream: pass after pass over the items, each pass in an order of its own.
Batch ``b`` is items ``b * batch_size`` to ``(b + 1) * batch_size`` of it. All of it is a function
of the seed, so a run that is stopped after any step goes on with the next batch, and neither the
number of workers nor of devices changes what is seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["ItemKey", "KeyBatches", "order", "seed_of"]

_ORDER, _ITEM, _BATCH = 1, 2, 4  # keep the streams of different purposes apart


def seed_of(*words: int) -> int:
    """Mix non-negative numbers into a seed of 63 bits, well apart for neighbouring numbers."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


@dataclasses.dataclass(frozen=True, slots=True)
class ItemKey:
    """What a recipe's items are asked by: everything that an item may depend on.

    Attributes:
        seed: The run's.
        epoch: Which pass over the items this is, from 0.
        index: Which item, 0 to ``len(items) - 1``.
        step: The step whose batch the item is for: the same for all items of a batch, so that a
            batch may share a size.
        progress: Share of the run that is over, 0 to 1; for sizes that grow with it.
    """

    seed: int
    epoch: int
    index: int
    step: int = 0
    progress: float = 0.0

    def random(self) -> np.random.Generator:
        """Return the item's own generator, the same one for the same seed, epoch and index."""
        return np.random.default_rng((_ITEM, self.seed, self.epoch, self.index))

    def batch_random(self) -> np.random.Generator:
        """Return a generator that all items of one batch share."""
        return np.random.default_rng((_BATCH, self.seed, self.step))

    @contextlib.contextmanager
    def seeded(self) -> Iterator[None]:
        """Run a block whose use of torch's global generator is this item's own.

        torchvision's transforms draw from that generator. It is put back afterwards.
        """
        with torch.random.fork_rng(devices=()):
            torch.random.default_generator.manual_seed(
                seed_of(_ITEM, self.seed, self.epoch, self.index)
            )
            yield


def order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """Return the order of one pass over the items.

    Args:
        seed: The run's.
        epoch: Which pass, from 0.
        count: How many items there are.

    Returns:
        (count,) a permutation of 0 to ``count - 1``.
    """
    return np.random.default_rng((_ORDER, seed, epoch)).permutation(count)


class KeyBatches:
    """The batches of keys of one process, from a step on: a torch batch sampler.

    Attributes:
        batch_size: Items a step, all processes together.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        start: int = 0,
        stop: int | None = None,
        share: tuple[int, int] = (0, 1),
        progress: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        """Plan the stream.

        Args:
            count: How many items there are.
            batch_size: Items a step, all processes together; a multiple of the processes.
            seed: The run's.
            start: The first step.
            stop: The step before which the stream ends; ``None`` for never.
            share: This process's rank, and how many there are.
            progress: Maps a step to the share of the run that is over.
        """
        self.batch_size = batch_size
        self._count, self._seed = count, seed
        self._start, self._stop, self._share = start, stop, share
        self._progress = progress

    def __iter__(self) -> Iterator[list[ItemKey]]:
        """Yield this process's part of one batch after another."""
        rank, processes = self._share
        step = self._start
        current, indices = -1, np.empty(0, np.int64)
        while self._stop is None or step < self._stop:
            progress, keys = self._progress(step), []
            for place in range(step * self.batch_size + rank, (step + 1) * self.batch_size)[
                ::processes
            ]:
                epoch, offset = divmod(place, self._count)
                if epoch != current:
                    current, indices = epoch, order(self._seed, epoch, self._count)
                keys.append(ItemKey(self._seed, epoch, int(indices[offset]), step, progress))
            yield keys
            step += 1
