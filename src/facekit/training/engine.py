"""The loop's inside: what happens at a step, as Lightning's module.

Lightning brings devices, processes, precision and clipping. What a run *is*, and so what is kept
of it, is ours: the step counts, the schedule and the average follow it, and a resumed process is
told the step it starts from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from facekit.training.checkpoints import State
from facekit.training.config import OptimizerConfig, TrainConfig
from facekit.training.ema import Average
from facekit.training.feed import KEYS, Feed
from facekit.training.folder import RunFolder
from facekit.training.keys import KeyBatches, seed_of
from facekit.training.meter import LossMeter
from facekit.training.muon import Muon
from facekit.training.recipe import Batch, Items, Recipe
from facekit.training.schedules import Clock, rate

__all__ = ["Engine", "Watch"]

_STEP = 3  # keeps the stream of a step's randomness apart from those of keys
_PICTURE_AXES = 4


class Watch(Protocol):
    """Who decides what follows a step."""

    def started(self, feed: Feed) -> None:
        """Stand before the first step of this process."""
        ...

    def stepped(self, engine: Engine) -> None:
        """Stand after a step."""
        ...


class Engine(LightningModule):  # type: ignore[misc, unused-ignore] # Any where torch is absent
    """One step after another.

    Attributes:
        network: The network that is trained.
        average: Its averaged weights, if they are kept.
        step: Steps that are over.
        clock: Steps, time and their limits.
        losses: The losses so far.
        rate: The learning rate as a share of the configured one.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: TrainConfig,
        *,
        state: State,
        folder: RunFolder,
        clock: Clock,
        items: Items,
        losses: LossMeter,
        watch: Watch,
    ) -> None:
        """Build the network, or the one that a run was stopped with.

        Args:
            recipe: Network and loss.
            config: The run.
            state: Where to go on from; a fresh one to begin.
            folder: Where the state is from, for messages.
            clock: The run's.
            items: What is trained on.
            losses: Takes each step's losses.
            watch: Called before the first and after each step.
        """
        super().__init__()
        self.recipe, self.config = recipe, config
        self.step, self.rate = state.step, 0.0
        self.clock, self.losses = clock, losses
        self._state, self._source = state, folder.state
        self._items, self._watch = items, watch
        torch.manual_seed(seed_of(_STEP, config.seed))
        self.network: nn.Module = recipe.network()
        if config.channels_last:
            self.network.to(memory_format=torch.channels_last)
        self._groups = list(_freeze_the_rest(self.network, recipe.parameters(self.network)))
        self.average = Average(self.network, config.ema) if config.ema else None
        if state.tensors:
            averaged = self.average.network if self.average else None
            state.restore_network(self.network, averaged, self._source)
        if config.compile:
            chosen = {"backend": config.compile} if isinstance(config.compile, str) else {}
            self.network.compile(**chosen)
        self._generator: torch.Generator | None = None
        self._feed: Feed | None = None

    @property
    def shown(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, where there is one."""
        return self.average.network if self.average else self.network

    def train_dataloader(self) -> Feed:
        """Return the batches that are left, on this process's share of the items."""
        batches = KeyBatches(
            len(self._items),
            self.config.batch_size,
            seed=self.config.seed,
            start=self.step,
            stop=self.clock.total_steps,
            share=(self.global_rank, self.trainer.world_size),
            progress=self.clock.progress,
        )
        pin = self.device.type == "cuda"
        workers = self.config.worker_count(self.trainer.num_devices)
        self._feed = Feed(
            self.recipe, self._items, batches, workers, prefetch=self.config.prefetch, pin=pin
        )
        return self._feed

    def configure_optimizers(self) -> Optimizer:
        """Build the optimiser; a resumed one has its moments."""
        optimizer = _optimizer(self.config, self._groups)
        if self._state.tensors:
            self._state.restore_optimizer(optimizer, self._source)
        return optimizer

    def on_fit_start(self) -> None:
        """Take the device, which is known only now."""
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        if self.average:
            self.average.network.to(self.device)
        self._generator = torch.Generator(self.device)
        if self._state.scaler:
            self.trainer.precision_plugin.load_state_dict(self._state.scaler)
        self._state.tensors = {}

    def on_train_start(self) -> None:
        """Start the clock: what came before was not training."""
        self.clock.start()
        if self._feed is not None:
            self._watch.started(self._feed)

    def on_fit_end(self) -> None:
        """Send the workers home."""
        if self._feed is not None:
            self._feed.close()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002 - Lightning's signature
        """Let the recipe work on the batch, on the device, at full precision."""
        keys = batch.pop(KEYS)
        seed = seed_of(_STEP, self.config.seed, self.step, self.global_rank)
        torch.manual_seed(seed)
        generator = self._generator.manual_seed(seed) if self._generator else None
        with torch.no_grad():
            batch = self.recipe.prepare(batch, generator)
        if self.config.channels_last:
            batch = {name: _channels_last(value) for name, value in batch.items()}
        return {**batch, KEYS: keys}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Set the learning rate of the step."""
        self.rate = rate(self.config.schedule, self.clock.progress(self.step), self.step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.config.optimizer.lr * group["lr_scale"] * self.rate

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: object, **__: object) -> None:
        """Clip by the norm; Lightning's own way refuses fused optimisers even without a scaler."""
        if self.config.clip is not None:
            parameters = [one for group in optimizer.param_groups for one in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.config.clip)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Return the loss of a batch."""
        keys = batch.pop(KEYS)
        losses = self.recipe.loss(self.network, batch)
        self.losses.add(self.step + 1, keys, losses)
        return losses["loss"]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:  # noqa: ANN401, ARG002 - Lightning's signature
        """Count the step, follow with the average, and ask what follows."""
        self.step += 1
        if self.average:
            self.average.update(self.network, self.step)
        self._watch.stepped(self)


def _freeze_the_rest(network: nn.Module, groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield groups that a checkpoint's optimiser can rely on; freeze what is in none."""
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    for group in groups:
        yield {"lr_scale": 1.0, **group}


def _optimizer(config: TrainConfig, groups: list[dict[str, Any]]) -> Optimizer:
    """Build the optimiser; on a GPU its steps are one kernel."""
    chosen: OptimizerConfig = config.optimizer
    fused = chosen.fused
    if fused is None:
        fused = all(one.device.type == "cuda" for group in groups for one in group["params"])
    # With a scaler, fused kernels unscale gradients themselves: too late for clipping.
    fused = fused and not (config.precision == "16" and config.clip)
    common = {"lr": chosen.lr, "weight_decay": chosen.weight_decay, "fused": fused or None}
    if chosen.name == "sgd":
        return SGD(groups, momentum=chosen.momentum, nesterov=chosen.nesterov, **common)
    if chosen.name == "muon":
        return Muon(groups, momentum=chosen.momentum, betas=chosen.betas, **common)
    kind = AdamW if chosen.name == "adamw" else Adam
    return kind(groups, betas=chosen.betas, **common)


def _channels_last(value: Any) -> Any:  # noqa: ANN401 - an entry of a batch
    """Lay a batch of pictures out channels last."""
    if torch.is_tensor(value) and value.ndim == _PICTURE_AXES and value.is_floating_point():
        return value.contiguous(memory_format=torch.channels_last)
    return value
