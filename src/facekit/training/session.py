"""One process's part of a run: after each step, what follows."""

from __future__ import annotations

from facekit.training.bar import Bar
from facekit.training.engine import Engine
from facekit.training.epochs import Keeper
from facekit.training.feed import Feed
from facekit.training.stopping import StopSignals

__all__ = ["Session"]

_AGREE_EVERY = 10
"""Steps between two agreements of several processes on the time and on stopping."""


class Session:
    """Decides after each step whether an epoch or the run is over; all processes decide alike.

    Attributes:
        keeper: Validates and writes; in the first process alone.
        bar: Shows how far the run is.
        signals: Ask for a stop.
        interrupted: Whether the run was stopped before its end.
    """

    def __init__(self, steps_per_epoch: int) -> None:
        """Stand before the run, with nobody to validate and write.

        Args:
            steps_per_epoch: Steps of an epoch.
        """
        self.keeper: Keeper | None = None
        self.bar, self.signals = Bar(), StopSignals()
        self.interrupted = False
        self._steps_per_epoch = steps_per_epoch

    def started(self, feed: Feed) -> None:
        """Catch signals, after Lightning has set its own handlers.

        Args:
            feed: The batches of this process.
        """
        self.signals.catch()
        if self.keeper is not None:
            self.keeper.begin(feed)

    def stepped(self, engine: Engine) -> None:
        """Read the losses, close an epoch, stop the run: whatever is due.

        Args:
            engine: After a step.

        Raises:
            TrainingError: If a loss was not finite.
        """
        config, step = engine.config, engine.step
        if self.keeper is not None:
            self.keeper.speed.add(config.batch_size)
        stop = self._agreed(engine)
        final = engine.clock.is_over(step)
        is_window = step % config.log_every == 0
        is_epoch = step % self._steps_per_epoch == 0
        # On the CPU a loss costs nothing to look at.
        if is_window or is_epoch or final or stop or engine.device.type == "cpu":
            engine.losses.read()
        if is_window and self.keeper is not None:
            self.keeper.window(engine)
        self.bar.show(engine)
        if is_epoch or final:
            final = self._close_epoch(engine, final=final)
        elif stop and self.keeper is not None:
            self.keeper.keep(engine)
        self.interrupted = stop and not final
        if final or stop:
            engine.trainer.should_stop = True

    def _agreed(self, engine: Engine) -> bool:
        """Tick the clock, and return whether to stop before the end."""
        clock = engine.clock
        several = engine.trainer.world_size > 1
        if several and engine.step % _AGREE_EVERY:
            return False
        clock.tick()
        stop = self.signals.asked or clock.is_session_over()
        if several:
            strategy = engine.trainer.strategy
            clock.seconds = strategy.broadcast(clock.seconds)
            stop = strategy.broadcast(stop)
        return bool(stop)

    def _close_epoch(self, engine: Engine, *, final: bool) -> bool:
        """Do what follows an epoch, in the first process; return whether the run is over."""
        clock = engine.clock
        if self.keeper is not None:
            final = self.keeper.epoch(engine, final=final)
        if engine.trainer.world_size > 1:
            final, clock.seconds, clock.reserve = engine.trainer.strategy.broadcast(
                (final, clock.seconds, clock.reserve)
            )
        return final
