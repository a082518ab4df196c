"""Losses of points: between squared error and absolute error, each is robust in its own way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

__all__ = ["LOSSES", "LossName", "mse_loss", "smooth_l1_loss", "wing_loss"]

LossName = Literal["wing", "mse", "smooth_l1"]

_UNIT: Final = 224.0
"""Errors are told in pixels of a 224 px crop, whatever the crop's size."""

_WING_WIDTH: Final = 10.0
_WING_CURVATURE: Final = 2.0
_SMOOTH: Final = 2.0


def wing_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the Wing loss: logarithmic for errors below 10 of 224 px, linear above.

    Small errors keep a strong gradient, outliers a bounded one. Feng et al., "Wing Loss for
    Robust Facial Landmark Localisation with Convolutional Neural Networks" (2018), w = 10,
    epsilon = 2.

    Args:
        predicted: (N, 2 k) fractions of the crop.
        target: (N, 2 k) fractions of the crop.

    Returns:
        The mean over all coordinates, a scalar.
    """
    error = (predicted - target).abs() * _UNIT
    offset = _WING_WIDTH * (1 - math.log1p(_WING_WIDTH / _WING_CURVATURE))
    curved = _WING_WIDTH * (error / _WING_CURVATURE).log1p()
    return curved.where(error < _WING_WIDTH, error - offset).mean()


def mse_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error in fractions of the crop, as the tutorial does."""
    return F.mse_loss(predicted, target)


def smooth_l1_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the absolute error in pixels of a 224 px crop, squared below 2 px."""
    return F.smooth_l1_loss(predicted * _UNIT, target * _UNIT, beta=_SMOOTH)


LOSSES: Final[dict[LossName, Callable[[Tensor, Tensor], Tensor]]] = {
    "wing": wing_loss,
    "mse": mse_loss,
    "smooth_l1": smooth_l1_loss,
}
"""By the name that configurations use."""
