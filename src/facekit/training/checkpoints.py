"""Checkpoints: tensors as safetensors, all else as JSON, each file whole or not at all.

``last`` and ``best`` are a network's weights under its published names, with a JSON file beside
them that says where they come from. ``state`` is what a resumed run needs: the trained and the
averaged weights and the optimiser's tensors, with the rest as JSON in the same file's header, so
that no kill can part them. There is no random state among it: all randomness is a function of the
seed and the step. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from facekit.atomic import atomic_path, write_text
from facekit.errors import WeightsError

__all__ = ["STATE", "State", "load_weights", "save_weights"]

STATE = "state.safetensors"
_JSON = "facekit"
_NETWORK, _AVERAGE, _OPTIMIZER = "network.", "average.", "optimizer."


@dataclasses.dataclass
class State:
    """Everything that a resumed run needs.

    Attributes:
        tensors: The trained network's, the average's and the optimiser's, by prefixed name.
        step: Steps that are over.
        seconds: Wall-clock time so far.
        reserve: Seconds that what follows the last step takes.
        best: The best value of the monitored number; ``None`` before the first.
        waited: Validations since it.
        scaler: The gradient scaler's numbers, with precision 16.
        optimizer: The optimiser's values that are no tensors, by parameter.
    """

    tensors: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    reserve: float = 0.0
    best: float | None = None
    waited: int = 0
    scaler: dict[str, Any] = dataclasses.field(default_factory=dict)
    optimizer: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def keep(self, network: nn.Module, average: nn.Module | None, optimizer: Optimizer) -> None:
        """Take over the tensors of a run.

        Args:
            network: The network that is trained.
            average: The averaged one.
            optimizer: The network's.
        """
        found = _prefixed(_NETWORK, network.state_dict())
        if average is not None:
            found |= _prefixed(_AVERAGE, average.state_dict())
        self.optimizer = {}
        for place, values in optimizer.state_dict()["state"].items():
            tensors = {name: value for name, value in values.items() if torch.is_tensor(value)}
            found |= _prefixed(f"{_OPTIMIZER}{place}.", tensors)
            self.optimizer[str(place)] = {
                name: value for name, value in values.items() if name not in tensors
            }
        self.tensors = found

    def save(self, path: Path) -> None:
        """Write the file.

        Args:
            path: Where to.

        Raises:
            OutputError: If it cannot be written.
        """
        rest = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "tensors"
        }
        _save(path, self.tensors, {_JSON: json.dumps(rest)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Args:
            path: Where it is.

        Raises:
            WeightsError: If it is damaged, or no run's state.
        """
        tensors, metadata = _load(path)
        try:
            return cls(tensors=tensors, **json.loads(metadata[_JSON]))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(path, "is not the state of a training run") from error

    def restore_network(self, network: nn.Module, average: nn.Module | None, source: Path) -> None:
        """Give a network and its average the kept weights.

        Args:
            network: The network to train.
            average: The averaged one. Where the state has none, it takes the network's weights.
            source: The state's file, for messages.

        Raises:
            WeightsError: If they are another network's.
        """
        own = self._part(_NETWORK)
        _fill(network, own, source)
        if average is not None:
            _fill(average, self._part(_AVERAGE) or own, source)

    def restore_optimizer(self, optimizer: Optimizer, source: Path) -> None:
        """Give an optimiser the kept moments; its rates are the schedule's.

        Args:
            optimizer: Of the network, its parameters where they will stay.
            source: The state's file, for messages.

        Raises:
            WeightsError: If they are another optimiser's.
        """
        state: dict[int, dict[str, Any]] = {
            int(place): dict(values) for place, values in self.optimizer.items()
        }
        for name, value in self._part(_OPTIMIZER).items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = value
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        for index, moments in state.items():
            if index >= len(parameters) or any(
                torch.is_tensor(value) and value.ndim and value.shape != parameters[index].shape
                for value in moments.values()
            ):
                raise WeightsError(source, "the optimiser's state is of other parameters")
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        _lay_out(optimizer)

    def _part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors under a prefix, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }


def save_weights(path: Path, network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a network's weights and, beside them, what there is to know of them.

    Args:
        path: ``NAME.safetensors``; the facts become ``NAME.json``.
        network: Any network; texts in its ``metadata``, where it has one, go into the file: what
            an adapter must know to run it.
        facts: Plain values.

    Raises:
        OutputError: If a file cannot be written.
    """
    metadata = {"format": "pt", **getattr(network, "metadata", {})}
    _save(path, _prefixed("", network.state_dict()), metadata)
    write_text(path.with_suffix(".json"), json.dumps(dict(facts), indent=2) + "\n")


def load_weights(network: nn.Module, path: Path) -> None:
    """Give a network the weights of a safetensors file.

    Args:
        network: The network that they are of.
        path: As :func:`save_weights` wrote it.

    Raises:
        WeightsError: If the file is missing, damaged or of another network.
    """
    _fill(network, _load(path)[0], path)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, each with a memory of its own, laid out plainly."""
    return {
        prefix + name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in tensors.items()
    }


def _fill(network: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Load a state dict, in one line if it does not fit."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise WeightsError(source, f"the weights are of another network: {reason}") from error


def _lay_out(optimizer: Optimizer) -> None:
    """Lay the moments out as their parameters are, so that arithmetic takes the same path."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if torch.is_tensor(value) and value.shape == parameter.shape and value.ndim:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a mapping
    except FileNotFoundError as error:
        raise WeightsError(path, "no such file") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(path, f"not a readable safetensors file: {error}") from error
