"""The tiny SSD's training loop: time-boxed, resumable, with averaged weights and a CSV log."""

from __future__ import annotations

import copy
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from ssd_boxes import Targets, anchors, assign, distillation_loss, multibox_loss
from ssd_data import FULL_SIZE, Photo, RandomViews, Sample, Source
from ssd_export import fold_batch_norms
from ssd_measure import average_precisions
from torch import Tensor, nn
from torch.utils.data import DataLoader

from facekit.networks.tiny_ssd import TinySSD

CHANNELS_LAST: Final = torch.channels_last
CONVOLUTION_AXES: Final = 4
CONSOLE: Final = Console()


@dataclass(frozen=True)
class Config:
    """Everything a run depends on besides its photos."""

    minutes: float = 90
    batch: int = 16
    peak_rate: float = 2.5e-3
    warm_up: float = 0.03
    weight_decay: float = 0.01
    clip: float = 20.0
    average_decay: float = 0.99
    sizes: tuple[tuple[float, int], ...] = ((0.0, 192), (0.78, FULL_SIZE))
    """Share of the run from which each input size holds."""
    label_weight: float = 0.3
    """Weight of the labels' loss beside a teacher's; without a teacher it is 1."""
    measure_minutes: float = 5
    seed: int = 0


@dataclass
class State:
    """What a checkpoint keeps."""

    network: TinySSD
    average: TinySSD
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)


def train(
    config: Config, sources: list[Source], apart: list[Photo], run: Path, teacher: TinySSD | None
) -> None:
    """Train for the minutes that are left of a run, keeping its last and its best weights."""
    state = _start(config, run)
    limit, measured = config.minutes * 60, state.seconds
    clock = time.monotonic() - state.seconds
    with _progress() as progress:
        task = progress.add_task("tiny SSD", total=limit, note="")
        for samples in _batches(config, state, sources):
            losses = _step(config, state, samples, teacher)
            state.seconds = time.monotonic() - clock
            done = state.seconds >= limit
            note = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            progress.update(task, completed=state.seconds, note=f"step {state.step} {note}")
            if done or state.seconds - measured >= config.measure_minutes * 60:
                measured = state.seconds
                _keep(config, state, apart, run, losses)
            if done:
                return


def _start(config: Config, run: Path) -> State:
    """A fresh state, or the one that the run was stopped in."""
    torch.manual_seed(config.seed)
    network = TinySSD()
    network.reset_parameters()
    channels_last(network)
    state = State(network, copy.deepcopy(network).eval(), _optimizer(config, network))
    _quicken(network)
    last = run / "last.pth"
    if last.is_file():
        content = torch.load(last, weights_only=True)
        for name in ("network", "average", "optimizer"):
            getattr(state, name).load_state_dict(content.pop(name))
        for name, value in content.items():
            setattr(state, name, value)
    return state


def channels_last(network: nn.Module) -> None:
    """Lay the convolutions' weights out as the views are, which is faster on a CPU."""
    for parameter in network.parameters():
        if parameter.ndim == CONVOLUTION_AXES:
            parameter.data = parameter.data.contiguous(memory_format=CHANNELS_LAST)


def _quicken(network: nn.Module) -> None:
    """Let depthwise convolutions of stride 2 run at stride 1 and drop every other cell.

    The outcome is the same, and a CPU has a quick bfloat16 gradient only for stride 1.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and module.stride == (2, 2):
            module.stride = (1, 1)
            module.register_forward_hook(_every_other)


def _every_other(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output[..., ::2, ::2].contiguous(memory_format=CHANNELS_LAST)


def _optimizer(config: Config, network: nn.Module) -> torch.optim.Optimizer:
    """AdamW that decays only the convolutions' weights."""
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in network.parameters():
        groups[parameter.ndim == CONVOLUTION_AXES].append(parameter)
    decays = {True: config.weight_decay, False: 0.0}
    return torch.optim.AdamW(
        [{"params": group, "weight_decay": decays[decayed]} for decayed, group in groups.items()],
        lr=config.peak_rate,
    )


def _batches(config: Config, state: State, sources: list[Source]) -> Iterator[list[Sample]]:
    """Batches of the size that each part of the run asks for."""
    size, loader = 0, iter(())
    while True:
        wanted = _size(config, state)
        if wanted != size:
            size = wanted
            views = RandomViews(sources, size, config.batch, config.seed + state.step)
            workers: Any = DataLoader(views, batch_size=None, num_workers=1, prefetch_factor=6)
            loader = iter(workers)
        yield next(loader)


def _size(config: Config, state: State) -> int:
    share = state.seconds / (config.minutes * 60)
    return [size for start, size in config.sizes if share >= start][-1]


def _rate(config: Config, state: State) -> float:
    """The learning rate: a linear warm-up, then half a cosine to zero at the last minute."""
    share = min(state.seconds / (config.minutes * 60), 1.0)
    if share < config.warm_up:
        return config.peak_rate * (0.02 + 0.98 * share / config.warm_up)
    turn = torch.tensor((share - config.warm_up) / (1 - config.warm_up) * torch.pi)
    return config.peak_rate * (0.5 + 0.5 * float(turn.cos())) + 1e-6


def _step(
    config: Config, state: State, samples: list[Sample], teacher: TinySSD | None
) -> dict[str, float]:
    """One step of the optimiser; the parts of the loss by name."""
    for group in state.optimizer.param_groups:
        group["lr"] = _rate(config, state)
    state.network.train()
    image = torch.stack([s.image for s in samples]).contiguous(memory_format=CHANNELS_LAST)
    with torch.autocast("cpu", torch.bfloat16):
        logits, deltas = (output.float() for output in state.network(image))
    parts = {"label": _label_loss(samples, logits, deltas)}
    if teacher is not None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            taught = [output.float() for output in teacher(image)]
        parts["teacher"] = distillation_loss(logits, deltas, taught[0], taught[1])
    weight = config.label_weight if teacher is not None else 1.0
    loss = parts["label"] * weight + parts.get("teacher", torch.zeros(()))
    state.optimizer.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(state.network.parameters(), config.clip)
    state.optimizer.step()
    state.step += 1
    _average(state, min(config.average_decay, (1 + state.step) / (10 + state.step)))
    return {name: float(part.detach()) for name, part in parts.items()}


def _label_loss(samples: list[Sample], logits: Tensor, deltas: Tensor) -> Tensor:
    """The multibox loss over the samples whose faces are all labelled."""
    rows = [row for row, sample in enumerate(samples) if sample.labelled]
    if not rows:
        return logits.sum() * 0
    priors = anchors(samples[0].image.shape[-1])
    matched = [assign(samples[row].faces, samples[row].ignored, priors) for row in rows]
    targets = Targets(
        torch.stack([one.classes for one in matched]), torch.stack([one.deltas for one in matched])
    )
    return multibox_loss(logits[rows], deltas[rows], targets)


@torch.no_grad()
def _average(state: State, decay: float) -> None:
    """Move the averaged weights, and the batch norms' statistics, towards the current ones."""
    averaged, current = state.average.state_dict(), state.network.state_dict()
    floats = [name for name, value in current.items() if value.is_floating_point()]
    torch._foreach_lerp_([averaged[n] for n in floats], [current[n] for n in floats], 1 - decay)


def _keep(
    config: Config, state: State, apart: list[Photo], run: Path, losses: dict[str, float]
) -> None:
    """Measure the averaged weights, write the log, the last checkpoint and, if so, the best."""
    scores = average_precisions(fold_batch_norms(state.average), apart)
    row = {
        "minutes": round(state.seconds / 60, 1),
        "step": state.step,
        "size": _size(config, state),
        "rate": _rate(config, state),
        **losses,
        **{f"ap_{height}": score for height, score in scores.items()},
    }
    state.rows.append({name: round(value, 5) for name, value in row.items()})
    CONSOLE.print(state.rows[-1])
    value = sum(scores.values())
    if value >= state.best:
        state.best = value
        _save(state.average.state_dict(), run / "best.pth")
    kept = {"step": state.step, "seconds": state.seconds, "best": state.best, "rows": state.rows}
    modules = {
        name: getattr(state, name).state_dict() for name in ("network", "average", "optimizer")
    }
    _save({**modules, **kept}, run / "last.pth")
    with (run / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, state.rows[-1])
        writer.writeheader()
        writer.writerows(state.rows)


def _save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=CONSOLE)
