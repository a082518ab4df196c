"""A tiny SSD with weights: fresh, of a checkpoint, or of an ONNX file such as the shipped one."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facekit import weights
from facekit.detectors.tiny_ssd import SPEC
from facekit.engines import create_engine
from facekit.errors import WeightsError
from facekit.networks.tiny_ssd import TinySSD
from facekit.training.onnx_arrays import read_model

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
        return _unfolded(path)
    engine: Any = create_engine(
        path, engine="torch", inputs=SPEC.inputs, outputs=SPEC.outputs, network=SPEC.network
    )
    network: TinySSD = engine.network
    return network


def _unfolded(path: Path) -> TinySSD:
    """Give each convolution its weights, and the batch norm after it the bias alone.

    Raises:
        WeightsError: If the graph is not of this network.
        MissingDependencyError: If onnx is not installed.
    """
    found = _stored(path)
    network = TinySSD().eval()
    state = network.state_dict()
    for layer, norm in _convolutions_and_norms(network):
        weight, bias = _taken(found, f"{layer}.weight", path), found.get(f"{layer}.bias")
        state[f"{layer}.weight"].copy_(_shaped(weight, state[f"{layer}.weight"], layer, path))
        if norm is None:
            state[f"{layer}.bias"].copy_(_taken(found, f"{layer}.bias", path))
            continue
        if f"{layer}.bias" in state:
            state[f"{layer}.bias"].zero_()
        # A batch norm that adds the bias and changes nothing else.
        eps = network.get_submodule(norm).eps
        state[f"{norm}.running_var"].fill_(1 - float(eps))  # type: ignore[arg-type, unused-ignore]
        state[f"{norm}.bias"].copy_(_taken(found, f"{layer}.bias", path) if bias is None else bias)
    for key in ("weight", "bias", "running_mean", "running_var"):
        state[f"backbone.bn_first.{key}"].copy_(_taken(found, f"backbone.bn_first.{key}", path))
    return network


def _convolutions_and_norms(network: nn.Module) -> list[tuple[str, str | None]]:
    """Return the names of all convolutions, each with that of the batch norm after it."""
    pairs: list[tuple[str, str | None]] = []
    for prefix, parent in network.named_modules():
        if not isinstance(parent, nn.Sequential):
            continue
        children = [*parent.named_children(), ("", nn.Identity())]
        for (name, child), (after, norm) in itertools.pairwise(children):
            if isinstance(child, nn.Conv2d):
                is_norm = isinstance(norm, nn.BatchNorm2d)
                pairs.append((f"{prefix}.{name}", f"{prefix}.{after}" if is_norm else None))
    return pairs


def _stored(path: Path) -> dict[str, Tensor]:
    """Read an ONNX file's weights, under the names that the torch module has for them.

    Raises:
        WeightsError: If it is damaged.
        MissingDependencyError: If onnx is not installed.
    """
    model, numpy_helper = read_model(path)
    graph = model.graph
    stored = {one.name: torch.tensor(numpy_helper.to_array(one)) for one in graph.initializer}
    for node in graph.node:
        # An exporter may call a folded bias anything; its convolution's weight has the name.
        if node.op_type == "Conv" and len(node.input) > 2:  # noqa: PLR2004 - data, weight, bias
            layer = node.input[1].removesuffix(".weight")
            stored[f"{layer}.bias"] = stored[node.input[2]]
        if node.op_type == "BatchNormalization":
            keys = ("weight", "bias", "running_mean", "running_var")
            named = zip(keys, node.input[1:], strict=True)
            stored |= {f"backbone.bn_first.{key}": stored[name] for key, name in named}
    return stored


def _taken(found: dict[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in found:
        raise WeightsError(path, f"weights of another network: it has no {name}")
    return found[name]


def _shaped(value: Tensor, like: Tensor, layer: str, path: Path) -> Tensor:
    if value.shape != like.shape:
        shapes = f"{tuple(value.shape)} for {tuple(like.shape)}"
        raise WeightsError(path, f"weights of another network: {layer}.weight {shapes}")
    return value


def folded(network: TinySSD) -> TinySSD:
    """Return a copy that only answers, each batch norm after a convolution folded into it.

    The batch norm on the input stays: before zero padding it cannot be folded exactly.

    Args:
        network: Any weights.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for layer, norm in _convolutions_and_norms(copied):
        if norm is None:
            continue
        parent, _, name = layer.rpartition(".")
        after = norm.rpartition(".")[2]
        owner = copied.get_submodule(parent)
        fused = fuse_conv_bn_eval(owner.get_submodule(name), owner.get_submodule(after))
        setattr(owner, name, fused)
        setattr(owner, after, nn.Identity())
    return copied
