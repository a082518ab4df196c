"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["Average"]


class Average:
    """A copy of a network whose weights and statistics follow the network's slowly.

    Attributes:
        network: The copy, in evaluation mode.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start as a copy.

        Args:
            network: The network that is trained.
            decay: Share of the average that a step keeps; less in the first steps, so that the
                random start is forgotten: ``min(decay, (1 + step) / (10 + step))``.
        """
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow the network by one step.

        Args:
            network: The network that is trained.
            step: Steps that are over, this one included.
        """
        kept = min(self._decay, (1 + step) / (10 + step))
        average, current = self.network.state_dict(), network.state_dict()
        moving = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [average[name] for name in moving], [current[name] for name in moving], 1 - kept
        )
        for name in current.keys() - set(moving):
            average[name].copy_(current[name])
