"""Weights of ONNX files, such as the shipped ones, for networks that shall be trained further.

Exporting folds each batch norm into the convolution before it. Here the convolution takes the
folded weight, and the batch norm the bias and nothing else: it answers the same, as long as it
keeps its statistics. In training it must therefore stay in evaluation mode (:func:`hold_norms`),
which is also what small sets want.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from facekit.errors import WeightsError
from facekit.training.onnx_arrays import stored_arrays

__all__ = ["hold_norms", "layers_and_norms", "load_folded", "stored_weights"]


def hold_norms(network: nn.Module) -> None:
    """Let batch norms keep their statistics, whatever mode the network is in.

    Args:
        network: Any network; to be called after each ``train()``.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def stored_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read an ONNX file's weights, those in 8 bits restored.

    Args:
        path: The file.

    Returns:
        See :func:`facekit.training.onnx_arrays.stored_arrays`; as tensors.

    Raises:
        WeightsError: If it is damaged.
        MissingDependencyError: If onnx is not installed.
    """
    arrays, metadata = stored_arrays(path)
    return {name: torch.tensor(array) for name, array in arrays.items()}, metadata


def load_folded(network: nn.Module, stored: Mapping[str, Tensor], path: Path) -> None:
    """Give a network the weights of a file whose batch norms are folded.

    Args:
        network: The network that they are of.
        stored: See :func:`stored_weights`.
        path: The file, for messages.

    Raises:
        WeightsError: If they are another network's.
    """
    state = network.state_dict()
    # What no layer below takes is a norm that stands before its convolution, and so was not folded.
    filled = {name: stored[name] for name in state if name in stored}
    for layer, norm in layers_and_norms(network):
        weight = _taken(stored, f"{layer}.weight", state, path)
        nothing = torch.zeros(len(weight))
        bias = stored.get(f"{layer}.bias", nothing)
        filled[f"{layer}.weight"] = weight
        if f"{layer}.bias" in state:
            filled[f"{layer}.bias"] = bias if norm is None else nothing
        if norm is not None:
            filled |= {**_neutral(network.get_submodule(norm), norm), f"{norm}.bias": bias}
    counters = {name: state[name] for name in state if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**counters, **filled})
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise WeightsError(path, f"the weights are of another network: {reason}") from error


def layers_and_norms(network: nn.Module) -> Iterator[tuple[str, str | None]]:
    """Yield convolutions and linear layers, each with the batch norm that follows it."""
    leaves = [(name, one) for name, one in network.named_modules() if not [*one.children()]]
    for (name, layer), (after, norm) in itertools.pairwise([*leaves, ("", nn.Identity())]):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield name, after if isinstance(norm, nn.BatchNorm2d) else None


def _neutral(norm: nn.Module, name: str) -> dict[str, Tensor]:
    """Return the state of a batch norm that adds its bias and changes nothing else."""
    count, eps = int(norm.num_features), float(norm.eps)
    return {
        f"{name}.weight": torch.ones(count),
        f"{name}.running_mean": torch.zeros(count),
        f"{name}.running_var": torch.full((count,), 1 - eps),
    }


def _taken(
    stored: Mapping[str, Tensor], name: str, state: Mapping[str, Tensor], path: Path
) -> Tensor:
    """Return a stored weight of the right shape.

    Raises:
        WeightsError: If there is none.
    """
    if name not in stored:
        raise WeightsError(path, f"the weights are of another network: there is no {name}")
    value = stored[name]
    # A linear layer may have been exported transposed.
    return value.T if value.shape != state[name].shape and value.ndim == 2 else value  # noqa: PLR2004
