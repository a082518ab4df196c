"""The recipe ``s3fd_detection``: S3FD from annotated photos to a checkpoint that detects.

Source: Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector" (2017): anchors matched in
two stages, so that faces between two anchors' sizes get their share (section 3.2); the first map's
three backgrounds, of which the greatest counts (3.3); three hard negatives for each face (3.3).
Views by data-anchor sampling are from Tang et al., "PyramidBox" (2018).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from facekit.engines.torch import load_state_dict
from facekit.errors import WeightsError
from facekit.images import RgbImage
from facekit.networks.s3fd import S3FD
from facekit.training.detection.light import distort
from facekit.training.detection.multibox import Compensation, Faces, match, multibox_losses
from facekit.training.detection.options import Count, LightOptions, Share
from facekit.training.detection.photos import Photo, PhotoSource, read_sources
from facekit.training.detection.sheet import sheet_of
from facekit.training.keys import ItemKey
from facekit.training.recipe import Batch, Items, Recipe, RecipeOptions
from facekit.training.s3fd_detection.anchors import anchors
from facekit.training.s3fd_detection.measure import Fitted, ap_by_height, detect, fitted
from facekit.training.s3fd_detection.views import View, Views
from facekit.training.s3fd_pixels import normalised
from facekit.types import Detections
from facekit.weights import resolve

__all__ = ["S3FDDetection", "S3FDDetectionOptions"]

_SHEET = 12


class S3FDDetectionOptions(RecipeOptions):
    """Options of the recipe ``s3fd_detection``.

    Attributes:
        data: Annotated photos; a list of sources, each ``data``, ``images``, ``part``, ``weight``.
        validation: The same of photos to measure on, beside those that are held out.
        held_out: Share of the photos that are measured on instead of trained on.
        max_side: Photos are kept in memory with at most this longest side, pixels.
        weights: Go on from this checkpoint; by default begin with random weights.
        width: Factor of every layer's channels, 1 as published; of ``weights``, their own.
        size: Side of the views that are trained on, pixels.
        anchor_share: How often data-anchor sampling chooses the view.
        whole_share: How often, of the other times, the whole photo is shown.
        min_face: Faces lower than this in the view are neither face nor background, pixels.
        light: How much light and colour change.
        overlap: Least IoU of an anchor with its face.
        fewest: A face with fewer anchors than this is given more, of lesser overlap.
        fewest_overlap: Least IoU of those.
        negatives: Background cells for each face cell.
        box_weight: Of the boxes' loss, the scores' being 1.
        validation_side: Photos to measure on are shrunk to fit into a square of this side, pixels.
        validation_batch: Photos of one forward pass.
    """

    data: Annotated[tuple[PhotoSource, ...], Field(min_length=1)]
    validation: tuple[PhotoSource, ...] = ()
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.04
    max_side: Count | None = 1024
    weights: Path | None = None
    width: Annotated[float, Field(gt=0, le=1)] = 1.0
    size: Annotated[int, Field(ge=64)] = 640
    anchor_share: Share = 0.5
    whole_share: Share = 0.3
    min_face: Annotated[float, Field(ge=0)] = 8.0
    light: LightOptions = LightOptions()
    overlap: Share = 0.35
    fewest: Count = 6
    fewest_overlap: Share = 0.1
    negatives: Annotated[float, Field(gt=0)] = 3.0
    box_weight: Annotated[float, Field(gt=0)] = 1.0
    validation_side: Annotated[int, Field(ge=64)] = 640
    validation_batch: Count = 8


class S3FDDetection(Recipe):
    """Trains the detector ``s3fd``."""

    name: ClassVar[str] = "s3fd_detection"
    Options: ClassVar[type[RecipeOptions]] = S3FDDetectionOptions
    monitor: ClassVar[str] = "ap_50"

    options: S3FDDetectionOptions

    def __init__(self, options: S3FDDetectionOptions) -> None:
        """Read the photos.

        Raises:
            DatasetError: If the annotation is malformed.
            ImageError: If an image cannot be read.
            ConfigError: If a source has no labels.
        """
        super().__init__(options)
        self._photos, self._held_out, self._chances = read_sources(
            options.data,
            options.validation,
            held_out=options.held_out,
            max_side=options.max_side,
        )
        self._found: tuple[int, list[Detections]] | None = None

    def network(self) -> nn.Module:
        """Return a fresh network, or the one to go on from.

        Raises:
            WeightsError: If the weights are damaged, or another network's.
        """
        if self.options.weights is None:
            built = S3FD(self.options.width)
            built.reset_parameters()
            return built
        path = resolve(self.options.weights, default="s3fd")
        state, _ = load_state_dict(path)
        going_on = S3FD.for_state_dict(state)
        try:
            going_on.load_state_dict(state)
        except RuntimeError as error:
            reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
            raise WeightsError(path, f"weights of another network: {reason}") from error
        return going_on

    def train_items(self) -> Items:
        """Return views of the photos."""
        options = self.options
        views = Views(
            size=options.size,
            anchor_share=options.anchor_share,
            whole_share=options.whole_share,
            min_face=options.min_face,
        )
        return _Views(self._photos, self._chances, views)

    def collate(self, items: Sequence[View]) -> Batch:
        """Stack the pixels; the faces of all views are in one list."""
        return {
            "pixels": torch.from_numpy(np.stack([one.pixels for one in items])),
            "boxes": torch.from_numpy(np.concatenate([one.boxes for one in items])),
            "ignore": torch.from_numpy(np.concatenate([one.ignore for one in items])),
            "rows": torch.tensor(
                [row for row, one in enumerate(items) for _ in one.boxes], dtype=torch.int64
            ),
        }

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Change light and colour, and normalise."""
        planes = batch.pop("pixels").permute(0, 3, 1, 2).float() / 255
        batch["images"] = normalised(distort(planes, self.options.light, generator) * 255)
        return batch

    @functools.cached_property
    def _anchors(self) -> Tensor:
        return anchors(self.options.size, self.options.size)

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of scores and boxes."""
        options = self.options
        images: Tensor = batch["images"]
        priors = self._anchors.to(images.device)
        faces = Faces(batch["boxes"], batch["rows"], batch["ignore"])
        with torch.no_grad():
            targets = match(
                faces,
                len(images),
                priors,
                overlap=options.overlap,
                compensation=Compensation(options.fewest, options.fewest_overlap),
            )
        logits, deltas = network(images)
        score, box = multibox_losses(
            logits, deltas, targets, faces, priors, ratio=options.negatives
        )
        return {"loss": score + options.box_weight * box, "score": score, "box": box}

    @functools.cached_property
    def _fitted(self) -> list[Fitted]:
        return [fitted(photo, self.options.validation_side) for photo in self._held_out]

    def _detections(self, network: nn.Module, device: torch.device) -> list[Detections]:
        return list(
            detect(
                network,
                self._fitted,
                device,
                side=self.options.validation_side,
                threshold=0.02,
                batch_size=self.options.validation_batch,
            )
        )

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Measure average precision of faces of at least 50, 30 and 10 px."""
        if not self._held_out:
            return {}
        found = self._detections(network, device)
        self._found = (id(network), found)
        return ap_by_height(self._held_out, found, (50, 30, 10))

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage | None:
        """Draw what was found in the first photos."""
        if not self._held_out:
            return None
        if self._found is None or self._found[0] != id(network):
            self.validate(network, device)
        assert self._found is not None  # noqa: S101 - just measured
        found, self._found = self._found[1], None
        step = max(1, len(found) // _SHEET)
        return sheet_of(self._held_out[::step][:_SHEET], found[::step][:_SHEET])


class _Views:
    """Views of photos, drawn by the weights of their sources."""

    def __init__(
        self, photos: Sequence[Photo], chances: npt.NDArray[np.float64], views: Views
    ) -> None:
        self._photos, self._chances, self._views = photos, chances, views

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, key: ItemKey) -> View:
        # One photo's share of the whole: where all weigh the same, each is drawn once a pass.
        random = key.random()
        place = (key.index + 0.5) / len(self._photos)
        index = min(int(np.searchsorted(self._chances, place)), len(self._photos) - 1)
        return self._views.draw(self._photos[index], random)

    def name(self, index: int) -> str:
        return f"view {index}"
