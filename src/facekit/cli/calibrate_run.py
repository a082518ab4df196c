"""What ``facekit calibrate`` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from facekit import atomic
from facekit.boxes import BoxTransform
from facekit.cli.calibrate import Request
from facekit.cli.console import print_lines, print_table
from facekit.cli.dataset_specs import read_options, source_of
from facekit.datasets import ImageRecord
from facekit.errors import ConfigError
from facekit.evaluation.calibration import ANNOTATED, Calibration
from facekit.evaluation.calibration import calibrate as fitted
from facekit.evaluation.candidates import Candidate, candidates
from facekit.metrics.landmarks import THRESHOLD

__all__ = ["run"]

_SUFFIXES: Final = (".yaml", ".yml", ".json")


def run(request: Request) -> None:
    """Fit, print, and write the configuration.

    Args:
        request: What the user asked for.

    Raises:
        FacekitError: If something is wrong with the request, the datasets or a backend.
    """
    output = request.output
    if output is not None:
        if output.suffix.lower() not in _SUFFIXES:
            raise ConfigError(f"{output}: a configuration is written to {', '.join(_SUFFIXES)}")
        atomic.check_writable(output)
    (detector,) = candidates("detector", [request.detector])
    (landmarker,) = candidates("landmarker", [request.landmarker])
    result = fitted(
        _records(request, request.dataset),
        detector.build(),
        landmarker.build(),
        measure=None if request.measure is None else _records(request, request.measure),
    )
    _show(result)
    if output is not None:
        atomic.write_text(output, _document(detector, result.transform, output))
        print_lines([f"wrote {output}"])


def _records(request: Request, spec: str) -> list[ImageRecord]:
    options = read_options(spec, request.read, images=request.images, split=request.split)
    return list(source_of(spec, options)())


def _show(result: Calibration) -> None:
    """Print what was fitted and what it does."""
    reference = float(np.mean(result.errors[ANNOTATED]))
    rows = []
    for name, errors in result.errors.items():
        mean = float(np.mean(errors))
        more = "" if name == ANNOTATED else f"{100 * (mean / reference - 1):+.1f} %"
        failed = float(np.mean(errors > THRESHOLD))
        rows.append([name, f"{100 * mean:.2f} %", more, f"{100 * failed:.1f} %"])
    failures = f">failures > {100 * THRESHOLD:g} %"
    print_table(["landmarks cropped by", ">NME", ">against annotated", failures], rows)
    found = len(result.errors[ANNOTATED])
    print_lines(
        [
            "",
            (
                f"{result.detector}: fitted on {result.matched:,} of {result.faces:,} faces, "
                f"measured on {found:,} of {result.measured:,}"
            ),
            f"box_transform: {_inline(result.transform)}",
        ]
    )


def _inline(transform: BoxTransform) -> str:
    """Return a transform as YAML on one line, which is also how an adapter's constant reads."""
    values = ", ".join(f"{name}: {value:g}" for name, value in _plain(transform).items())
    return f"{{{values}}}"


def _plain(transform: BoxTransform) -> dict[str, float]:
    return {name: float(value) for name, value in transform._asdict().items()}


def _document(detector: Candidate, transform: BoxTransform, output: Path) -> str:
    """Return a run configuration with the detector's own options and its transform."""
    options: dict[str, Any] = {**detector.config.options, "box_transform": _plain(transform)}
    part = {"backend": detector.config.backend, **options}
    if output.suffix.lower() == ".json":
        return json.dumps({"detector": part}, indent=2, default=str) + "\n"
    return yaml.safe_dump({"detector": json.loads(json.dumps(part, default=str))}, sort_keys=False)
