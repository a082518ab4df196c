"""Detectors whose whole work goes into one ONNX file, from a photo's pixels to what was found.

Such a detector's module says in its constant ``GRAPH`` which module joins the file: that has a
function ``write(detector, path, traced, finish)``, and gets the exporter's two functions.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from facekit import images, registry
from facekit.errors import OutputError
from facekit.export.parity import DEFAULT_TOLERANCE, ParityReport, synthetic
from facekit.images import RgbImage
from facekit.registry import Backend, Role
from facekit.types import Detections

__all__ = ["compare_found", "find_whole", "trials", "written_by"]

_SIZES: Final = ((480, 620), (350, 270))
"""Height and width, as photos have them: no multiples of what networks pad to."""


def find_whole(name: str, role: Role | None) -> tuple[Backend, str] | None:
    """Return a detector, and the module that joins its file; ``None`` if it has none.

    Args:
        name: A name of ``facekit backends``, or none.
        role: Which backend is meant, where several roles have one of that name.
    """
    known = {backend.name for backend in registry.backends("detector")}
    if role not in {None, "detector"} or name not in known:
        return None
    backend = registry.find("detector", name)
    module = importlib.import_module(registry.load_class(backend).__module__)
    graph = getattr(module, "GRAPH", None)
    return None if graph is None else (backend, graph)


def trials(photo: Any) -> tuple[list[RgbImage], str, float]:  # noqa: ANN401 - a path or None
    """Return what both are asked, what it is, and above which score.

    Args:
        photo: An image file; by default gradients with noise, where any score will do.

    Raises:
        ImageError: If the photo cannot be read.
    """
    if photo is not None:
        pixels = images.read(photo)
        half = np.ascontiguousarray(pixels[: pixels.shape[0] // 2 + 1])
        return [pixels, half], f"on the photo {photo} and its upper half", 0.02
    made = [synthetic((3, *size))[0].transpose(1, 2, 0) for size in _SIZES]
    described = "on synthetic gradients with noise"
    return [(picture * 255).astype(np.uint8) for picture in made], described, 0.0


def written_by(
    backend: Backend,
    graph: str,
    source: Path,
    written: Path,
    exporter: Any,  # noqa: ANN401 - a module, whose packages not everybody has
    *,
    config: Path | None,
    photo: Any,  # noqa: ANN401 - a path or None
    tolerance: float | None,
    target: Path,
) -> ParityReport:
    """Write a detector as one file, and compare what both find.

    Args:
        backend: The detector.
        graph: The module that joins the file.
        source: Its weights.
        written: The file to be written.
        exporter: :mod:`facekit.export.onnx`.
        config: The configuration of weights that do not hold their own.
        photo: See `trials`.
        tolerance: Largest difference that is accepted; boxes' are parts of the longer side.
        target: What the file will be called, for the report.

    Returns:
        The report, which may say that the difference is too large.

    Raises:
        OutputError: If the file would not be ``.onnx``.
        FacekitError: If the detector cannot be built or exported.
    """
    if target.suffix.lower() != ".onnx":
        raise OutputError(f"{target}: {backend.name} is exported to .onnx alone")
    pictures, described, threshold = trials(photo)
    options: dict[str, Any] = {"weights": str(source), "score_threshold": threshold}
    if config is not None:
        options["config"] = str(config)
    detector: Any = registry.create("detector", backend.name, options)
    joined: Any = importlib.import_module(graph)
    joined.write(detector, written, exporter.traced, exporter.finish)
    options = {"weights": str(written), "score_threshold": threshold}
    exported: Any = registry.create("detector", backend.name, options)
    wanted, found = detector.detect(pictures), exported.detect(pictures)
    count = sum(len(one) for one in wanted)
    return ParityReport(
        backend=backend.name,
        source=str(source),
        target=str(target),
        compared_on=f"{described}, {count} found",
        differences=compare_found(wanted, found),
        tolerance=DEFAULT_TOLERANCE if tolerance is None else tolerance,
    )


def compare_found(wanted: Sequence[Detections], found: Sequence[Detections]) -> dict[str, float]:
    """Say how far apart what two detectors found is.

    Args:
        wanted: Of each image.
        found: Of each image; the nearest box of the same class is the one to be compared.

    Returns:
        Largest difference of ``boxes``, as a part of the image's longer side, and of ``scores``;
        and the part of the pixels in which ``masks`` differ. Infinite where the counts differ.
    """
    worst = {"boxes": 0.0, "scores": 0.0}
    for want, have in zip(wanted, found, strict=True):
        if len(want) != len(have):
            return dict.fromkeys(worst, float("inf"))
        for row in range(len(want)):
            apart = np.abs(have.boxes - want.boxes[row]).max(axis=1) / max(want.image_size)
            if want.class_ids is not None and have.class_ids is not None:
                apart = np.where(have.class_ids == want.class_ids[row], apart, np.inf)
            other = int(apart.argmin())
            worst["boxes"] = max(worst["boxes"], float(apart[other]))
            moved = abs(float(have.scores[other] - want.scores[row]))
            worst["scores"] = max(worst["scores"], moved)
            if want.masks is not None and have.masks is not None:
                differ = want.masks[row].to_mask() != have.masks[other].to_mask()
                worst["masks"] = max(worst.get("masks", 0.0), float(differ.mean()))
    return worst
