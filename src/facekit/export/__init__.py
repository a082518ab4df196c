"""Weights in another engine's format, written only if they still answer the same.

From a torch checkpoint to ONNX or OpenVINO, from ONNX to OpenVINO, and from TensorFlow's SavedModel
to ONNX; with photos to measure on, in 8-bit arithmetic. The exported file is run beside its source
before it gets its name; a file that answers otherwise is dropped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from facekit import atomic
from facekit import weights as weights_files
from facekit.engines import SUFFIXES, Engine
from facekit.engines.spec import NetworkSpec, find_spec, sized
from facekit.errors import (
    BackendError,
    ConfigError,
    OutputError,
    WeightsError,
)
from facekit.export import tfgraph
from facekit.export.inputs import Inputs, Scene, inputs_of
from facekit.export.packages import load_exporter, told_packages
from facekit.export.parity import (
    DEFAULT_TOLERANCE,
    ParityReport,
    compare,
    compare_spread,
    trial_input,
)
from facekit.export.target import beside, check_source, checked_target
from facekit.export.whole import find_whole, written_by
from facekit.registry import Backend, Role

__all__ = [
    "DEFAULT_TOLERANCE",
    "INT8_TOLERANCE",
    "ROUNDED_TOLERANCE",
    "ParityReport",
    "Scene",
    "export",
]

ROUNDED_TOLERANCE = 0.05
"""With weights in 8 bits, outputs of the order of 1 move by hundredths."""

INT8_TOLERANCE = 0.25
"""With arithmetic in 8 bits, trained networks' outputs move by a tenth of their own spread."""

_ALL_BITS = 32


def export(
    name: str,
    weights: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    role: Role | None = None,
    photo: str | os.PathLike[str] | None = None,
    tolerance: float | None = None,
    weights_bits: Literal[8, 32] = 32,
    int8: Iterable[Scene] | None = None,
    with_nms: bool = False,
    config: str | os.PathLike[str] | None = None,
) -> ParityReport:
    """Write weights in another format.

    Args:
        name: A name of ``facekit backends``.
        weights: A torch checkpoint or an ``.onnx`` file, or a name of ``facekit weights list``;
            ``None`` for the backend's own. Of ``tfod`` a SavedModel's folder.
        out: The file to be written: ``.onnx`` (opset 18, any batch), or ``.xml`` for OpenVINO,
            with its ``.bin`` beside it.
        role: Which backend is meant, where several roles have one of that name.
        photo: What to compare on; by default a synthetic picture.
        tolerance: Largest absolute difference of any output that is accepted; by default
            :data:`DEFAULT_TOLERANCE`, and :data:`ROUNDED_TOLERANCE` with weights in 8 bits. Of
            8-bit arithmetic, the largest part of an output's spread that its root mean square
            difference may be; by default :data:`INT8_TOLERANCE`.
        weights_bits: 8 stores an ``.onnx`` file's weights in 8 bits, at a quarter of the size.
            What it costs on real photos is for ``facekit evaluate`` to say.
        int8: Photos, with their faces where the backend is no detector: the arithmetic is rounded
            to 8 bits, whose ranges are measured on them. Some dozens like those of later use are
            enough; one of eight is kept for the comparison.
        with_nms: Put the backend's decoding and suppression inside: the file answers with boxes,
            in pixels of its input, which then has one size only.
        config: The configuration of weights that do not hold their own (``mask_rcnn``).

    Returns:
        What was compared and how far apart the answers were.

    Raises:
        UnknownNameError: If there is no such backend, or it has no network of facekit's kind.
        MissingDependencyError: If the export needs a package that is not installed.
        WeightsError: If the weights are missing, damaged, of another network, or cannot be
            exported to that format.
        BackendError: If the exporter fails, or the difference is above the tolerance. Nothing is
            written then.
        ImageError: If a photo cannot be read.
        ConfigError: If fewer than two photos need the network, or nothing is known to be put
            inside.
        OutputError: If the file cannot be written.
    """
    if (name, role or "detector") == (tfgraph.NAME, "detector"):
        plain = weights_bits == _ALL_BITS and int8 is None and not with_nms and config is None
        return _export_graph(weights, out, photo, tolerance, plain=plain)
    target = checked_target(out)
    found = find_whole(name, role)
    if found is not None:
        if weights_bits != _ALL_BITS or int8 is not None or with_nms:
            raise ConfigError(f"{name} is exported whole, in 32 bits: no weights_bits, int8, nms")
        config = None if config is None else Path(config)
        return _export_whole(
            *found, weights, target, config=config, photo=photo, tolerance=tolerance
        )
    if config is not None:
        raise ConfigError(f"{name}: its weights need no `config`")
    backend, spec = find_spec(name, role)
    if weights_bits != _ALL_BITS and (int8 is not None or target.suffix.lower() != ".onnx"):
        reason = f"weights in {weights_bits} bits are written to .onnx alone, and not with int8"
        raise OutputError(f"{target}: {reason}")
    source = weights_files.resolve(weights, default=backend.name)
    check_source(source, target, copied=int8 is not None or with_nms)
    engine = spec.load(source)
    spec = sized(spec, engine)
    inputs = None if int8 is None else inputs_of(backend, source, spec, int8)
    accepted = _tolerance(weights_bits, inputs) if tolerance is None else tolerance
    with beside(target) as folder:
        written = folder / target.name
        _write(engine, source, spec, written)
        if weights_bits != _ALL_BITS:
            load_exporter("weights_bits").store_in_8_bits(written)
        if inputs is not None:
            load_exporter("quantise").quantise(written, inputs.used)
        report = ParityReport(
            backend=backend.name,
            source=str(source),
            target=str(target),
            tolerance=accepted,
            **_differences(engine, spec.load(written), spec, photo, inputs),
        )
        _accepted(report)
        if with_nms:
            load_exporter("suppression").add(written, spec, trial_input(spec, photo)[0])
        # The .bin first: the .xml is what a reader opens.
        for file in sorted(folder.iterdir()):
            file.replace(target.with_name(file.name))
    return report


def _export_whole(
    backend: Backend,
    graph: str,
    weights: str | os.PathLike[str] | None,
    target: Path,
    **compared: Any,  # noqa: ANN401 - see written_by
) -> ParityReport:
    """Write a detector's whole work as one file; see `export`."""
    source = weights_files.resolve(weights, default=backend.name)
    onnx = load_exporter("onnx")
    with beside(target) as folder:
        written = folder / target.name
        report = written_by(backend, graph, source, written, onnx, target=target, **compared)
        _accepted(report)
        written.replace(target)
    return report


def _export_graph(
    weights: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    photo: str | os.PathLike[str] | None,
    tolerance: float | None,
    *,
    plain: bool,
) -> ParityReport:
    """Write a graph of TensorFlow as ONNX, with what it has inside.

    Raises:
        FacekitError: As :func:`export`.
    """
    target = atomic.check_writable(out)
    if target.suffix.lower() != ".onnx" or not plain:
        raise OutputError(f"{target}: {tfgraph.NAME} is exported to .onnx, as it is, alone")
    if weights is None:
        raise WeightsError(tfgraph.NAME, "has no weights of its own: name a SavedModel's folder")
    with beside(target) as folder, told_packages():
        written = folder / target.name
        report = tfgraph.export_graph(
            Path(weights), written, target, photo=photo, tolerance=tolerance
        )
        _accepted(report)
        for file in folder.iterdir():
            file.replace(target.with_name(file.name))
    return report


def _accepted(report: ParityReport) -> None:
    """Let a report pass.

    Raises:
        BackendError: If the difference is above the tolerance.
    """
    if not report.passed:
        raise BackendError(
            f"{report.target}: not written: {report}; raise the tolerance if that will do"
        )


def _tolerance(weights_bits: int, inputs: Inputs | None) -> float:
    if inputs is not None:
        return INT8_TOLERANCE
    return DEFAULT_TOLERANCE if weights_bits == _ALL_BITS else ROUNDED_TOLERANCE


def _differences(
    source: Engine,
    exported: Engine,
    spec: NetworkSpec,
    photo: str | os.PathLike[str] | None,
    inputs: Inputs | None,
) -> dict[str, Any]:
    """Compare answers on one picture, or on photos that 8-bit arithmetic has not seen.

    Returns:
        The fields of the report that say how, and what came out.
    """
    if inputs is None:
        trial, described = trial_input(spec, photo)
        found = compare(source, exported, trial, spec)
        return {"compared_on": described, "differences": found}
    found = compare_spread(source, exported, inputs.held_out, spec)
    count = len(inputs.held_out)
    described = f"on {count} photo{'s' if count > 1 else ''}"
    return {"compared_on": described, "differences": found, "of_spread": True}


def _write(engine: Any, source: Path, spec: NetworkSpec, target: Path) -> None:  # noqa: ANN401 - torch's engine has its module
    """Write the source's weights in the target's format; from torch to OpenVINO goes by ONNX."""
    graph = source
    if source.suffix.lower() in SUFFIXES["torch"]:
        graph = target.with_suffix(".onnx")
        load_exporter("onnx").write(engine.network, spec, graph, dict(engine.metadata))
    if graph.suffix.lower() == target.suffix.lower():
        if graph == source:
            shutil.copyfile(source, target)
        return
    load_exporter("openvino").write(graph, target)
    if graph != source:
        graph.unlink()
