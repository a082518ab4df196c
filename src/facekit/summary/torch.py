"""The layers of a torch module, seen while it runs once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from facekit.engines.spec import NetworkSpec
from facekit.summary.layers import Layer

__all__ = ["torch_layers"]


def torch_layers(network: nn.Module, spec: NetworkSpec) -> tuple[Layer, ...]:
    """Return the layers of a module: its modules without children, in the order of their calls.

    Args:
        network: In evaluation mode.
        spec: What goes in.
    """
    layers: list[Layer] = []
    names = {module: name for name, module in network.named_modules()}
    counted: set[nn.Parameter] = set()

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        new = set(module.parameters()) - counted
        counted.update(new)
        shape = tuple(output.shape)
        layers.append(
            Layer(
                name=names[module],
                kind=type(module).__name__,
                output_shape=shape,
                parameters=sum(parameter.numel() for parameter in new),
                macs=_macs(module, tuple(inputs[0].shape), shape),
            )
        )

    leaves = [module for module in names if not any(module.children())]
    hooks = [leaf.register_forward_hook(record) for leaf in leaves]
    try:
        with torch.inference_mode():
            network(*(torch.zeros(1, *spec.input_shape) for _ in spec.inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(layers)


def _macs(module: nn.Module, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> int:
    """Multiply-adds of a product; 0 for every other module."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
        summed = math.prod(int(side) for side in module.weight.shape[1:])
        return math.prod(inputs if isinstance(module, nn.ConvTranspose2d) else outputs) * summed
    return 0
