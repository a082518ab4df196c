"""The recipe ``classify``: a head on S3FD's frozen trunk, trained on labelled faces.

It follows the tutorial "Fine-Tuning A Face Detection Network in PyTorch" (deshanadesai): the
detector up to ``conv7_2``, frozen, and one new layer. The tutorial's own loss, softmax with a mean
squared error, is the preset ``tutorial``; cross-entropy, which learns much faster, the default.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facekit import registry
from facekit.boxes import IDENTITY, BoxTransform
from facekit.engines.torch import load_state_dict
from facekit.errors import ConfigError
from facekit.images import RgbImage, read
from facekit.networks.s3fd import S3FD
from facekit.networks.s3fd_classifier import S3FDClassifier, Standard
from facekit.training.classify.crops import CropPlan, Variation, crops_of, detected
from facekit.training.classify.data import (
    Sample,
    labels_of,
    read_samples,
    split_samples,
    targets_of,
)
from facekit.training.classify.features import describe_all, planes_of
from facekit.training.classify.items import Crops, Described
from facekit.training.classify.options import ClassifyOptions
from facekit.training.classify.scores import Scores, scored, several_scored
from facekit.training.classify.trunk import take_over, width_of
from facekit.training.recipe import Batch, Items, Recipe, RecipeOptions, decay_groups
from facekit.weights import resolve

__all__ = ["Classify", "ClassifyOptions"]

_log = logging.getLogger(__name__)
_MOST_MISTAKES: Final = 48
_STEP: Final = 64


class Classify(Recipe):
    """Trains a face classifier.

    Attributes:
        labels: The labels, sorted.
        plan: How faces are cut.
    """

    name: ClassVar[str] = "classify"
    Options: ClassVar[type[RecipeOptions]] = ClassifyOptions
    monitor: ClassVar[str] = "balanced_accuracy"

    options: ClassifyOptions

    def __init__(self, options: ClassifyOptions) -> None:
        """Read the data and look into the weights.

        Raises:
            DatasetError: If the data cannot be used.
            WeightsError: If the weights cannot.
            ConfigError: If options contradict each other.
        """
        super().__init__(options)
        self._checkpoint = resolve(options.weights, default="s3fd")
        self._width = width_of(self._checkpoint)
        training, held_out = _parts(options)
        self.labels = labels_of([*training])
        if len(self.labels) < (1 if options.multi_label else 2):
            found = ", ".join(self.labels) or "none"
            raise ConfigError(f"data: column {options.label!r} has one label only: {found}")
        targets_of(held_out, self.labels)
        self._training, self._held_out = self._cut_by(training), self._cut_by(held_out)
        self._class_weights = _weights(
            options.class_weights, targets_of(self._training, self.labels), self.labels
        )
        # Fails here, before any work, if the trunk does not fit.
        _log.info("%s: %s", options.weights, take_over(self._built(), self._checkpoint))

    def _cut_by(self, samples: list[Sample]) -> list[Sample]:
        """Replace boxes by a detector's, where that is wanted; check that there are boxes."""
        options = self.options
        if options.crop == "box" and (bare := [one for one in samples if one.box is None]):
            raise ConfigError(f"crop: box, but {bare[0].source.file} has no boxes; use auto")
        if options.crop != "detector" or not samples:
            return samples
        part = options.detector
        detector = registry.create("detector", part.backend, part.options, path="detector")
        found, lost = detected(samples, detector)
        _log.info("the detector %r finds %d faces, %d not", part.backend, len(found), lost)
        return found

    @functools.cached_property
    def plan(self) -> CropPlan:
        """How faces are cut."""
        options = self.options
        own = IDENTITY if options.crop == "detector" else BoxTransform(*options.box_transform)
        return CropPlan(
            size=options.input_size,
            scale=options.crop_scale,
            transform=own,
            whole=options.crop == "image",
            variation=Variation(options.shift, options.scale, options.flip, options.colour),
        )

    def _built(self, layer: str | None = None) -> S3FDClassifier:
        options = self.options
        built = S3FDClassifier(
            len(self.labels),
            layer=layer or options.layer,
            head=options.head,
            width=self._width,
            input_size=options.input_size,
            standardise=options.standardise,
        )
        built.metadata |= {
            "facekit.labels": json.dumps(self.labels),
            "facekit.multi_label": json.dumps(options.multi_label),
            "facekit.crop_scale": f"{options.crop_scale:g}",
        }
        return built

    def network(self) -> nn.Module:
        """Return the detector's trunk with a fresh head; the trunk wants no gradients."""
        built = self.taken_over()
        if isinstance(built.standard_1, Standard):
            built.standard_1.fit(self._described_once[:, 0])
        built.requires_grad_(requires_grad=False)
        for _, tensor in built.new_tensors():
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(requires_grad=True)
        return built

    def taken_over(self, layer: str | None = None) -> S3FDClassifier:
        """Return a classifier with the detector's trunk.

        Args:
            layer: What it stands on, in place of the options' layer.
        """
        built = self._built(layer)
        take_over(built, self._checkpoint)
        return built

    def detector(self) -> S3FD:
        """Return the detector whose trunk is taken over."""
        built = S3FD(self._width)
        built.load_state_dict(load_state_dict(self._checkpoint)[0])
        return built

    def batches(self, *, held_out: bool) -> Iterator[Tensor]:
        """Yield the crops of one part, as they are: (n, size, size, 3) uint8 RGB.

        Args:
            held_out: Those to measure on, or those to train on.
        """
        views = crops_of(self._held_out if held_out else self._training, self.plan)
        crops = (view for (view,) in views)
        while batch := list(itertools.islice(crops, self.options.cache_batch)):
            yield torch.from_numpy(np.stack(batch))

    def targets(self, *, held_out: bool) -> Tensor:
        """Return the truth: (n,) int64, or with several labels (n, labels) float32 of 0 and 1.

        Args:
            held_out: Of those to measure on, or of those to train on.
        """
        samples = self._held_out if held_out else self._training
        return _targets(samples, self.labels, several=self.options.multi_label)

    def parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        """Return the head's parameters."""
        return decay_groups(network)

    def train_items(self) -> Items:
        """Return the faces to train on, as the trunk's answers or as crops."""
        targets = self.targets(held_out=False)
        if self.options.cache_features:
            return Described(self._described_once, targets)
        return Crops(self._training, self.plan, targets, vary=self.options.views > 1)

    @functools.cached_property
    def _described_once(self) -> Tensor:
        """What the trunk says of every view of the faces to train on, or of the first alone."""
        views = self.options.views if self.options.cache_features else 1
        return self._described(self._training, views)

    def _described(self, samples: Sequence[Sample], views: int) -> Tensor:
        """Run the trunk on every view of every face."""
        network = self.taken_over()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        crops = crops_of(samples, self.plan, views=views)
        return describe_all(network, crops, device, batch_size=self.options.cache_batch)

    @functools.cached_property
    def _held_out_described(self) -> Tensor:
        return self._described(self._held_out, 1)[:, 0]

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Bring crops to the network's range; the trunk's answers are there already."""
        del generator
        if "crops" in batch:
            batch["images"] = planes_of(batch.pop("crops"))
        return batch

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, and how many of the batch are right."""
        assert isinstance(network, S3FDClassifier)  # noqa: S101 - narrows for mypy
        if "images" in batch:
            with torch.no_grad():
                batch["features"] = network.describe(batch["images"])
        logits = network.judge(batch["features"]).float()
        targets: Tensor = batch["targets"]
        right = _right(logits, targets, several=self.options.multi_label)
        return {"loss": self._loss(logits, targets), "accuracy": right.float().mean()}

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compare logits (n, labels) with truth (n,) or, with several labels, (n, labels)."""
        weights = self._class_weights.to(logits.device)
        if self.options.multi_label:
            if self.options.loss == "softmax_mse":
                return ((logits.sigmoid() - targets) ** 2 * weights).mean()
            return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
        if self.options.loss == "softmax_mse":
            truth = functional.one_hot(targets, len(self.labels)).to(logits.dtype)
            squares = ((logits.softmax(dim=1) - truth) ** 2).mean(dim=1)
            return (squares * weights[targets]).mean()
        return functional.cross_entropy(logits, targets, weight=weights)

    def scores(self, network: nn.Module, device: torch.device) -> Scores | None:
        """Measure on the held-out faces.

        Args:
            network: The classifier, in evaluation mode.
            device: Where it is.

        Returns:
            The scores; ``None`` where nothing is held out.
        """
        if not self._held_out:
            return None
        assert isinstance(network, S3FDClassifier)  # noqa: S101 - narrows for mypy
        parts = torch.split(self._held_out_described, _STEP)
        with torch.inference_mode():
            return self.scored(
                torch.cat([network.judge(part.to(device)).float().cpu() for part in parts])
            )

    def scored(self, logits: Tensor) -> Scores:
        """Score answers about the held-out faces.

        Args:
            logits: (n, labels), on the CPU.
        """
        targets = self.targets(held_out=True)
        loss = self._loss(logits, targets).item()
        if self.options.multi_label:
            return several_scored(logits.numpy(), targets.numpy() > 0, loss)
        return scored(logits.numpy(), targets.numpy(), loss)

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Measure accuracy, balanced accuracy and loss on the held-out faces."""
        scores = self.scores(network, device)
        return {} if scores is None else scores.numbers()

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage | None:
        """Draw the confusion matrix and, below it, the faces that are taken for another."""
        scores = self.scores(network, device)
        if scores is None:
            return None
        wrong = scores.wrong[:_MOST_MISTAKES]
        samples = [self._held_out[place] for place in wrong]
        crops = [self.plan.cut(sample, read(sample.path)) for sample in samples]
        return scores.picture(self.labels, crops, [" ".join(one.labels) for one in samples])


def _parts(options: ClassifyOptions) -> tuple[list[Sample], list[Sample]]:
    """Read the faces to train on and those to measure on."""

    def samples(data: str, images: Path | None) -> list[Sample]:
        return read_samples(
            data,
            column=options.label,
            images=images,
            extension=options.extension,
            several=options.multi_label,
            min_height=options.min_height,
        )

    training = samples(options.data, options.images)
    if options.validation is not None:
        return training, samples(options.validation, options.validation_images or options.images)
    if not options.held_out:
        return training, []
    return split_samples(training, options.held_out, by=options.split_by, seed=0)


def _targets(samples: Sequence[Sample], labels: Sequence[str], *, several: bool) -> Tensor:
    """Return the truth: (n,) int64, or with several labels (n, labels) float32 of 0 and 1."""
    places = targets_of(samples, labels)
    if not several:
        return torch.tensor([place[0] for place in places], dtype=torch.int64)
    truth = torch.zeros(len(places), len(labels))
    for row, own in enumerate(places):
        truth[row, own] = 1
    return truth


def _right(logits: Tensor, targets: Tensor, *, several: bool) -> Tensor:
    if several:
        return ((logits > 0) == (targets > 0)).all(dim=1)
    return logits.argmax(dim=1) == targets


def _weights(
    given: str | Mapping[str, float], targets: Sequence[Sequence[int]], labels: Sequence[str]
) -> Tensor:
    """Return each label's weight, (labels,)."""
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in labels]:
            raise ConfigError(f"class_weights: no label {unknown[0]!r} ({', '.join(labels)})")
        return torch.tensor([float(given.get(label, 1.0)) for label in labels])
    if given == "none":
        return torch.ones(len(labels))
    counts = np.bincount([place for own in targets for place in own], minlength=len(labels))
    balanced = counts.sum() / np.maximum(counts, 1) / len(labels)
    return torch.tensor(balanced, dtype=torch.float32)
