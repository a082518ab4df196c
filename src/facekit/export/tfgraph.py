"""Graphs of TensorFlow as ONNX, written only if they still find the same boxes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from facekit import images, tfgraphs
from facekit.errors import BackendError, WeightsError
from facekit.export.parity import DEFAULT_TOLERANCE, ParityReport, synthetic
from facekit.tfgraphs import pixels
from facekit.tfgraphs.labels import BESIDE
from facekit.tfgraphs.signature import Graph, Role

__all__ = ["NAME", "export_graph"]

NAME: Final = "tfod"

_SIZE: Final = (3, 240, 320)
_BEST: Final = 20
"""Boxes that are compared: what is less likely changes places with its equals."""

_OF_OLD: Final = (
    "of what TensorFlow 1's exporters put into their graphs tf2onnx loses the shapes; export the "
    "SavedModel of TensorFlow 2, as 'facekit tfod export RUN saved_model' writes it"
)
_NOT_CONVERTED: Final = {
    "frozen_graph": f"a frozen graph is not converted: {_OF_OLD}",
    "tflite": "a TFLite model is not converted: export the SavedModel that it was made of "
    '(pip install "facekit[litert]" is enough to run it as it is)',
    "onnx": "is ONNX already",
}


def export_graph(
    source: Path,
    written: Path,
    target: Path,
    *,
    photo: str | os.PathLike[str] | None,
    tolerance: float | None,
) -> ParityReport:
    """Convert a SavedModel, and run both on a picture.

    Args:
        source: The SavedModel's folder, or the folder above it.
        written: The ``.onnx`` to be written.
        target: What it will be called, for the report.
        photo: What to compare on; by default a synthetic picture.
        tolerance: Largest difference that is accepted, of boxes as parts of the picture and of
            scores.

    Raises:
        WeightsError: If it is no SavedModel, damaged, or no detector.
        BackendError: If tf2onnx fails, what it made does not run, or boxes differ.
        ImageError: If the photo cannot be read.
    """
    kind, place = tfgraphs.kind_of(source)
    if kind in _NOT_CONVERTED:
        raise WeightsError(source, _NOT_CONVERTED[kind])
    from facekit.tfgraphs import convert  # noqa: PLC0415 - TensorFlow and tf2onnx
    from facekit.tfgraphs.tensorflow import SavedModel  # noqa: PLC0415

    graph = SavedModel(place, tfgraphs.Settings())
    convert.write(graph, written)
    picture, described = _picture(photo)
    wanted = _answer(graph, picture)
    try:
        found = _answer(tfgraphs.load(written, tfgraphs.Settings()), picture)
    except (WeightsError, BackendError) as error:
        message = f"{target}: not written: what tf2onnx made does not run: {error}; {_OF_OLD}"
        raise BackendError(message) from error
    report = ParityReport(
        backend=NAME,
        source=str(source),
        target=str(target),
        compared_on=described,
        differences=_differences(wanted, found),
        tolerance=DEFAULT_TOLERANCE if tolerance is None else tolerance,
    )
    labels = next((at / BESIDE for at in (place, place.parent) if (at / BESIDE).is_file()), None)
    if labels is not None:
        shutil.copyfile(labels, written.with_name(BESIDE))
    return report


def _picture(photo: str | os.PathLike[str] | None) -> tuple[npt.NDArray[np.uint8], str]:
    """Return what both run on, RGB, and what it is in words."""
    if photo is not None:
        return images.read(photo), f"on the photo {os.fspath(photo)}"
    values, described = synthetic(_SIZE)
    return (values.transpose(1, 2, 0) * 255).round().astype(np.uint8), described


def _answer(graph: Graph, picture: npt.NDArray[np.uint8]) -> dict[Role, npt.NDArray[np.float32]]:
    """Run a graph on one picture, as often as it wants."""
    shape = graph.image.shape
    offset, scale = (np.asarray(one, dtype=np.float32) for one in graph.pixel_range)
    batch = pixels.prepare(
        [picture] * ((shape[0] if shape else None) or 1),
        graph.image,
        offset=offset,
        scale=scale,
        half_pixel_centers=False,
    )
    return {role: values[0] for role, values in graph(batch).items()}


def _differences(
    wanted: dict[Role, npt.NDArray[np.float32]], found: dict[Role, npt.NDArray[np.float32]]
) -> dict[str, float]:
    """Return how far the likeliest boxes are from the nearest of the others, boxes and scores."""
    most = max(1.0, float(np.abs(wanted["boxes"]).max(initial=0)))
    rows, others = (
        np.concatenate([one["boxes"] / most, one["scores"][:, None]], axis=1)
        for one in (wanted, found)
    )
    best = rows[np.argsort(-rows[:, 4], kind="stable")[:_BEST]]
    if not len(best) or not len(others):
        same = 0.0 if len(best) == len(others) else float("inf")
        return {"boxes": same, "scores": same}
    apart = np.abs(best[:, None] - others)
    nearest = apart[np.arange(len(best)), apart.max(axis=2).argmin(axis=1)]
    return {"boxes": float(nearest[:, :4].max()), "scores": float(nearest[:, 4].max())}
