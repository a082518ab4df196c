"""OpenVINO's ``.xml`` and ``.bin``: of an ONNX file, and with another graph attached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import openvino as ov

from facekit.engines.spec import NetworkSpec
from facekit.errors import BackendError

__all__ = ["attach", "write"]


def write(graph: Path, path: Path) -> None:
    """Convert an ONNX file, in float32; its metadata goes along.

    Args:
        graph: The ``.onnx`` file.
        path: The ``.xml`` file to be written; its ``.bin`` goes beside it.

    Raises:
        BackendError: If OpenVINO cannot convert the graph.
    """
    try:
        model = ov.Core().read_model(graph)
        # By default OpenVINO halves the weights to float16, at a cost of 1e-3 in the outputs.
        ov.save_model(model, path, compress_to_fp16=False)
    except Exception as error:
        # OpenVINO raises RuntimeError for anything that its converters find.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise BackendError(f"{graph}: OpenVINO cannot convert it: {reason}") from error


def attach(path: Path, spec: NetworkSpec, graph: bytes, ends: Mapping[str, str]) -> None:
    """Attach an ONNX graph to a network, in place; the input gets its declared size.

    Args:
        path: The ``.xml`` file.
        spec: The names of the network's inputs, and their shape.
        graph: What follows.
        ends: Names of the network's outputs to those of the graph's inputs.
    """
    core = ov.Core()
    network = core.read_model(path)
    network.reshape(dict.fromkeys(spec.inputs, ov.PartialShape([-1, *spec.input_shape])))
    after = core.read_model(graph)
    for end, start in ends.items():
        after.input(start).replace(network.output(end).get_node().input_value(0))
    both = ov.Model(after.get_results(), network.get_parameters(), network.get_friendly_name())
    for key, value in network.get_rt_info().items():
        both.set_rt_info(value, key)
    # The network's own .bin may still be mapped into memory: a new file takes its name.
    beside = path.with_name(f"{path.stem}.part.xml")
    ov.save_model(both, beside, compress_to_fp16=False)
    for suffix in (".bin", ".xml"):
        beside.with_suffix(suffix).replace(path.with_suffix(suffix))
