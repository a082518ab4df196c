"""The recipe ``ssd``: the tiny SSD on annotated photos, and beside a teacher if there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from facekit.detectors import tiny_ssd
from facekit.errors import ConfigError
from facekit.images import RgbImage
from facekit.networks.tiny_ssd import TinySSD
from facekit.training.detection import ssd_weights
from facekit.training.detection.light import distort
from facekit.training.detection.multibox import Faces, distillation_losses, match, multibox_losses
from facekit.training.detection.photos import Photo, read_photos, spread
from facekit.training.keys import ItemKey
from facekit.training.recipe import Batch, Items, Recipe
from facekit.training.ssd import measure as ssd_measure
from facekit.training.ssd.options import SsdOptions
from facekit.training.ssd.views import View, draw_view

__all__ = ["Ssd"]

NEITHER: Final = -1
_SHEET_PHOTOS: Final = 12


class Ssd(Recipe):
    """Train the tiny SSD.

    Faces that are ignored, hardly seen in a view, or too low in it are neither face nor
    background. Views of one batch have one size; larger ones come fewer at a time, so that
    a batch always has about as many pixels.
    """

    name: ClassVar[str] = "ssd"
    monitor: ClassVar[str] = "ap"
    mode: ClassVar[Literal["max", "min"]] = "max"

    Options: ClassVar = SsdOptions

    def __init__(self, options: SsdOptions) -> None:
        """Read the photos, the teacher and the weights to start from.

        Raises:
            FacekitError: If any of it is missing or damaged.
        """
        super().__init__(options)
        max_side = options.max_side or None
        self._photos: list[list[Photo]] = []
        self._apart: list[Photo] = []
        for source in options.data:
            share = options.held_out if source.labelled else 0.0
            rest, apart = spread(read_photos(source, max_side), share)
            self._photos.append(rest)
            self._apart += apart
        for source in options.validation:
            self._apart += read_photos(source, None)
        self._teacher: TinySSD | None = None
        if options.teacher is not None:
            self._teacher = ssd_weights.folded(ssd_weights.load(options.teacher.weights))
        self._start = ssd_weights.load(options.weights) if options.weights else None
        self._anchors: dict[tuple[int, int, torch.device], Tensor] = {}

    def network(self) -> nn.Module:
        """Return the network to start from."""
        network = self._start or ssd_weights.fresh()
        return network.train()

    def train_items(self) -> Items:
        """Return the random views.

        Raises:
            ConfigError: If all photos of a dataset are held out.
        """
        for source, photos in zip(self.options.data, self._photos, strict=True):
            if not photos:
                raise ConfigError(f"{source.data}: no photos are left to train on: lower held_out")
        return _Views(self._photos, self.options)

    def collate(self, items: Sequence[ItemKey]) -> Batch:
        """Draw the views of a batch, straight into one buffer."""
        return _Views(self._photos, self.options).draw(items)

    def prepare(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """Make floats of the pixels and change their colours."""
        planes = batch.pop("pixels").permute(0, 3, 1, 2).float() / 255
        return {**batch, "image": distort(planes, self.options.light, generator)}

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the multibox loss, and the distance from the teacher."""
        if self.options.freeze_norms:
            _freeze_norms(network)
        image = batch["image"]
        logits, deltas = network(image)
        score, box = self._label_losses(logits, deltas, batch)
        losses = {"label_score": score, "label_box": box}
        if self._teacher is None:
            return {"loss": score + box, **losses}
        taught, teacher = self.options.teacher, self._teacher.to(image.device)
        with torch.no_grad():
            answer = teacher(image)
        like, near = distillation_losses(logits, deltas, *answer, temperature=taught.temperature)
        total = like + taught.boxes * near + taught.labels * (score + box)
        return {"loss": total, "teacher_score": like, "teacher_box": near, **losses}

    def _label_losses(self, logits: Tensor, deltas: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the losses of scores and boxes on views all of whose faces are labelled."""
        anchors = self._anchors_of(batch["image"])
        faces = Faces(batch["boxes"], batch["images"], batch["ignore"])
        targets = match(faces, len(logits), anchors, overlap=self.options.overlap)
        classes = torch.where(batch["labelled"][:, None], targets.classes, NEITHER)
        targets = dataclasses.replace(targets, classes=classes)
        return multibox_losses(
            logits, deltas, targets, faces, anchors, ratio=self.options.negatives
        )

    def _anchors_of(self, image: Tensor) -> Tensor:
        """Return the continuous anchors (a, 4) of a batch of pictures."""
        key = (int(image.shape[2]), int(image.shape[3]), image.device)
        if key not in self._anchors:
            inclusive = tiny_ssd.anchors(*key[:2])
            continuous = inclusive + np.array([0, 0, 1, 1], dtype=np.float32)
            self._anchors[key] = torch.from_numpy(continuous).to(image.device)
        return self._anchors[key]

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Measure AP by face height on the photos that are kept apart."""
        return ssd_measure.measure(network, device, self._apart, self.options.measured_at)

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage | None:
        """Draw what the network finds in photos that are kept apart, or else in training's."""
        photos = self._apart or [photo for photos in self._photos for photo in photos]
        chosen = photos[:: max(len(photos) // _SHEET_PHOTOS, 1)][:_SHEET_PHOTOS]
        return ssd_measure.draw(network, device, chosen, self.options.measured_at[0])


def _freeze_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


class _Views:
    """Views by key; the pixels are drawn when a batch is joined, all in one place."""

    def __init__(self, photos: Sequence[Sequence[Photo]], options: SsdOptions) -> None:
        self._photos, self._options = photos, options
        weights = np.array([source.weight for source in options.data])
        self._shares = weights.cumsum() / weights.sum()

    def __len__(self) -> int:
        return self._options.items or sum(len(photos) for photos in self._photos)

    def __getitem__(self, key: ItemKey) -> ItemKey:
        return key

    def draw(self, keys: Sequence[ItemKey]) -> Batch:
        """Draw the views of a batch; a few only, if they are large."""
        side = self._side(keys[0])
        count = min(round(len(keys) * (self._options.reference / side) ** 2), len(keys))
        keys = keys[: max(count, 1)]
        pixels = np.empty((len(keys), side, side, 3), dtype=np.uint8)
        views = [self._draw(key, out) for key, out in zip(keys, pixels, strict=True)]
        counts = [len(view.boxes) for view in views]
        return {
            "pixels": torch.from_numpy(pixels),
            "boxes": torch.from_numpy(np.concatenate([view.boxes for view in views])),
            "ignore": torch.from_numpy(np.concatenate([view.ignore for view in views])),
            "images": torch.arange(len(views)).repeat_interleave(torch.tensor(counts)),
            "labelled": torch.tensor([view.labelled for view in views]),
        }

    def _side(self, key: ItemKey) -> int:
        """Return the side of a batch's views, which depends on its step and how far the run is."""
        sizes = self._options.sizes
        now = next((one for one in sizes if key.progress < one.until), sizes[-1])
        return int(key.batch_random().choice(now.sides))

    def _draw(self, key: ItemKey, out: RgbImage) -> View:
        random = key.random()
        views = self._options.views
        grid = int(random.choice(views.grids)) if random.random() < views.mosaic else 1
        photos = [self._photo(random) for _ in range(grid**2)]
        return draw_view(photos, out, views, random)

    def _photo(self, random: np.random.Generator) -> Photo:
        source = int(np.searchsorted(self._shares, random.random(), side="right"))
        photos = self._photos[min(source, len(self._photos) - 1)]
        return photos[int(random.integers(len(photos)))]
