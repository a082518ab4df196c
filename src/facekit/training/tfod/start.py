"""A checkpoint to start from: facekit's own weights in the API's MobileNetV2.

The tiny SSD is a MobileNetV2 x 0.75 up to the map of stride 16, which is where the API's SSD takes
its first map. Its channel counts are not rounded to multiples of 8 as the API's are: its weights go
into the first channels of each layer, and what the others are drawn as does not reach the first
ones. Its batch norms are folded into the convolutions; here each gets the statistics of real
photos, and the scale and offset that undo them. So training starts where those weights are, with
batch norms that work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit.errors import WeightsError
from facekit.training.onnx_arrays import stored_arrays

__all__ = ["Folded", "fill", "first_layers"]

Folded = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""A convolution's kernel, ``(height, width, in, out)``, and its bias, ``(out,)``."""

LAST: Final = "block_13_expand"
"""The API's layer that the tiny SSD's last convolution before its heads is."""

_FIRST: Final = "backbone.features."
_NORM: Final = "backbone.bn_first"
_NORM_EPSILON: Final = 1e-5


def first_layers(path: Path) -> list[Folded]:
    """Read the tiny SSD's trunk for input in -1 to 1.

    Args:
        path: Its ONNX file.

    Returns:
        The convolutions in the order in which they run. A depthwise kernel has one input.

    Raises:
        WeightsError: If the file is damaged or of another network.
        MissingDependencyError: If onnx is not installed.
    """
    arrays, _ = stored_arrays(path)
    names = [name for name in arrays if name.startswith(_FIRST) and name.endswith(".weight")]
    if not names or f"{_NORM}.weight" not in arrays:
        raise WeightsError(path, "not the tiny SSD: it has no backbone.features")
    names.sort(key=lambda name: [int(part) for part in name.split(".") if part.isdigit()])
    layers: list[Folded] = []
    for name in names:
        kernel = arrays[name].astype(np.float32).transpose(2, 3, 1, 0)
        bias = arrays.get(name.removesuffix("weight") + "bias", np.zeros(kernel.shape[3]))
        layers.append((kernel, bias.astype(np.float32)))
    layers[0] = _rescaled(layers[0], arrays)
    return layers


def _rescaled(layer: Folded, arrays: Mapping[str, npt.NDArray[Any]]) -> Folded:
    """Fold the batch norm of the input, 0 to 1, and the API's range into the first layer."""
    kernel, bias = layer
    mean, variance = arrays[f"{_NORM}.running_mean"], arrays[f"{_NORM}.running_var"]
    scale = arrays[f"{_NORM}.weight"] / np.sqrt(variance + _NORM_EPSILON)
    offset = arrays[f"{_NORM}.bias"] - mean * scale
    middle = scale / 2 + offset
    moved = bias + np.einsum("hwio,i->o", kernel, middle)
    return (kernel * (scale / 2)[:, None]).astype(np.float32), moved.astype(np.float32)


def fill(backbone: Any, layers: list[Folded], photos: npt.NDArray[np.float32]) -> None:  # noqa: ANN401 - a Keras model
    """Give the first layers of the API's MobileNetV2 the tiny SSD's weights.

    Args:
        backbone: The feature extractor's ``classification_backbone``, built, of a width of 0.75
            and with explicit padding.
        layers: See :func:`first_layers`.
        photos: ``(n, h, w, 3)`` float32 in -1 to 1, for the batch norms' statistics.

    Raises:
        WeightsError: If the backbone's layers are too narrow, or of another network.
    """
    values: dict[int, Any] = {id(backbone.inputs[0]): photos}
    waiting = iter(layers)
    current: Folded | None = None
    ended = False
    for layer in backbone.layers:
        inputs = [values.get(id(one)) for one in _flat(layer.input)]
        kernel = _kernel(layer)
        if layer.__class__.__name__ == "InputLayer":
            continue
        if kernel is not None:
            current = next(waiting, None)
            if current is None:
                raise WeightsError(LAST, "the weights have fewer layers than the API's network")
            kernel.assign(_embedded(kernel.numpy(), current[0], depthwise=_is_depthwise(layer)))
        output = layer(inputs[0] if len(inputs) == 1 else inputs)
        if current is not None and hasattr(layer, "moving_mean"):
            _undone(layer, np.asarray(inputs[0]), current[1])
            output, current = layer(inputs[0], training=False), None
            if ended:
                break
        ended = ended or layer.name == LAST
        values[id(_flat(layer.output)[0])] = output


def _flat(tensors: Any) -> list[Any]:  # noqa: ANN401 - a tensor of Keras, or several
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def _is_depthwise(layer: Any) -> bool:  # noqa: ANN401 - a Keras layer
    return "Depthwise" in layer.__class__.__name__


def _kernel(layer: Any) -> Any | None:  # noqa: ANN401 - a Keras layer, a variable
    """Return a convolution's kernel, ``None`` for other layers."""
    name = "depthwise_kernel" if _is_depthwise(layer) else "kernel"
    return getattr(layer, name, None)


def _embedded(
    drawn: npt.NDArray[np.float32], kernel: npt.NDArray[np.float32], *, depthwise: bool
) -> npt.NDArray[np.float32]:
    """Return a kernel with the weights of a narrower one in its first channels.

    Args:
        drawn: As initialised: ``(h, w, in, out)``; of a depthwise layer ``(h, w, channels, 1)``.
        kernel: ``(h, w, in, out)``; of a depthwise layer ``(h, w, 1, channels)``.
        depthwise: Which of the two it is.
    """
    narrow = kernel.transpose(0, 1, 3, 2) if depthwise else kernel
    if any(few > many for few, many in zip(narrow.shape, drawn.shape, strict=True)):
        reason = f"a layer of {drawn.shape} cannot hold one of {narrow.shape}: use a width of 0.75"
        raise WeightsError(LAST, reason)
    whole = drawn.copy()
    few, many = narrow.shape[2:]
    if not depthwise:
        whole[:, :, few:, :many] = 0
    whole[:, :, :few, :many] = narrow
    return whole


def _undone(norm: Any, inputs: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> None:  # noqa: ANN401 - a Keras layer
    """Set a batch norm to the statistics of its inputs, and to add only a bias to the first."""
    axes = tuple(range(inputs.ndim - 1))
    mean, variance = inputs.mean(axis=axes), inputs.var(axis=axes)
    scale, offset = np.ones_like(mean), np.zeros_like(mean)
    count = len(bias)
    scale[:count] = np.sqrt(variance[:count] + norm.epsilon)
    offset[:count] = mean[:count] + bias
    for variable, value in (
        (norm.gamma, scale),
        (norm.beta, offset),
        (norm.moving_mean, mean),
        (norm.moving_variance, variance),
    ):
        variable.assign(value)
