"""Muon: steps of matrices whose directions are all of one length, and AdamW for the rest.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the scale by
which such a step is as large as AdamW's (Liu et al., "Muon is Scalable for LLM Training",
arXiv:2502.16982), so that one learning rate serves both. torch's own takes matrices alone; here the
kernels of a convolution are the matrix of its output channels by what each of them reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim import AdamW

__all__ = ["Muon", "orthogonal"]

_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration; chosen by Jordan for speed: singular values end near 1, not at it."""

_ITERATIONS: Final = 5
_LIKE_ADAMW: Final = 0.2
"""The root mean square of AdamW's steps, as Liu et al. found it."""


class Muon(AdamW):
    """AdamW that moves weight matrices by Muon."""

    def __init__(self, params: Any, *, momentum: float = 0.95, **adamw: Any) -> None:  # noqa: ANN401 - AdamW's own
        """Build it.

        Args:
            params: Parameters or groups of them, as of any torch optimiser.
            momentum: Of the matrices; Nesterov's.
            adamw: What AdamW takes; its rate and weight decay hold for matrices too.
        """
        super().__init__(params, **adamw)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # noqa: ANN401 - the closure's
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = []
        for group in self.param_groups:
            for parameter in filter(_is_matrix, group["params"]):
                if parameter.grad is not None:
                    gradients.append((parameter, parameter.grad))
                    self._move(parameter, parameter.grad, group["lr"], group["weight_decay"])
                    parameter.grad = None
        super().step()
        for parameter, gradient in gradients:
            parameter.grad = gradient
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, lr: float, decay: float) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["step"] = torch.zeros(())  # AdamW looks for one wherever it restores a state
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["step"] += 1
        velocity = state["momentum_buffer"].mul_(self._momentum).add_(gradient)
        direction = orthogonal(gradient.add(velocity, alpha=self._momentum).flatten(1))
        parameter.mul_(1 - lr * decay)
        scale = _LIKE_ADAMW * max(direction.shape) ** 0.5
        parameter.add_(direction.view(parameter.shape), alpha=-lr * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix of the same singular vectors, their values all near 1.

    Five Newton-Schulz iterations in bfloat16, which is exact enough for a direction.

    Args:
        matrix: float (rows, columns).

    Returns:
        The same shape and dtype; singular values between about 0.7 and 1.2, those far below the
        largest (under 1 in 1,000) less.
    """
    a, b, c = _COEFFICIENTS
    wide = matrix.bfloat16()
    tall = wide.shape[0] > wide.shape[1]
    if tall:
        wide = wide.T
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.T if tall else wide).to(matrix.dtype)


def _is_matrix(parameter: Tensor) -> bool:
    """Whether rows of it have something in common: depthwise kernels, norms and biases have not."""
    return parameter.ndim > 1 and parameter.shape[1] > 1
