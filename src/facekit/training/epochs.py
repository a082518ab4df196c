"""What follows an epoch: measure, look, keep, and decide whether to go on."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from typing import Any

import torch

from facekit import images
from facekit.errors import TrainingError
from facekit.training.checkpoints import State, save_weights
from facekit.training.config import TrainConfig
from facekit.training.engine import Engine
from facekit.training.feed import Feed
from facekit.training.folder import RunFolder
from facekit.training.logs import Logs
from facekit.training.meter import SpeedMeter
from facekit.training.recipe import Recipe

__all__ = ["Keeper", "gave_up"]

_TRAINING_PER_WRITING = 20

log = logging.getLogger("facekit.training")


def gave_up(config: TrainConfig, state: State) -> bool:
    """Whether the best value is longer ago than early stopping waits.

    Args:
        config: The run.
        state: Where it is.
    """
    stopping = config.early_stopping
    return stopping is not None and state.waited >= stopping.patience


@dataclasses.dataclass
class Keeper:
    """Validates, writes sheets and checkpoints, and knows the best; in the first process alone.

    Attributes:
        recipe: Measures and draws.
        config: The run.
        folder: The run's.
        state: Where the run is, as last kept.
        steps_per_epoch: Steps of an epoch.
        logs: Where numbers go.
        speed: Items a second.
        feed: Knows how long was waited for the loader.
        metrics: The last validation's numbers.
        validated: The step of the last validation.
        kept: When the state was last written, by the monotonic clock.
        cost: Seconds that it took.
    """

    recipe: Recipe
    config: TrainConfig
    folder: RunFolder
    state: State
    steps_per_epoch: int
    logs: Logs
    speed: SpeedMeter = dataclasses.field(default_factory=SpeedMeter)
    feed: Feed | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    validated: int = -1
    kept: float = 0.0
    cost: float = 0.0

    def begin(self, feed: Feed) -> None:
        """Stand before the first step of this process.

        Args:
            feed: The run's batches.
        """
        self.feed, self.speed, self.kept = feed, SpeedMeter(), time.monotonic()

    def window(self, engine: Engine) -> None:
        """Add a point to the training curves; write, and say so, if it is long ago.

        Args:
            engine: After a step.
        """
        values = {**engine.losses.latest, "lr": self.config.optimizer.lr * engine.rate}
        self.logs.curves("train", values, engine.step)
        if time.monotonic() - self.kept > self.config.keep_minutes * 60:
            self.keep(engine)
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            log.info("kept at step %d  %s", engine.step, numbers)

    def epoch(self, engine: Engine, *, final: bool) -> bool:
        """Measure if it is time to, log, keep.

        Args:
            engine: After an epoch's last step, or the run's.
            final: Whether the run ends here.

        Returns:
            Whether it does, after all that was measured.
        """
        epoch = math.ceil(engine.step / self.steps_per_epoch)
        speed, waiting = self.speed.read(self.feed.waited if self.feed else 0.0)
        means, began = engine.losses.means(), time.monotonic()
        measured: dict[str, float] = {}
        better = False
        if (final or epoch % self.config.validate_every == 0) and self.validated != engine.step:
            measured = self._validate(engine, epoch)
            better = self._is_better(measured)
        if better:
            save_weights(self.folder.best, engine.shown, self._facts(engine, epoch, measured))
        if self.config.keep_every and epoch % self.config.keep_every == 0:
            self.folder.kept(epoch).parent.mkdir(exist_ok=True)
            facts = self._facts(engine, epoch, {**means, **measured})
            save_weights(self.folder.kept(epoch), engine.shown, facts)
        row: dict[str, Any] = {
            "epoch": epoch,
            "step": engine.step,
            "minutes": round(engine.clock.tick() / 60, 2),
            "lr": self.config.optimizer.lr * engine.rate,
            **means,
            **measured,
            "images_per_second": round(speed, 1),
            "loader_wait": round(waiting, 3),
        }
        self.logs.row(row)
        self.logs.curves("validation", measured, engine.step)
        final = final or gave_up(self.config, self.state)
        if measured or final or self._may_keep():
            self.keep(engine)
        # Validation follows the last step within max_minutes: leave as much time as it took.
        engine.clock.reserve = max(engine.clock.reserve, time.monotonic() - began)
        self._say(row, better=better)
        self.speed.read(self.feed.waited if self.feed else 0.0)
        return final

    def keep(self, engine: Engine) -> None:
        """Write the newest weights and the state to resume from.

        Args:
            engine: After a step.
        """
        epoch, began = math.ceil(engine.step / self.steps_per_epoch), time.monotonic()
        facts = self._facts(engine, epoch, self.metrics)
        save_weights(self.folder.last, engine.shown, facts)
        if self.state.best is None:
            # Where nothing was measured yet, the last is the best there is.
            save_weights(self.folder.best, engine.shown, facts)
        state, trainer = self.state, engine.trainer
        state.step, state.seconds = engine.step, engine.clock.tick()
        state.reserve = engine.clock.reserve
        state.scaler = dict(trainer.precision_plugin.state_dict())
        averaged = engine.average.network if engine.average else None
        state.keep(engine.network, averaged, trainer.optimizers[0])
        state.save(self.folder.state)
        state.tensors = {}
        self.kept = time.monotonic()
        self.cost = self.kept - began

    def _may_keep(self) -> bool:
        """Whether writing would take little beside the training since the last time.

        A validated epoch is always kept; between them, short epochs of a large network on a fast
        machine would otherwise go by in writing.
        """
        return time.monotonic() - self.kept > _TRAINING_PER_WRITING * self.cost

    def _validate(self, engine: Engine, epoch: int) -> dict[str, float]:
        """Measure and draw, with the network as it would be used."""
        network, training = engine.shown, engine.shown.training
        self.validated = engine.step
        network.eval()
        try:
            with torch.no_grad():
                measured = dict(self.recipe.validate(network, engine.device))
                sheet = self.recipe.sheet(network, engine.device) if self.config.sheets else None
        finally:
            network.train(training)
        if measured and self.recipe.monitor not in measured:
            message = (
                f"recipe {self.recipe.name!r} says that {self.recipe.monitor!r} decides, but its "
                f"validation gives {', '.join(measured)}"
            )
            raise TrainingError(message)
        if sheet is not None:
            images.write(self.folder.sheet(epoch), sheet)
        self.metrics = measured or self.metrics
        return measured

    def _is_better(self, measured: dict[str, float]) -> bool:
        """Whether this is the best validation so far; a number that is none never is."""
        value = measured.get(self.recipe.monitor, math.nan)
        sign = 1.0 if self.recipe.mode == "max" else -1.0
        stopping = self.config.early_stopping
        delta = stopping.min_delta if stopping else 0.0
        best = self.state.best
        if math.isfinite(value) and (best is None or sign * (value - best) > delta):
            self.state.best, self.state.waited = value, 0
            return True
        self.state.waited += bool(measured)
        return False

    def _facts(self, engine: Engine, epoch: int, measured: dict[str, float]) -> dict[str, Any]:
        """Return what a checkpoint's JSON file says."""
        return {
            "recipe": self.recipe.name,
            "epoch": epoch,
            "step": engine.step,
            "minutes": round(engine.clock.seconds / 60, 2),
            "averaged": engine.average is not None,
            "monitor": self.recipe.monitor,
            "metrics": measured,
        }

    def _say(self, row: dict[str, Any], *, better: bool) -> None:
        """Tell a watcher how it goes, in one line."""
        between = {"epoch", "step", "minutes", "lr", "images_per_second", "loader_wait"}
        numbers = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in between)
        total = f"/{self.config.epochs}" if self.config.epochs else ""
        log.info(
            "epoch %d%s  step %d  %s%s  %.0f images/s, %.0f %% waiting for the loader, %.1f min",
            row["epoch"],
            total,
            row["step"],
            numbers,
            " (best)" if better else "",
            row["images_per_second"],
            100 * row["loader_wait"],
            row["minutes"],
        )
