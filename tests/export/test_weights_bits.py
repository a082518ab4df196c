"""Weights in 8 bits: what rounding costs, and a file that still answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facekit import weights
from facekit.engines import create_engine
from facekit.engines.spec import find_spec
from facekit.errors import OutputError
from facekit.export import export
from facekit.export.parity import trial_input

Require = Callable[[str], ModuleType]


def test_rounding_costs_less_than_half_a_level(require: Require) -> None:
    require("onnx")
    from facekit.export.weights_bits import rounded

    values = np.random.default_rng(0).normal(size=(5, 4, 3, 3)).astype(np.float32)
    values *= np.array([1e-6, 1e-3, 1, 1e3, 0], np.float32)[:, None, None, None]
    levels, scale = rounded(values)
    assert levels.dtype == np.int8
    assert levels.shape == values.shape
    assert scale.dtype == np.float32
    assert scale.shape == (5, 1, 1, 1)
    errors = np.abs(levels * scale - values).reshape(5, -1)
    inside = np.abs(levels).reshape(5, -1) < 127
    assert (errors <= 0.501 * scale.reshape(5, 1))[inside].all()
    spread = np.sqrt((errors**2).mean(axis=1)) / (values.reshape(5, -1).std(axis=1) + 1e-12)
    assert (spread < 0.01).all(), "a hundredth of the weights' spread"
    assert not levels[4].any()


def test_a_file_in_8_bits_is_a_quarter_and_answers_the_same(
    require: Require, tmp_path: Path, astronaut_path: Path
) -> None:
    require("onnx")
    from facekit.export.weights_bits import store_in_8_bits

    _, spec = find_spec("tiny_ssd")
    source = weights.resolve(None, default="tiny_ssd")
    target = tmp_path / "small.onnx"
    shutil.copy(source, target)
    target.chmod(0o644)
    store_in_8_bits(target)
    assert target.stat().st_size < 0.4 * source.stat().st_size
    both = [
        create_engine(
            path, engine=None, inputs=spec.inputs, outputs=spec.outputs, network=spec.network
        )
        for path in (source, target)
    ]
    assert both[0].metadata == both[1].metadata
    picture, _ = trial_input(spec, astronaut_path)
    for whole, small in zip(both[0](picture[:1]), both[1](picture[:1]), strict=True):
        assert 0 < np.abs(whole - small).mean() < 0.05 * whole.std()


def test_export_with_weights_in_8_bits(require: Require, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "safetensors"):
        require(package)
    torch: Any = require("torch")
    from safetensors.torch import save_file

    from facekit.networks.resnet18 import ResNet18Landmarks

    torch.manual_seed(0)
    network = ResNet18Landmarks()
    with torch.no_grad():
        network.model.fc.weight.mul_(0.1)
    metadata = {"facekit.scheme": "ibug68", "facekit.crop_scale": "1.25"}
    save_file(network.state_dict(), tmp_path / "net.safetensors", metadata=metadata)
    small = tmp_path / "net.onnx"
    report = export("resnet18", tmp_path / "net.safetensors", small, weights_bits=8)
    assert report.passed
    assert report.worst > 1e-5
    assert small.stat().st_size < 12e6
    _, spec = find_spec("resnet18")
    engine = create_engine(
        small, engine=None, inputs=spec.inputs, outputs=spec.outputs, network=spec.network
    )
    assert engine.metadata["facekit.crop_scale"] == "1.25"


def test_only_onnx_has_weights_in_8_bits(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"8 bits are written to \.onnx alone"):
        export("resnet18", None, tmp_path / "a.xml", weights_bits=8)
