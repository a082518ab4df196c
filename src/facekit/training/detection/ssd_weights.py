"""A tiny SSD with weights: fresh, of a checkpoint, or of an ONNX file such as the shipped one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facekit import weights
from facekit.detectors.tiny_ssd import SPEC
from facekit.engines import create_engine
from facekit.networks.tiny_ssd import TinySSD
from facekit.training.onnx_weights import layers_and_norms, load_folded, stored_weights

__all__ = ["folded", "fresh", "load"]


def fresh() -> TinySSD:
    """Return a network with random weights."""
    network = TinySSD()
    network.reset_parameters()
    return network


def load(name: Path | str) -> TinySSD:
    """Return a network with weights.

    Args:
        name: A checkpoint (``.pth``, ``.pt``, ``.safetensors``), an ``.onnx`` file whose batch
            norms are folded into its convolutions, or a name of ``facekit weights list``.

    Raises:
        WeightsError: If the weights are missing, damaged or of another network.
        MissingDependencyError: If an ``.onnx`` file is given and onnx is not installed.
    """
    path = weights.resolve(name, default="tiny_ssd")
    if path.suffix.lower() == ".onnx":
        unfolded = TinySSD().eval()
        load_folded(unfolded, stored_weights(path)[0], path)
        return unfolded
    engine: Any = create_engine(
        path, engine="torch", inputs=SPEC.inputs, outputs=SPEC.outputs, network=SPEC.network
    )
    network: TinySSD = engine.network
    return network


def folded(network: TinySSD) -> TinySSD:
    """Return a copy that only answers, each batch norm after a convolution folded into it.

    The batch norm on the input stays: before zero padding it cannot be folded exactly.

    Args:
        network: Any weights.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for layer, norm in layers_and_norms(copied):
        if norm is None:
            continue
        parent, _, name = layer.rpartition(".")
        after = norm.rpartition(".")[2]
        owner = copied.get_submodule(parent)
        fused = fuse_conv_bn_eval(owner.get_submodule(name), owner.get_submodule(after))
        setattr(owner, name, fused)
        setattr(owner, after, nn.Identity())
    return copied
