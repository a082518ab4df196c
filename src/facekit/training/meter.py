"""Losses and speed while a run goes, read from the device as rarely as possible."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from facekit.errors import TrainingError

__all__ = ["LossMeter", "SpeedMeter"]


class LossMeter:
    """Means of the losses, and the watch for one that is not finite.

    Reading a number from a GPU waits for it, so losses stay there until :meth:`read`.
    """

    def __init__(self, name: Callable[[int], str]) -> None:
        """Start empty.

        Args:
            name: Tells messages what the item of an index is.
        """
        self._name = name
        self._pending: list[tuple[int, Tensor, dict[str, Tensor]]] = []
        self._sums: dict[str, tuple[float, int]] = {}
        self.latest: dict[str, float] = {}

    def add(self, step: int, keys: Tensor, losses: dict[str, Tensor]) -> None:
        """Take a step's losses.

        Args:
            step: Which step.
            keys: (n, 2) pass and index of the batch's items.
            losses: Scalars by name.
        """
        self._pending.append((step, keys, {name: one.detach() for name, one in losses.items()}))

    def read(self) -> None:
        """Read what is pending from the device.

        Raises:
            TrainingError: If a loss was not finite; the step and its items are named.
        """
        if not self._pending:
            return
        # What is minimised first: its parts are rarely better.
        names = {name for _, _, losses in self._pending for name in losses}
        for name in sorted(names, key=lambda name: (name != "loss", name)):
            having = [entry for entry in self._pending if name in entry[2]]
            values = torch.stack([losses[name].float() for _, _, losses in having]).tolist()
            for (step, keys, _), value in zip(having, values, strict=True):
                if not math.isfinite(value):
                    raise self._not_finite(step, keys, name, value)
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + math.fsum(values), count + len(values))
            self.latest[name] = math.fsum(values) / len(values)
        self._pending.clear()

    def means(self) -> dict[str, float]:
        """Return the means since the last call, of what has been read."""
        found = {name: total / count for name, (total, count) in self._sums.items()}
        self._sums.clear()
        return found

    def _not_finite(self, step: int, keys: Tensor, name: str, value: float) -> TrainingError:
        """Name the step and the items."""
        items = ", ".join(self._name(index) for _, index in keys.tolist())
        what = name if name == "loss" else f"loss {name!r}"
        message = (
            f"step {step}: the {what} is {value}; a lower learning rate, clip or precision 32 may "
            f"help, or one of the items is at fault: {items}"
        )
        return TrainingError(message)


class SpeedMeter:
    """Items a second, and the share of the time that was spent waiting for the loader."""

    def __init__(self) -> None:
        """Start now."""
        self._items = 0
        self._waited = 0.0
        self._began = time.perf_counter()

    def add(self, items: int) -> None:
        """Count a step's items, all devices together."""
        self._items += items

    def read(self, waited: float) -> tuple[float, float]:
        """Return items a second and the waiting's share since the last call.

        Args:
            waited: Seconds waited for the loader since the run began.
        """
        now = time.perf_counter()
        seconds = max(now - self._began, 1e-9)
        found = self._items / seconds, min((waited - self._waited) / seconds, 1.0)
        self._items, self._waited, self._began = 0, waited, now
        return found
