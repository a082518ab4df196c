"""A training run in facekit's own engine, from its configuration to its folder."""

from __future__ import annotations

import dataclasses
import logging

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from facekit.errors import ConfigError, TrainingError
from facekit.memory import held_memory
from facekit.training.bar import watched
from facekit.training.checkpoints import State
from facekit.training.config import TrainConfig
from facekit.training.engine import Engine
from facekit.training.epochs import Keeper, gave_up
from facekit.training.folder import RunFolder
from facekit.training.logs import Logs
from facekit.training.meter import LossMeter
from facekit.training.opening import opened
from facekit.training.quiet import quiet_frameworks
from facekit.training.recipe import Items, Recipe
from facekit.training.recipes import load_recipe
from facekit.training.result import TrainResult
from facekit.training.schedules import Clock
from facekit.training.session import Session

__all__ = ["train"]

log = logging.getLogger("facekit.training")

_WORKER = "DataLoader worker"  # how torch's message of a worker's death begins; it has no class
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    source: str = "configuration",
) -> TrainResult:
    """Train a recipe of facekit's own engine.

    Args:
        config: The run.
        resume: Go on with the run that its folder holds, if it holds one.
        overwrite: Replace the run that its folder holds.
        progress: Show a bar on standard error, if that is a terminal.
        source: Where the configuration came from, for messages.

    Returns:
        What the run came to.

    Raises:
        ConfigError: If the configuration is wrong, or does not fit the machine.
        OutputError: If the run's folder cannot be written, or holds a run already.
        TrainingError: If the run cannot go on: its loss is not finite.
        FacekitError: As the recipe raises it, if its data or weights cannot be used.
    """
    kind = load_recipe(config.recipe)
    is_first = rank_zero_only.rank == 0
    options, folder = opened(
        config, kind.Options, source, resume=resume, overwrite=overwrite, is_first=is_first
    )
    recipe = kind(options)
    items = recipe.train_items()
    if not len(items):
        message = f"{source}: recipe {config.recipe!r} finds nothing to train on"
        raise ConfigError(message)
    state = State.load(folder.state) if resume and folder.state.is_file() else State()
    with quiet_frameworks():
        trainer = _trainer(config, source)
        plan = _Plan(config, recipe, items, folder, state)
        on_cpu = trainer.strategy.root_device.type == "cpu"
        with held_memory(wanted=on_cpu and config.hold_memory):
            return _run(plan, trainer, progress=progress)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a run is made of, checked."""

    config: TrainConfig
    recipe: Recipe
    items: Items
    folder: RunFolder
    state: State

    @property
    def steps_per_epoch(self) -> int:
        return max(len(self.items) * self.config.repeat // self.config.batch_size, 1)


def _run(plan: _Plan, trainer: Trainer, *, progress: bool) -> TrainResult:
    """Train what a plan says."""
    config, state = plan.config, plan.state
    clock = Clock(config, plan.steps_per_epoch, seconds=state.seconds, reserve=state.reserve)
    if clock.is_over(state.step) or gave_up(config, state):
        log.info("%s: the run is over; a later end lets it go on", plan.folder.path)
        return TrainResult(
            plan.folder, state.step, plan.recipe.monitor, state.best, {}, interrupted=False
        )
    session = Session(plan.steps_per_epoch)
    engine = Engine(
        plan.recipe,
        config,
        state=state,
        folder=plan.folder,
        clock=clock,
        items=plan.items,
        losses=LossMeter(getattr(plan.items, "name", "item {}".format)),
        watch=session,
    )
    # Nothing is written before all that could be wrong has been looked at.
    is_first = rank_zero_only.rank == 0
    if is_first:
        plan.folder.open(config, keep=bool(state.step))
        logs = Logs(plan.folder, state.step)
        session.keeper = Keeper(plan.recipe, config, plan.folder, state, plan.steps_per_epoch, logs)
        _introduce(plan, trainer)
    with watched(plan.recipe.name, wanted=progress and is_first) as bar:
        session.bar = bar
        _fit(trainer, engine, session)
    metrics = session.keeper.metrics if session.keeper is not None else {}
    interrupted = session.interrupted
    return TrainResult(
        plan.folder,
        engine.step,
        plan.recipe.monitor,
        state.best,
        metrics,
        interrupted=interrupted,
        is_first=is_first,
    )


def _fit(trainer: Trainer, engine: Engine, session: Session) -> None:
    """Let Lightning run; whatever happens, leave signals and logs in order."""
    try:
        trainer.fit(engine)
    except SystemExit as error:
        # Lightning's answer to the second Ctrl-C.
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        if _WORKER not in str(error):
            raise
        message = (
            f"a process that prepares items was killed at step {engine.step}, most often for want "
            "of memory (fewer workers or a smaller prefetch need less); "
            f"go on by: facekit train {engine.config.out} --resume"
        )
        raise TrainingError(message) from error
    finally:
        session.signals.release()
        if session.keeper is not None:
            session.keeper.logs.close()


def _introduce(plan: _Plan, trainer: Trainer) -> None:
    """Say what is about to run."""
    config = plan.config
    log.info(
        "%s: %d items, %d steps of %d an epoch, %s x %d, precision %s, %d workers%s; %s",
        plan.recipe.name,
        len(plan.items),
        plan.steps_per_epoch,
        config.batch_size,
        trainer.strategy.root_device.type,
        trainer.world_size,
        config.precision,
        config.worker_count(trainer.num_devices),
        f", on from step {plan.state.step}" if plan.state.step else "",
        plan.folder.path,
    )


def _trainer(config: TrainConfig, source: str) -> Trainer:
    """Build Lightning's trainer, with nothing of its own but devices and precision.

    Raises:
        ConfigError: If this machine has no such devices, or they cannot do it.
    """
    try:
        trainer = Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=config.strategy,
            precision=_PRECISIONS[config.precision],
            sync_batchnorm=config.sync_batchnorm,
            benchmark=True,
            # All epochs are one to Lightning: workers go on preparing across ours.
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except Exception as error:
        # Lightning raises anything from ValueError to its own classes for devices it cannot have.
        message = f"{source}: {' '.join(str(error).split())}"
        raise ConfigError(message) from error
    if config.batch_size % trainer.world_size:
        message = (
            f"{source}: batch_size {config.batch_size} cannot be shared by "
            f"{trainer.world_size} devices"
        )
        raise ConfigError(message)
    if config.precision == "16" and trainer.strategy.root_device.type == "cpu":
        message = f"{source}: precision 16 needs a GPU; on a CPU use bf16 or 32"
        raise ConfigError(message)
    return trainer
