"""mmengine's Runner in a facekit run: where it begins, how it is stopped, what it came to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import mmengine.dist
import safetensors.torch
import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from facekit.atomic import atomic_path
from facekit.errors import ConfigError, WeightsError
from facekit.mmlab import checkpoints
from facekit.training.foreign import Job, Outcome

__all__ = ["Progress", "Start", "latest", "prepare_processes", "run"]

_REMEMBERED: Final[Mapping[str, type]] = {
    "best_ckpt": str,
    "best_score": float,
    "keep_ckpt_ids": list,
    "last_ckpt": str,
}
"""What mmengine's checkpoint hook knows of the run until then."""


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """Where a run begins.

    Attributes:
        state: Weights to begin with; without any they are the model's own initialisation.
    """

    state: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)

    def begin(self, runner: Runner) -> None:
        """Give the model its weights.

        Args:
            runner: Whose model has been initialised.
        """
        model = getattr(runner.model, "module", runner.model)
        model.load_state_dict(self.state, strict=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Progress(Start):
    """A run in its middle, read without running anything that is in the file.

    Attributes:
        path: The checkpoint.
        whole: All that it holds.
    """

    path: Path = Path()
    whole: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a checkpoint.

        Raises:
            WeightsError: If it is missing or damaged.
        """
        whole = checkpoints.stored(path)
        return cls(checkpoints.read(path).state, path, whole)

    def check(self, config: Any, asked: str) -> None:  # noqa: ANN401 - Config
        """Refuse to go on where nothing is left to do, or to go on from.

        Args:
            config: The run's.
            asked: What the user wrote, for messages.

        Raises:
            ConfigError: If all epochs, or steps, are over; or if the checkpoint holds weights
                alone.
        """
        meta = self.whole.get("meta")
        meta = meta if isinstance(meta, Mapping) else {}
        for done, end, word in (("epoch", "max_epochs", "epochs"), ("iter", "max_iters", "steps")):
            wanted, over = config.train_cfg.get(end), meta.get(done)
            if isinstance(wanted, int) and isinstance(over, int) and over >= wanted:
                raise ConfigError(
                    f"{asked}: {self.path}: {over} {word} are over and the run has {wanted}, so "
                    f"nothing would be trained: give more {word}, or begin anew by "
                    f"load_from: {self.path}"
                )
        missing = {"optimizer", "param_schedulers", "meta"} - self.whole.keys()
        if not config.get("param_scheduler"):
            missing -= {"param_schedulers"}
        if missing:
            reason = f"is no checkpoint of mmengine to go on from: it has no {min(missing)}"
            raise WeightsError(self.path, f"{reason}; load_from takes its weights")

    def begin(self, runner: Runner) -> None:
        """Restore weights, optimiser, schedules and counters.

        Args:
            runner: With everything built.
        """
        runner.call_hook("after_load_checkpoint", checkpoint=dict(self.whole))
        super().begin(runner)
        runner.optim_wrapper.load_state_dict(self.whole["optimizer"])
        kept = self.whole.get("param_schedulers") or []
        for scheduler, state in zip(runner.param_schedulers or [], kept, strict=True):
            scheduler.load_state_dict(state)
        loop, meta = runner.train_loop, self.whole["meta"]
        loop._epoch, loop._iter = meta["epoch"], meta["iter"]  # noqa: SLF001 - as mmengine does
        hub = self.whole.get("message_hub")
        known = hub.get("runtime_info", {}) if isinstance(hub, Mapping) else {}
        for name, kind in _REMEMBERED.items():
            if isinstance(known.get(name), kind):
                runner.message_hub.update_info(name, known[name])
        runner.logger.info("on from %s: epoch %d, step %d", self.path, loop.epoch, loop.iter)


def latest(work: Path) -> Path | None:
    """Return the newest checkpoint of a run, if it has kept one.

    Args:
        work: The folder that mmengine wrote into.
    """
    found = find_latest_checkpoint(str(work))
    if found is None:
        return None
    # The run's folder may have been moved since.
    moved = work / Path(found).name
    return moved if moved.is_file() else None


def prepare_processes(config: Any, launcher: str) -> str:  # noqa: ANN401 - Config
    """Let several processes know each other, before the first of them writes for all.

    Args:
        config: The run's, changed in place where the processes have no GPU.
        launcher: ``auto`` for ``pytorch`` where torchrun started them.

    Returns:
        The launcher by mmengine's name.
    """
    if launcher == "auto":
        launcher = (
            "pytorch" if {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys() else "none"
        )
    if launcher == "none" or mmengine.dist.is_distributed():
        return launcher
    if torch.cuda.is_available():
        settings = dict(config.get("env_cfg", {}).get("dist_cfg", {"backend": "nccl"}))
        mmengine.dist.init_dist(launcher, **settings)
        return launcher
    # mmengine's own way asks for a GPU.
    torch.distributed.init_process_group("gloo")
    config.model_wrapper_cfg = {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
        "find_unused_parameters": config.get("find_unused_parameters", False),
    }
    return launcher


class _StoppedError(Exception):
    """Raised through mmengine's loop when the run was asked to stop, and is kept."""


class _Watch(Hook):
    """Looks after each step whether the run shall stop, and remembers what was measured."""

    priority = "LOWEST"

    def __init__(self, job: Job) -> None:
        self._job = job
        self.metrics: dict[str, float] = {}

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:  # noqa: ANN401 - mmengine's
        """Keep the run and leave the loop, if that was asked of any of the processes."""
        asked = torch.tensor(int(self._job.should_stop()), device=get_device())
        mmengine.dist.all_reduce(asked, "max")
        if not asked:
            return
        name = "stopped.pth"
        runner.save_checkpoint(str(self._job.work), name, by_epoch=False)
        if self._job.is_first:
            (self._job.work / "last_checkpoint").write_text(str(self._job.work / name))
        raise _StoppedError

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Remember the numbers."""
        self.metrics = dict(metrics or {})


class _FrozenNorms(Hook):
    """Keeps the batch norms' statistics, which mmengine's loop sets free each epoch."""

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:  # noqa: ANN401 - mmengine's
        """Put the norms alone into evaluation mode."""
        for module in runner.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - of all kinds
                module.eval()


class _Runner(Runner):  # type: ignore[misc, unused-ignore]
    """mmengine's Runner, which begins where facekit says."""

    start = Start()

    def load_or_resume(self) -> None:
        """Begin; no file is unpickled."""
        self.start.begin(self)
        self._has_loaded = True


def run(config: Any, start: Start, job: Job, *, freeze_norms: bool) -> Outcome:  # noqa: ANN401 - Config
    """Train.

    Args:
        config: With data, folder and launcher.
        start: Where to begin.
        job: What is asked.
        freeze_norms: Whether the batch norms' statistics stay.

    Returns:
        What it came to.
    """
    runner = _Runner.from_cfg(config)
    runner.start = start
    watch = _Watch(job)
    runner.register_hook(watch, priority=watch.priority)
    if freeze_norms:
        runner.register_hook(_FrozenNorms())
    interrupted = False
    try:
        runner.train()
    except _StoppedError:
        interrupted = True
    if job.is_first:
        _keep_tensors(runner, job.work / "last.safetensors")
    hub = runner.message_hub
    best = hub.get_info("best_score") if "best_score" in hub.runtime_info else None
    monitor = config.get("default_hooks", {}).get("checkpoint", {}).get("save_best", "")
    return Outcome(
        runner.iter + interrupted,
        latest(job.work),
        str(monitor),
        best,
        watch.metrics,
        interrupted=interrupted,
    )


def _keep_tensors(runner: Runner, path: Path) -> None:
    """Write the weights alone: mmengine's checkpoints hold objects, which backends refuse."""
    model = getattr(runner.model, "module", runner.model)
    state = {name: one.detach().cpu().contiguous() for name, one in model.state_dict().items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(state, temporary)
