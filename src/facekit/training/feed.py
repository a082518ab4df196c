"""Items to batches: workers that prepare ahead, and how long the network waits for them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from facekit.errors import FacekitError, TrainingError
from facekit.training.keys import ItemKey, KeyBatches
from facekit.training.recipe import Batch, Items, Recipe

__all__ = ["Feed"]

_FAILED = "failed"
KEYS = "keys"
"""The batch's entry that says which items it is made of: (n, 2) pass and index."""


class Feed:
    """The batches of a run from a step on, on this process's share of the items.

    Attributes:
        waited: Seconds that the consumer has waited for batches.
    """

    def __init__(
        self,
        recipe: Recipe,
        items: Items,
        batches: KeyBatches,
        workers: int,
        *,
        prefetch: int = 4,
        pin: bool = False,
    ) -> None:
        """Set the workers up; they start with the first batch.

        Args:
            recipe: Collates.
            items: What is trained on.
            batches: Which of them, in which order.
            workers: Processes that prepare batches; 0 for this one.
            prefetch: Batches that each prepares ahead.
            pin: Copy batches to pinned memory, from where a GPU fetches them on its own.
        """
        self._loader: Any = DataLoader(
            _Seeded(items),
            batch_sampler=batches,  # type: ignore[arg-type, unused-ignore] # endless: no length
            collate_fn=_Collate(recipe),
            num_workers=workers,
            prefetch_factor=prefetch if workers else None,
            pin_memory=pin,
            worker_init_fn=_quiet_worker if workers else None,
        )
        self._running: Iterator[Batch] | None = None
        self.waited = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; the time spent waiting for each is added up.

        Raises:
            TrainingError: If an item cannot be made; the reason is the item's own.
        """
        self._running = iter(self._loader)
        while True:
            began = time.perf_counter()
            running = self._running
            batch = None if running is None else next(running, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            if _FAILED in batch:
                raise TrainingError(batch[_FAILED])
            yield batch

    def close(self) -> None:
        """Send the workers home."""
        self._running = None


class _Seeded(Dataset[Any]):
    """Items made under their key's seed, whatever of torch's randomness they use."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: ItemKey) -> tuple[ItemKey, Any]:
        with key.seeded():
            try:
                return key, self._items[key]
            except FacekitError as error:
                # torch would wrap it in the worker's traceback.
                return key, error


class _Collate:
    """The recipe's collation, with the keys beside it."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __call__(self, keyed: list[tuple[ItemKey, Any]]) -> Batch:
        failed = [item for _, item in keyed if isinstance(item, FacekitError)]
        if failed:
            return {_FAILED: str(failed[0])}
        batch = self._recipe.collate([item for _, item in keyed])
        keys = torch.tensor([(key.epoch, key.index) for key, _ in keyed])
        return {**batch, KEYS: keys}


def _quiet_worker(_index: int) -> None:
    """Leave Ctrl-C to the main process, and the other cores to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
