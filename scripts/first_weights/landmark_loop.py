"""The training loop of the landmark network: loss, state, batches and the time-boxed schedule."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from landmark_augment import Jitter, jittered_crop, to_input
from landmark_data import Face, read_faces, split_faces
from landmark_measure import face_errors
from rich.progress import Progress

from facekit.networks.resnet18 import INPUT_SIZE, ResNet18Landmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

WING_WIDTH = 10.0
WING_CURVATURE = 2.0

VIDEO_STRIDE = 3
"""Every how many video faces one is validated on: frames of one person look alike."""


@dataclass(frozen=True)
class Recipe:
    """What one run does, beside its data.

    Attributes:
        minutes: Training time, without the time spent in earlier, resumed processes.
        stages: (input side in pixels, share of the time) in order; the shares sum to 1.
        batch_size: Crops per step.
        learning_rate: The peak; a warm-up leads to it, a cosine from it to zero.
        warm_up: Share of the time spent warming up.
        weight_decay: AdamW's, on weights of two and more dimensions only.
        ema: Decay per step of the averaged weights, which are the ones kept.
        ibug_share: Share of the crops that come from hand-placed ibug faces.
        validate_every: Seconds between two validations.
        seed: Of the initial weights and the crops.
    """

    minutes: float = 85.0
    stages: tuple[tuple[int, float], ...] = ((112, 0.5), (160, 0.15), (INPUT_SIZE, 0.35))
    batch_size: int = 32
    learning_rate: float = 1e-3
    warm_up: float = 0.02
    weight_decay: float = 0.02
    ema: float = 0.99
    ibug_share: float = 0.5
    validate_every: float = 180.0
    seed: int = 0

    def size_at(self, progress: float) -> int:
        """Return the input side at a share of the run's time."""
        passed = 0.0
        for size, share in self.stages:
            passed += share
            if progress < passed:
                return size
        return self.stages[-1][0]

    def rate_at(self, progress: float) -> float:
        """Return the learning rate at a share of the run's time."""
        if progress < self.warm_up:
            return self.learning_rate * max(progress / self.warm_up, 0.01)
        cosine = np.cos(np.pi * (progress - self.warm_up) / (1 - self.warm_up))
        return float(self.learning_rate * (1 + cosine) / 2)


@dataclass
class State:
    """Everything that changes while training; a checkpoint is exactly this."""

    network: ResNet18Landmarks
    average: ResNet18Landmarks
    optimizer: torch.optim.Optimizer
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    best: float = field(default=float("inf"))

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        temporary = path.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "images": self.images,
                "seconds": self.seconds,
                "best": self.best,
            },
            temporary,
        )
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        stored = torch.load(path, weights_only=True)
        self.network.load_state_dict(stored["network"])
        self.average.load_state_dict(stored["average"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step, self.images = stored["step"], stored["images"]
        self.seconds, self.best = stored["seconds"], stored["best"]


def wing_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the Wing loss (Feng et al., 2018) of coordinates, in 1/224 of the crop's side.

    Logarithmic below ``WING_WIDTH`` and linear above, so small errors keep a strong gradient.

    Args:
        predicted: (N, 136) fractions of the crop.
        target: (N, 136) fractions of the crop.
    """
    error = (predicted - target).abs() * INPUT_SIZE
    offset = WING_WIDTH - WING_WIDTH * float(np.log1p(WING_WIDTH / WING_CURVATURE))
    small = WING_WIDTH * torch.log1p(error / WING_CURVATURE)
    return torch.where(error < WING_WIDTH, small, error - offset).mean()


def new_state(recipe: Recipe, faces: Sequence[Face]) -> State:
    """Return random weights that answer the faces' mean shape, and their optimiser."""
    torch.manual_seed(recipe.seed)
    network = ResNet18Landmarks()
    rng = np.random.default_rng(recipe.seed)
    shapes = [jittered_crop(face, 32, Jitter(), rng)[1] for face in faces]
    with torch.no_grad():
        network.model.fc.weight.mul_(0.1)
        network.model.fc.bias.copy_(torch.from_numpy(np.mean(shapes, axis=0)))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = ResNet18Landmarks()
    average.load_state_dict(network.state_dict())
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    plain = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return State(network, average.eval(), torch.optim.AdamW(groups, lr=recipe.learning_rate))


def draw_batch(
    faces: dict[str, list[Face]], recipe: Recipe, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return one batch of jittered crops, (N, 1, size, size), and their targets, (N, 136)."""
    pairs = []
    for _ in range(recipe.batch_size):
        pool = faces["ibug" if rng.random() < recipe.ibug_share else "p1"]
        pairs.append(jittered_crop(pool[rng.integers(len(pool))], size, Jitter(), rng))
    crops, targets = zip(*pairs, strict=True)
    return torch.from_numpy(to_input(crops)), torch.from_numpy(np.stack(targets))


def train_step(state: State, image: Tensor, target: Tensor, rate: float, ema: float) -> float:
    """Take one optimiser step and return the loss."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = state.network(image)
    loss = wing_loss(predicted.float(), target)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 50.0)
    state.optimizer.step()
    decay = min(ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        pairs = zip(
            state.average.state_dict().values(), state.network.state_dict().values(), strict=True
        )
        for kept, new in pairs:
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
    state.step += 1
    state.images += len(image)
    return float(loss.detach())


@torch.inference_mode()
def predict(
    network: ResNet18Landmarks, crops: NDArray[np.float32], *, fast: bool = True
) -> NDArray[np.float32]:
    """Return the network's answers for a batch of crops, as arrays.

    Args:
        network: In evaluation mode.
        crops: (N, 1, S, S) float32 in -1..1.
        fast: Whether to compute in bfloat16, as in training.
    """
    image = torch.from_numpy(crops).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        points: Tensor = network(image)
    return points.float().numpy()


def validate(
    state: State,
    faces: dict[str, list[Face]],
    recipe: Recipe,
    runs: Path,
    row: dict[str, float],
) -> str:
    """Measure the averaged weights, log, and keep them if they are the best at the final size."""
    size = int(row["size"])
    for source, pool in faces.items():
        errors = face_errors(lambda crops: predict(state.average, crops), pool, size)
        row[f"nme_{source}"] = round(100 * float(errors.mean()), 3)
    log = runs / "log.csv"
    fresh = not log.exists()
    with log.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    torch.save(state.average.state_dict(), runs / "latest.pth")
    if size == recipe.stages[-1][0] and row["nme_ibug"] < state.best:
        state.best = row["nme_ibug"]
        torch.save(state.average.state_dict(), runs / "best.pth")
    state.save(runs / "checkpoint.pth")
    return " ".join(f"{name}={value:g}" for name, value in row.items())


def train(data: Path, runs: Path, recipe: Recipe, start: Path | None = None) -> None:
    """Train until the time is over; ``runs / "best.pth"`` holds the weights to export.

    Args:
        data: The data folder.
        runs: Folder of checkpoints and the log; its last checkpoint is continued from.
        recipe: How to train.
        start: Weights of an earlier run to start from, random ones by default.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        faces = {source: read_faces(data, source) for source in ("ibug", "p1")}
        fit = {name: split_faces(pool, "train") for name, pool in faces.items()}
        held = {name: split_faces(pool, "validation") for name, pool in faces.items()}
        held["p1"] = held["p1"][::VIDEO_STRIDE]
        counts = {name: (len(fit[name]), len(held[name])) for name in faces}
        progress.console.print(f"faces to train and validate on: {counts}")
        state = new_state(recipe, fit["ibug"] + fit["p1"])
        if start is not None:
            weights = torch.load(start, weights_only=True)
            state.network.load_state_dict(weights)
            state.average.load_state_dict(weights)
        if (runs / "checkpoint.pth").exists():
            state.load(runs / "checkpoint.pth")
        rng = np.random.default_rng((recipe.seed, state.step))
        bar = progress.add_task("training", total=recipe.minutes * 60)
        while state.seconds < recipe.minutes * 60:
            row = _train_until_validation(
                state, fit, recipe, rng, lambda done: progress.update(bar, completed=done)
            )
            progress.console.print(validate(state, held, recipe, runs, row))


def _train_until_validation(
    state: State,
    faces: dict[str, list[Face]],
    recipe: Recipe,
    rng: np.random.Generator,
    report: Callable[[float], None],
) -> dict[str, float]:
    """Train to the next validation or the end, and return the log's row about it."""
    started, images, losses = state.seconds, state.images, []
    stop = min(started + recipe.validate_every, recipe.minutes * 60)
    last = time.monotonic()
    while state.seconds < stop:
        share = state.seconds / (recipe.minutes * 60)
        size, rate = recipe.size_at(share), recipe.rate_at(share)
        image, target = draw_batch(faces, recipe, size, rng)
        losses.append(train_step(state, image, target, rate, recipe.ema))
        now = time.monotonic()
        state.seconds += now - last
        last = now
        report(state.seconds)
    return {
        "minutes": round(state.seconds / 60, 2),
        "step": state.step,
        "images": state.images,
        "size": size,
        "rate": round(rate, 7),
        "images_per_second": round((state.images - images) / (state.seconds - started), 1),
        "loss": round(float(np.mean(losses)), 4),
    }
