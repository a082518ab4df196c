"""The layers of a model of MMDetection, by its config alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facekit.errors import BackendError, FacekitError
from facekit.mmlab.predictor import Predictor
from facekit.summary.layers import Layer
from facekit.summary.torch import called_layers

__all__ = ["mmdet_layers"]


def mmdet_layers(
    config: Path, weights: Path | None, photo_size: tuple[int, int]
) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    """Return the layers of a config's model, up to its raw answer, and the shape of its input.

    Args:
        config: A config of MMDetection 3.x, or the name of one that mmdet ships.
        weights: A checkpoint, to see that it fits; by default the model has fresh weights.
        photo_size: Height and width of the photo that goes through the config's test pipeline.

    Raises:
        ConfigError: If the config is of another generation, or names what nobody registered.
        WeightsError: If the weights are damaged or of another model.
        BackendError: If the model cannot run, for instance for want of a compiled op.
    """
    predictor = Predictor(config, weights, overrides={}, classes=None, device="cpu", strict=True)
    black = np.zeros((*photo_size, 3), dtype=np.uint8)
    try:
        ready = predictor.prepared(black)
        layers = called_layers(predictor.model, lambda: predictor.model(**ready, mode="tensor"))
    except FacekitError:
        raise
    except Exception as error:
        # Any registered class may take part, and raise anything.
        text = (str(error).strip().splitlines() or [""])[0]
        message = f"{config}: the model cannot be run: {type(error).__name__}: {text}"
        raise BackendError(message) from error
    return layers, tuple(ready["inputs"].shape)
