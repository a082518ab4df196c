"""How many images a second training takes, beside the loop of the ResNet18 landmark tutorial.

    python benchmarks/training_throughput.py ibug300w:labels_ibug_300W_train.xml

The tutorial's loop is rebuilt from its structure: a dataset that opens the photo, crops, resizes,
jitters and turns it as a Pillow image for each item; a loader of four workers; and ``next(iter(
loader))`` at each step, which starts all workers anew, fetches eight batches and uses one. Both
sides train torchvision's ResNet18 on the same faces, grey 224 x 224, the same augmentation, batch
64, Adam, squared error, in float32, which is torch's default. facekit's side is ``landmarks:
tutorial`` as it is shipped, the start of its workers counted; the same without what makes its
float32 faster on a CPU (convolutions laid out channels last, memory held from step to step); and
in mixed precision. All take turns for some rounds, the best of each counts, so that what else the
machine does falls on all alike.

Then its parts: how fast the loader alone gives batches, and how fast the network alone takes them,
for ``landmarks:default`` with what that preset asks of both (crops of 224 px, its augmentation,
mixed precision). The loader should give at least twice of what the network takes.

Nothing is asserted: the numbers depend on the machine, their ratio less so.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as transforms

from facekit import datasets
from facekit.training import train
from facekit.training.checkpoints import State
from facekit.training.config import cores
from facekit.training.engine import Engine
from facekit.training.feed import KEYS, Feed
from facekit.training.folder import RunFolder
from facekit.training.keys import KeyBatches
from facekit.training.meter import LossMeter
from facekit.training.recipes import load_recipe
from facekit.training.schedules import Clock
from facekit.training.session import Session
from facekit.training.sources import read_config

BATCH = 64
TUTORIAL_WORKERS = 4
SIDE = 224
PREFETCH = 4

TUTORIAL = "the tutorial's loop"
WAYS = {
    "landmarks:tutorial": (),
    "the same, laid out plainly": ("channels_last=false", "hold_memory=false"),
    "the same in bf16": ("precision=bf16",),
}
"""Rows of the table, and what each changes in the preset."""


class Face(NamedTuple):
    """What the tutorial keeps of a face: where its photo is, its box, its points."""

    path: str
    box: tuple[float, float, float, float]
    points: Any


class TutorialFaces:
    """The tutorial's dataset: everything is done for each item, from the file on."""

    def __init__(self, spec: str) -> None:
        self._faces = [
            Face(str(record.path), face.box, np.array(face.landmarks, np.float32))
            for record in datasets.read(spec)
            for face in record.faces
            if face.landmarks
        ]
        self._jitter = ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1)

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self._faces)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return a crop and its points."""
        path, (left, top, right, bottom), points = self._faces[index]
        width, height = right - left, bottom - top
        image = Image.open(path).convert("L")
        image = transforms.crop(image, int(top), int(left), int(height), int(width))
        image = self._jitter(transforms.resize(image, [SIDE, SIDE]))
        angle = float(np.random.uniform(-10, 10))  # noqa: NPY002 - as the tutorial has it
        pixels = np.array(transforms.rotate(image, angle))
        turn = np.radians(angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shares = (points - (left, top)) / (width, height)
        turned = (shares - 0.5) @ rotation
        picture = transforms.normalize(transforms.to_tensor(pixels), [0.5], [0.5])
        return picture, torch.tensor(turned, dtype=torch.float32)


def tutorial(spec: str, device: torch.device, steps: int) -> float:
    """Return the images a second of the tutorial's loop."""
    faces: Any = TutorialFaces(spec)
    loader = DataLoader(faces, batch_size=BATCH, shuffle=True, num_workers=TUTORIAL_WORKERS)
    network = torchvision.models.resnet18(num_classes=136)
    network.conv1 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    criterion = torch.nn.MSELoss()
    total, began = 0.0, time.perf_counter()
    for _ in range(steps):
        images, points = next(iter(loader))
        predictions = network(images.to(device))
        optimizer.zero_grad()
        loss = criterion(predictions, points.view(len(points), -1).to(device))
        loss.backward()
        optimizer.step()
        total += loss.item()
    return steps * BATCH / (time.perf_counter() - began)


def ours(spec: str, steps: int, *changes: str) -> float:
    """Return the images a second of ``facekit train landmarks:tutorial``."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["epochs=null", f"steps={steps}", f"out={folder}/run", f"batch_size={BATCH}"]
        settings += [f"data={spec}", *changes]
        result = train(read_config("landmarks:tutorial", settings))
        rows = result.folder.log.read_text().splitlines()
        names = rows[0].split(",")
        values = [dict(zip(names, row.split(","), strict=True)) for row in rows[1:]]
        before = [0, *(int(row["step"]) for row in values)]
        seconds = sum(
            (int(row["step"]) - start) * BATCH / float(row["images_per_second"])
            for row, start in zip(values, before, strict=False)
        )
        return steps * BATCH / seconds


def engine_of(spec: str, device: torch.device) -> Engine:
    """Return the engine of ``landmarks:default`` outside of a run."""
    settings = [f"data={spec}", "stages=[{until: 1.0, size: 224}]"]
    config = read_config("landmarks:default", settings)
    kind = load_recipe(config.recipe)
    recipe = kind(kind.Options.model_validate(config.options))
    engine = Engine(
        recipe,
        config,
        state=State(),
        folder=RunFolder(Path("nowhere")),
        clock=Clock(config, 1),
        items=recipe.train_items(),
        losses=LossMeter(str),
        watch=Session(1),
    )
    engine.to(device)
    return engine


def batches_of(engine: Engine, device: torch.device) -> Feed:
    """Return an endless feed."""
    items = engine.recipe.train_items()
    keys = KeyBatches(len(items), engine.config.batch_size, seed=0)
    pin = device.type == "cuda"
    return Feed(engine.recipe, items, keys, engine.config.worker_count(), pin=pin)


def loader_alone(engine: Engine, device: torch.device, steps: int) -> float:
    """Return the images a second that workers give, once they are under way."""
    feed = batches_of(engine, device)
    batches: Iterator[Any] = iter(feed)
    # What the workers had prepared before the clock started is no measure.
    ahead = engine.config.worker_count() * PREFETCH
    for _ in itertools.islice(batches, ahead):
        pass
    began = time.perf_counter()
    for _ in itertools.islice(batches, steps + ahead):
        pass
    speed = (steps + ahead) * engine.config.batch_size / (time.perf_counter() - began)
    feed.close()
    return speed


def network_alone(engine: Engine, device: torch.device, steps: int) -> float:
    """Return the images a second that the network takes, on one batch that lies on the device."""
    feed = batches_of(engine, device)
    batch = next(iter(feed))
    feed.close()
    batch.pop(KEYS)
    there = {name: value.to(device) for name, value in batch.items()}
    generator = torch.Generator(device)
    parameters = list(engine.network.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=device.type == "cuda" or None)
    engine.network.train()

    def step() -> None:
        prepared = engine.recipe.prepare(dict(there), generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=engine.config.precision == "bf16"):
            loss = engine.recipe.loss(engine.network, prepared)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    _wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return steps * engine.config.batch_size / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    # torch doubts the tutorial's four workers where there are fewer cores.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", metavar="FORMAT:PATH", help="faces with 68 points")
    parser.add_argument("--steps", type=int, default=None, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="of the loops, taking turns")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = arguments.steps or (200 if device.type == "cuda" else 8)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, {cores()} cores, torch {torch.__version__}")
    best = dict.fromkeys([TUTORIAL, *WAYS], 0.0)
    for _ in range(arguments.rounds):
        # A tenth of the steps is enough to see a loop of which each step begins anew.
        speed = tutorial(arguments.data, device, max(steps // 10, 4))
        best[TUTORIAL] = max(best[TUTORIAL], speed)
        for name, changes in WAYS.items():
            best[name] = max(best[name], ours(arguments.data, steps, *changes))
    for name, speed in best.items():
        print(f"{name:<27}{speed:10.1f} images/s  {speed / best[TUTORIAL]:.2f} x")
    engine = engine_of(arguments.data, device)
    takes = network_alone(engine, device, max(steps // 4, 2))
    print(f"network alone, default     {takes:10.1f} images/s")
    gives = loader_alone(engine, device, steps)
    print(f"loader alone, default      {gives:10.1f} images/s  {gives / takes:.2f} x")


if __name__ == "__main__":
    main()
