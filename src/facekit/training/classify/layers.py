"""Which layer of the trunk suits faces of which size: a run of the recipe ``classify`` for each.

The faces are shown in several sizes, the same crops otherwise: a layer that detects faces of 32 px
says more of a face that is shown at 32 px than one that detects faces of 512 px.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from facekit.networks.s3fd_classifier import LAYERS, S3FDClassifier, Standard
from facekit.networks.s3fd_layers import SOURCES
from facekit.training.classify.features import planes_of
from facekit.training.classify.options import ClassifyOptions
from facekit.training.classify.recipe import Classify

__all__ = ["compare_layers"]

_log = logging.getLogger(__name__)
_STEPS: Final = 150
_RATE: Final = 0.01
_DECAY: Final = 0.1


def compare_layers(
    options: ClassifyOptions,
    *,
    faces: Sequence[int] = (32, 64, 128, 256),
    layers: Sequence[str] = LAYERS,
    device: torch.device | None = None,
) -> dict[str, dict[int, float]]:
    """Train a head on each layer for each size of faces.

    Args:
        options: Data, weights, input size and head; ``linear`` wants much memory on early layers.
        faces: Sides of the faces as they are shown, pixels of the input.
        layers: Some of :data:`~facekit.networks.s3fd_classifier.LAYERS`.
        device: Where to compute; by default a GPU if there is one.

    Returns:
        Balanced accuracy on the held-out faces, by layer and size.

    Raises:
        FacekitError: As the recipe raises it.
    """
    chosen = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table: dict[str, dict[int, float]] = {layer: {} for layer in layers}
    for side in faces:
        sized = {"crop_scale": options.input_size / side, "layer": layers[0]}
        recipe = Classify(options.model_copy(update=sized))
        for layer, measured in _measured(recipe, layers, chosen):
            table[layer][side] = measured
            _log.info("%s, faces of %d px: balanced accuracy %.3f", layer, side, measured)
    return table


def _measured(
    recipe: Classify, layers: Sequence[str], device: torch.device
) -> Iterator[tuple[str, float]]:
    """Train one head a layer; the trunk runs once for all of them."""
    networks = {layer: recipe.taken_over(layer).to(device).eval() for layer in layers}
    training, held_out = (
        _described(recipe, networks, device, held_out=part) for part in (False, True)
    )
    for layer, network in networks.items():
        _fit(recipe, network, training[layer].to(device))
        with torch.inference_mode():
            logits = network.judge(held_out[layer].to(device)).float().cpu()
        yield layer, recipe.scored(logits).balanced_accuracy


@torch.no_grad()
def _described(
    recipe: Classify,
    networks: Mapping[str, S3FDClassifier],
    device: torch.device,
    *,
    held_out: bool,
) -> dict[str, Tensor]:
    """Run the trunk once on every face, and read each layer."""
    trunk = recipe.detector().to(device).eval()
    parts: dict[str, list[Tensor]] = {layer: [] for layer in networks}
    for crops in recipe.batches(held_out=held_out):
        features = trunk.features(planes_of(crops.to(device)))
        for layer, network in networks.items():
            chosen = features[SOURCES.index(network.source)]
            parts[layer].append(network.read(chosen).float().cpu())
    return {layer: torch.cat(found) for layer, found in parts.items()}


def _fit(recipe: Classify, network: S3FDClassifier, described: Tensor) -> None:
    """Train a head on all faces at once."""
    if isinstance(network.standard_1, Standard):
        network.standard_1.fit(described)
    targets = recipe.targets(held_out=False).to(described.device)
    trained = [one for _, one in network.new_tensors() if isinstance(one, torch.nn.Parameter)]
    optimizer = torch.optim.AdamW(trained, lr=_RATE, weight_decay=_DECAY)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        recipe.loss(network, {"features": described, "targets": targets})["loss"].backward()
        optimizer.step()
