"""The layers of a backend's network, with parameters and multiply-adds."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from facekit import weights as weights_files
from facekit.engines import SUFFIXES
from facekit.engines.spec import NetworkSpec, find_spec, sized
from facekit.errors import ConfigError, MissingDependencyError, WeightsError
from facekit.registry import Role, find, load_class
from facekit.summary.layers import Layer, Summary

__all__ = ["Layer", "Summary", "summary"]

_WHOLE_GRAPHS = frozenset({"tfod"})
"""The backends whose weights are graphs of any network."""

_BY_CONFIG = "mmdet"
"""The backend whose network a config says."""


def summary(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    role: Role | None = None,
    config: str | os.PathLike[str] | None = None,
    photo_size: tuple[int, int] = (480, 640),
) -> Summary:
    """Summarise a backend's network.

    The graph of a `tfod` is summarised by its layers with learned numbers. An ONNX file is
    summarised as it is stored, so that batch norms that were folded into
    convolutions are gone from it; a torch checkpoint as its module has it. Nothing is downloaded
    for it: where a backend's own weights are not here yet, its module is built without them.

    Args:
        name: A name of ``facekit backends``.
        weights: An ``.onnx`` file, a torch checkpoint (needs torch), or a name of ``facekit
            weights list``; by default the backend's own weights.
        role: Which backend is meant, where several roles have one of that name.
        config: Of ``mmdet``: the model's config, a file or the name of one that mmdet ships. Its
            weights are not needed; given ones are seen to fit.
        photo_size: Of ``mmdet``: height and width of the photo that goes through the config's own
            test pipeline, which says what the network sees.

    Raises:
        UnknownNameError: If there is no such backend, or it has no network of facekit's kind.
        ConfigError: If ``mmdet`` is asked for without a config, or another with one; or the config
            is none of MMDetection 3.x.
        BackendError: If a config's model cannot be run.
        MissingDependencyError: If the weights are torch's and torch is not installed.
        WeightsError: If the weights are missing, damaged, of another network or another kind.
    """
    if name == _BY_CONFIG and role in {None, "detector"}:
        return _of_config(weights, config, photo_size)
    if config is not None:
        raise ConfigError(f"summary of {name!r}: only {_BY_CONFIG!r} has a network by its config")
    if name in _WHOLE_GRAPHS and weights is not None:
        from facekit.summary.tfgraph import graph_layers  # noqa: PLC0415 - the datasets' reader

        layers, shape = graph_layers(Path(weights))
        return Summary(name, os.fspath(weights), shape, layers)
    backend, spec = find_spec(name, role)
    if weights is None and weights_files.verify(backend.name) is weights_files.Status.ABSENT:
        return Summary(
            backend.name, "without weights", (1, *spec.input_shape), _layers_of_module(spec)
        )
    path = weights_files.resolve(weights, default=backend.name)
    layers, shape = _layers(path, spec)
    return Summary(backend.name, str(path), (1, *shape), layers)


def _of_config(
    weights: str | os.PathLike[str] | None,
    config: str | os.PathLike[str] | None,
    photo_size: tuple[int, int],
) -> Summary:
    """Summarise the network of a config; see :func:`summary`."""
    if config is None:
        raise ConfigError(f"summary of {_BY_CONFIG!r}: which model? its config says (--config)")
    # Says what is missing, where something is.
    load_class(find("detector", _BY_CONFIG))
    from facekit.summary.mmdet import mmdet_layers  # noqa: PLC0415 - mmdet

    path = None if weights is None else weights_files.resolve(weights, default=_BY_CONFIG)
    layers, shape = mmdet_layers(Path(config), path, photo_size)
    source = os.fspath(config) if path is None else f"{os.fspath(config)}, {path}"
    return Summary(_BY_CONFIG, source, shape, layers)


def _layers_of_module(spec: NetworkSpec) -> tuple[Layer, ...]:
    """Read the layers of a fresh module.

    Raises:
        MissingDependencyError: If torch is not installed.
    """
    module, _, network = spec.network.partition(":")
    try:
        from facekit.summary.torch import torch_layers  # noqa: PLC0415 - torch
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        install = 'pip install "facekit[torch]"'
        raise MissingDependencyError("a summary without weights", "torch", install) from error
    built = getattr(importlib.import_module(module), network)()
    return torch_layers(built.eval(), spec)


def _layers(path: Path, spec: NetworkSpec) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    """Read the layers, and the shape of their input, by the weights' suffix.

    Raises:
        WeightsError: If the weights are of a kind that has no summary.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES["onnxruntime"]:
        from facekit.summary.onnx import onnx_layers  # noqa: PLC0415 - ONNX Runtime

        return onnx_layers(path, spec), spec.input_shape
    if suffix not in SUFFIXES["torch"]:
        known = ", ".join((*SUFFIXES["onnxruntime"], *SUFFIXES["torch"]))
        raise WeightsError(path, f"a summary reads {known}, not {suffix!r}")
    # The engine checks that the weights are of this network, and has the module.
    engine: Any = spec.load(path)
    from facekit.summary.torch import torch_layers  # noqa: PLC0415 - torch

    spec = sized(spec, engine)
    return torch_layers(engine.network, spec), spec.input_shape
