"""The recipe ``mask_rcnn``: Faster and Mask R-CNN from annotated photos to a checkpoint.

It trains what the detector ``mask_rcnn`` runs, with Detectron2's losses (see
:mod:`facekit.training.mask_rcnn.losses`). The checkpoint has Detectron2's names, and its
configuration within.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from facekit.detectors._mask_rcnn_checkpoint import CONFIG_KEY, start_from
from facekit.detectors._mask_rcnn_config import (
    FPN_BASE,
    Detectron2Config,
    laid_over,
    parse_config,
    read_values,
)
from facekit.detectors._mask_rcnn_images import Input
from facekit.errors import ConfigError
from facekit.images import RgbImage
from facekit.networks.mask_rcnn import MaskRCNN
from facekit.networks.mask_rcnn_initial import reset_parameters
from facekit.training.detection.light import distort
from facekit.training.detection.photos import read_sources
from facekit.training.detection.sheet import sheet_of
from facekit.training.mask_rcnn.losses import Sampling, Truth, losses
from facekit.training.mask_rcnn.measure import average_precisions, detect
from facekit.training.mask_rcnn.options import MaskRCNNOptions
from facekit.training.mask_rcnn.views import View, Views
from facekit.training.recipe import Batch, Items, Recipe, RecipeOptions
from facekit.types import Detections
from facekit.weights import resolve

__all__ = ["MaskRCNNRecipe"]

_SHEET = 12
_STAGES = ("stem", "res2", "res3", "res4", "res5")

log = logging.getLogger("facekit.training")


class MaskRCNNRecipe(Recipe):
    """Trains the detector ``mask_rcnn``."""

    name: ClassVar[str] = "mask_rcnn"
    Options: ClassVar[type[RecipeOptions]] = MaskRCNNOptions
    monitor: ClassVar[str] = "ap50"

    options: MaskRCNNOptions

    def __init__(self, options: MaskRCNNOptions) -> None:
        """Read the configuration and the photos.

        Raises:
            ConfigError: If the configuration is of a model that there is not, a source has no
                labels, or masks are to be learned and no face has any.
            DatasetError: If the annotation is malformed.
            ImageError: If an image cannot be read.
        """
        super().__init__(options)
        self._values, self._config = _configuration(options)
        self._photos, self._held_out, self._chances = read_sources(
            options.data,
            options.validation,
            held_out=options.held_out,
            max_side=options.max_side,
        )
        has_polygons = any(any(photo.outlines) for photo in self._photos)
        if options.masks == "polygons" and self._config.MODEL.MASK_ON and not has_polygons:
            raise ConfigError(
                "masks: no face has a polygon: masks: off trains boxes alone, masks: boxes lets "
                "each face's box be its mask"
            )
        self._found: tuple[int, list[Detections]] | None = None

    def network(self) -> nn.Module:
        """Return a fresh network, or one that starts from a checkpoint.

        Raises:
            WeightsError: If the weights are damaged, or another network's.
        """
        network = MaskRCNN(self._config.settings())
        reset_parameters(network)
        if self.options.weights is not None:
            path = resolve(self.options.weights, default=self.name)
            fresh = start_from(network, path)
            log.info("%s: start anew: %s", path, _listed(fresh) or "nothing")
        # Texts that go into the checkpoint, from where the detector takes them.
        cast("Any", network).metadata = {CONFIG_KEY: json.dumps(self._values)}
        return network

    def parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        """Return all weights but the frozen stages'; norms do not decay, as in Detectron2."""
        frozen = tuple(
            f"backbone.bottom_up.{one}." for one in _STAGES[: self.options.frozen_stages]
        )
        norms = {
            id(parameter)
            for module in network.modules()
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm)
            for parameter in module.parameters(recurse=False)
        }
        wanted = [one for name, one in network.named_parameters() if not name.startswith(frozen)]
        groups: list[dict[str, Any]] = [
            {"params": [one for one in wanted if id(one) not in norms]},
            {"params": [one for one in wanted if id(one) in norms], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def train_items(self) -> Items:
        """Return views of the photos.

        Raises:
            ConfigError: If all photos are held out.
        """
        if not self._photos:
            raise ConfigError("no photos are left to train on: lower held_out")
        options = self.options
        return Views(
            self._photos,
            self._chances,
            items=options.items,
            sizes=options.sizes,
            longest=options.longest,
            bgr=self._config.INPUT.FORMAT == "BGR",
            flip=options.flip,
            masks=options.masks,
        )

    def collate(self, items: Sequence[View]) -> Batch:
        """Keep what is of each image apart: their sizes differ."""
        return {
            "planes": [torch.from_numpy(one.planes) for one in items],
            "boxes": [torch.from_numpy(one.boxes) for one in items],
            "ignored": [torch.from_numpy(one.ignored) for one in items],
            "outlines": [one.outlines for one in items],
        }

    def prepare(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """Make floats of the pixels, and change light and colour."""
        images = [planes.float() for planes in batch.pop("planes")]
        if self.options.light is not None:
            images = [self._lit(image, generator) for image in images]
        return {**batch, "images": images}

    def _lit(self, image: Tensor, generator: torch.Generator | None) -> Tensor:
        assert self.options.light is not None  # noqa: S101 - the caller has looked
        bgr = self._config.INPUT.FORMAT == "BGR"
        pictures = (image.flip(0) if bgr else image)[None] / 255
        changed = distort(pictures, self.options.light, generator)[0] * 255
        return changed.flip(0) if bgr else changed

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of regions, classes, edges and masks."""
        _freeze_norms(network, self.options.frozen_stages)
        parts = zip(batch["boxes"], batch["ignored"], batch["outlines"], strict=True)
        truths = [Truth(*one) for one in parts]
        sampling = Sampling(**self.options.sampling.model_dump())
        return losses(cast("MaskRCNN", network), batch["images"], truths, sampling)

    @functools.cached_property
    def _input(self) -> Input:
        own = self._config.INPUT
        return Input(own.MIN_SIZE_TEST, own.MAX_SIZE_TEST, own.FORMAT == "BGR")

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Measure average precision on the photos that are held out."""
        if not self._held_out:
            return {}
        found = detect(
            cast("MaskRCNN", network),
            self._held_out,
            device,
            size=self._input,
            batch_size=self.options.validation_batch,
        )
        self._found = (id(network), found)
        return average_precisions(self._held_out, found)

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage | None:
        """Draw what was found in some of them."""
        if not self._held_out:
            return None
        if self._found is None or self._found[0] != id(network):
            self.validate(network, device)
        assert self._found is not None  # noqa: S101 - just measured
        found, self._found = self._found[1], None
        step = max(1, len(found) // _SHEET)
        return sheet_of(self._held_out[::step][:_SHEET], found[::step][:_SHEET])


def _configuration(options: MaskRCNNOptions) -> tuple[dict[str, Any], Detectron2Config]:
    """Return the model's configuration, as plain values and checked.

    Raises:
        ConfigError: If it cannot be read, or is of a model that there is not.
    """
    given = dict(FPN_BASE) if options.config is None else read_values(options.config)
    if options.config is None:
        given = laid_over(given, {"MODEL": {"MASK_ON": True}})
    values = laid_over(
        laid_over(given, options.model), {"MODEL": {"ROI_HEADS": {"NUM_CLASSES": 1}}}
    )
    if options.masks == "off":
        values = laid_over(values, {"MODEL": {"MASK_ON": False}})
    values.get("MODEL", {}).pop("WEIGHTS", None)
    return values, parse_config(values, str(options.config or "model"))


def _freeze_norms(network: nn.Module, stages: int) -> None:
    """Keep the batch norms of frozen stages as they are: their statistics too."""
    for stage in _STAGES[:stages]:
        for module in network.get_submodule(f"backbone.bottom_up.{stage}").modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def _listed(names: Sequence[str]) -> str:
    """Return the modules of some weights, a few of them."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    return ", ".join(modules[:6]) + (f" and {len(modules) - 6} more" if modules[6:] else "")
