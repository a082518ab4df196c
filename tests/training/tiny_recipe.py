"""A recipe that learns in seconds: where in the astronaut's photo a crop was cut."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import skimage
import torch
from torch import nn
from torchvision.transforms import v2

from facekit import read_image
from facekit.draw.sheet import contact_sheet
from facekit.images import RgbImage
from facekit.training import ItemKey, Recipe, RecipeOptions

SIDE = 16


class TinyOptions(RecipeOptions):
    crops: int = 24
    broken: int | None = None
    """The item whose target is no number."""
    missing: int | None = None
    """The item whose photo is not there."""
    deadly: int | None = None
    """The item whose making kills its process."""
    frozen: bool = False
    measures: str = "error"
    """What the validation calls its number."""
    plain: bool = False
    """No batch norm, dropout and noise."""
    signal_at: tuple[int, int] | None = None
    """The step in whose middle this process sends itself a signal, and which."""


class Crops:
    """Crops of the photo at random places, jittered by torchvision."""

    def __init__(self, options: TinyOptions) -> None:
        self._options = options
        photo = read_image(Path(skimage.__file__).parent / "data" / "astronaut.png")
        self._photo = photo[::8, ::8].copy()
        self._jitter = v2.ColorJitter(0.2, 0.2)

    def __len__(self) -> int:
        return self._options.crops

    def name(self, index: int) -> str:
        return f"crop {index}"

    def __getitem__(self, key: ItemKey) -> tuple[torch.Tensor, torch.Tensor]:
        if key.index == self._options.missing:
            read_image("nowhere.jpg")
        if key.index == self._options.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        room = len(self._photo) - SIDE
        y, x = key.random().integers(room, size=2)
        crop = torch.from_numpy(self._photo[y : y + SIDE, x : x + SIDE].transpose(2, 0, 1).copy())
        target = torch.tensor([x / room, y / room], dtype=torch.float32)
        if key.index == self._options.broken:
            target = target / 0
        return self._jitter(crop), target


class TinyRecipe(Recipe):
    name: ClassVar[str] = "tiny"
    Options = TinyOptions
    monitor: ClassVar[str] = "error"
    mode: ClassVar[Literal["max", "min"]] = "min"

    def network(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4),
            nn.Identity() if self.options.plain else nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.0 if self.options.plain else 0.1),
            nn.Linear(72, 2),
        )

    def train_items(self) -> Crops:
        return Crops(self.options)

    def collate(self, items: Any) -> dict[str, Any]:
        pictures, targets = zip(*items, strict=True)
        return {"picture": torch.stack(pictures), "target": torch.stack(targets)}

    def prepare(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        picture = batch["picture"].float() / 255
        if self.options.plain:
            return {**batch, "picture": picture}
        noise = torch.randn(picture.shape, generator=generator, device=picture.device)
        return {**batch, "picture": picture + 0.01 * noise}

    def parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        if self.options.frozen:
            return [{"params": list(network[-1].parameters()), "lr_scale": 0.5}]
        return super().parameters(network)

    def loss(self, network: nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        self._calls = getattr(self, "_calls", 0) + 1
        if self.options.signal_at and self._calls == self.options.signal_at[0]:
            signal.raise_signal(self.options.signal_at[1])
        error = network(batch["picture"]).float() - batch["target"]
        return {"loss": error.square().mean(), "distance": error.abs().mean().detach()}

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        assert not network.training
        crops = Crops(TinyOptions())
        items = [crops[ItemKey(99, 0, index)] for index in range(8)]
        batch = self.collate(items)
        output = network(batch["picture"].to(device).float() / 255)
        return {self.options.measures: float((output.cpu() - batch["target"]).abs().mean())}

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage:
        assert not network.training
        assert device.type == "cpu"
        crops = Crops(TinyOptions())
        pictures = [crops[ItemKey(99, 0, index)][0].numpy().transpose(1, 2, 0) for index in (0, 1)]
        return contact_sheet([np.ascontiguousarray(one) for one in pictures], cell=64)
