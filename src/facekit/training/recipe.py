"""What a recipe is: everything about a training that is not the loop.

A recipe brings a network, items, a loss and a measure. The engine brings the rest: order and
seeds, workers, devices, precision, schedules, averaging, checkpoints, logs, resuming.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.utils.data import default_collate

from facekit.images import RgbImage
from facekit.training.keys import ItemKey

__all__ = ["Batch", "Items", "Recipe", "RecipeOptions", "decay_groups"]

Batch = dict[str, Any]
"""Tensors by name, and lists; tensors travel to the device."""


class RecipeOptions(BaseModel):
    """A recipe's options: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Items(Protocol):
    """What is trained on: a map-style dataset whose randomness is its key's.

    Items are made in worker processes. The engine asks for each under
    :meth:`~facekit.training.keys.ItemKey.seeded`, so torchvision's transforms are the key's own
    without further ado; for numpy there is :meth:`~facekit.training.keys.ItemKey.random`. A
    method ``name(index) -> str``, where there is one, tells messages what an item is.
    """

    def __len__(self) -> int:
        """Return how many items one pass has."""
        ...

    def __getitem__(self, key: ItemKey, /) -> Any:  # noqa: ANN401 - what ``collate`` takes
        """Make one item."""
        ...


class Recipe(abc.ABC):
    """A training recipe.

    Attributes:
        name: The word that users write.
        Options: The recipe's options.
        monitor: Which of the validation's numbers decides what is best.
        mode: Whether more of it is better, or less.
        options: The options of this run.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = RecipeOptions
    monitor: ClassVar[str]
    mode: ClassVar[Literal["max", "min"]] = "max"

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - the recipe's own ``Options``
        """Keep the options; data may be read here or later.

        Raises:
            FacekitError: If the data cannot be used; before any work is done.
        """
        self.options = options

    @abc.abstractmethod
    def network(self) -> nn.Module:
        """Return a fresh network, or one with the weights that the options name.

        Its state dict's keys are the network's published ones: it is what checkpoints hold.
        """

    @abc.abstractmethod
    def train_items(self) -> Items:
        """Return what is trained on."""

    @abc.abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of a batch.

        Args:
            network: In training mode.
            batch: As :meth:`prepare` left it.

        Returns:
            Scalars by name; ``"loss"`` is minimised, the others are logged.
        """

    @abc.abstractmethod
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Measure on the held-out part.

        Args:
            network: In evaluation mode, the averaged weights where they are kept; no gradients.
            device: Where it is.

        Returns:
            Numbers by name, :attr:`monitor` among them; none where nothing is held out.
        """

    def collate(self, items: Sequence[Any]) -> Batch:
        """Join items to a batch, in a worker; by default torch's own collation."""
        batch: Batch = default_collate(list(items))
        return batch

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:  # noqa: ARG002
        """Work on a batch on the device, before the network: by default nothing.

        What is cheaper there belongs here: to float, normalise, photometric distortion. Pictures
        should travel as uint8.

        Args:
            batch: As collated, tensors on the device.
            generator: The device's, seeded by the run's seed and the step.
        """
        return batch

    def parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        """Return the optimiser's groups; a parameter in none of them is frozen.

        A group has ``params``; ``weight_decay`` overrides the configuration's, ``lr_scale``
        multiplies the learning rate. By default everything is trained, and norms and biases do
        not decay.
        """
        return decay_groups(network)

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage | None:  # noqa: ARG002
        """Return a picture of predictions to look at, or ``None``.

        Args:
            network: As for :meth:`validate`.
            device: Where it is.
        """
        return None


def decay_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Split the parameters that want gradients into those that decay and those that do not.

    Args:
        network: Any network.

    Returns:
        Two groups: weights of two and more dimensions; norms' and biases', with decay 0.
    """
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in wanted if parameter.ndim > 1]},
        {"params": [parameter for parameter in wanted if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
