"""How far a run is, and what the learning rate is there."""

from __future__ import annotations

import math
import time

from facekit.training.config import ScheduleConfig, TrainConfig

__all__ = ["Clock", "rate"]

_MINUTE = 60.0


def rate(schedule: ScheduleConfig, progress: float, step: int) -> float:
    """Return the learning rate as a share of the configured one.

    Args:
        schedule: How it goes.
        progress: Share of the run that is over, 0 to 1.
        step: Steps that are over, for a warm-up counted in steps.
    """
    warm = schedule.warmup
    if warm > 0:
        risen = (step + 1) / warm if warm >= 1 else progress / warm
        if risen < 1:
            return schedule.warmup_from + (1 - schedule.warmup_from) * risen
    if schedule.kind == "step":
        return schedule.gamma ** sum(progress >= share for share in schedule.milestones)
    if schedule.kind == "constant":
        return 1.0
    start = warm if warm < 1 else 0.0
    turn = min(max((progress - start) / (1 - start), 0.0), 1.0)
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * turn)) / 2


class Clock:
    """Steps and wall-clock time of a run, and their limits.

    Attributes:
        seconds: Wall-clock time so far, the earlier processes of a resumed run included.
        total_steps: How many steps the run has, ``None`` if only time ends it.
        reserve: Seconds kept free for what follows the last step: validation, checkpoint.
    """

    def __init__(
        self,
        config: TrainConfig,
        steps_per_epoch: int,
        *,
        seconds: float = 0.0,
        reserve: float = 0.0,
    ) -> None:
        """Stand at the start of a process.

        Args:
            config: The run.
            steps_per_epoch: Steps of an epoch.
            seconds: Time that earlier processes of the run took.
            reserve: What they found that follows the last step.
        """
        ends = [config.epochs * steps_per_epoch] if config.epochs is not None else []
        ends += [config.steps] if config.steps is not None else []
        self.total_steps = min(ends, default=None)
        self.seconds, self.reserve = seconds, reserve
        self._before, self._began = seconds, time.monotonic()
        self._follow = config.schedule.follow
        self._limit = (config.max_minutes or math.inf) * _MINUTE
        self._session_limit = (config.session_minutes or math.inf) * _MINUTE

    def start(self) -> None:
        """Begin to count this process's time."""
        self._began = time.monotonic()

    def tick(self) -> float:
        """Read the time; return the seconds so far."""
        self.seconds = self._before + time.monotonic() - self._began
        return self.seconds

    def progress(self, step: int) -> float:
        """Return the share of the run that is over, 0 to 1.

        Args:
            step: Steps that are over.
        """
        by_steps = step / self.total_steps if self.total_steps else 0.0
        by_time = self.seconds / max(self._limit - self.reserve, 1.0)
        shares = {"steps": by_steps, "time": by_time, "auto": max(by_steps, by_time)}
        return min(shares[self._follow], 1.0)

    def is_over(self, step: int) -> bool:
        """Whether the run has reached one of its ends.

        Args:
            step: Steps that are over.
        """
        if self.total_steps is not None and step >= self.total_steps:
            return True
        return self.seconds >= self._limit - self.reserve

    def is_session_over(self) -> bool:
        """Whether this process has had its time."""
        return self.seconds - self._before >= self._session_limit - self.reserve
