"""Golden records: what an adapter gave on the contract's photos when its author looked at it.

A record is JSON: the adapter, its options, the versions it was made with, and for each photo the
hash of its pixels and the numbers found. Comparing to it finds what no other check can, above all
swapped colour channels, which most models survive with slightly other numbers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import platform
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import facekit
from facekit import atomic, registry
from facekit.errors import ConfigError
from facekit.testing import photos
from facekit.testing.photos import Photo
from facekit.types import Classifications, Detections, Landmarks

__all__ = [
    "COLOURFUL",
    "LIMIT",
    "colourfulness",
    "command",
    "golden_photos",
    "load",
    "measure",
    "record",
]

Model = Any
"""An adapter, by its role."""

Result = Detections | Landmarks | Classifications

LIMIT: Final = 20
"""The best faces of a photo that a detector's record keeps."""

COLOURFUL: Final = 20.0
"""The mean difference of red and blue from which swapped channels change what a model sees."""

_PACKAGES: Final = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "scikit-image")


def golden_photos() -> list[Photo]:
    """Return the photos of a record: one face, two faces, and a close portrait."""
    return [photos.astronaut(), photos.pair(), photos.portrait()]


def colourfulness(photo: Photo) -> float:
    """Return the mean difference of red and blue in the faces, 0 to 255.

    Where it is near 0, swapped channels would change nothing and the record could not show them.
    """
    differences = [
        np.abs(part[..., 0].astype(int) - part[..., 2]).mean()
        for part in (_part(photo, box) for box in photo.faces)
    ]
    return float(np.mean(differences))


def _part(photo: Photo, box: Any) -> Any:  # noqa: ANN401 - arrays
    left, top, right, bottom = (round(float(side)) for side in box)
    return photo.image[top:bottom, left:right]


def ask(model: Model, role: registry.Role, photo: Photo) -> Result:
    """Return what a model of any role says of one photo, its faces given where it needs them."""
    if role == "detector":
        found: Result = model.detect([photo.image])[0]
    elif role == "landmarker":
        found = model.locate([photo.image], [photo.detections])[0]
    else:
        found = model.classify([photo.image], [photo.detections])[0]
    return found


def build(role: registry.Role, name: str, options: Mapping[str, Any]) -> Model:
    """Build an adapter for its record: a detector at its evaluation threshold.

    At the display threshold a record would hold one or two saturated scores, which say little.
    """
    model = registry.create(role, name, options)
    if role != "detector":
        return model
    return registry.create(role, name, {**options, "score_threshold": model.evaluation_threshold})


def measure(model: Model, role: registry.Role) -> dict[str, dict[str, Any]]:
    """Run a model on the record's photos.

    Args:
        model: The adapter.
        role: Its role.

    Returns:
        For each photo's name the sha256 of its pixels and the numbers: ``boxes``, ``scores`` and
        the ``threshold`` in force, or ``points``, or ``scores``.
    """
    head = {"threshold": model.score_threshold} if role == "detector" else {}
    return {
        photo.name: {"pixels": _sha256(photo), **head, **_numbers(ask(model, role, photo))}
        for photo in golden_photos()
    }


def _numbers(result: Result) -> dict[str, Any]:
    """Return the numbers of a result as plain lists, a detector's best ``LIMIT`` only."""
    if isinstance(result, Detections):
        best = result[np.argsort(-result.scores, kind="stable")[:LIMIT]]
        return {"boxes": _plain(best.boxes), "scores": _plain(best.scores)}
    if isinstance(result, Landmarks):
        return {"scheme": result.scheme, "points": _plain(result.points)}
    return {"labels": list(result.labels), "scores": _plain(result.scores)}


def _plain(values: Any) -> Any:  # noqa: ANN401 - arrays to nested lists
    return np.round(np.asarray(values, np.float64), 6).tolist()


def _sha256(photo: Photo) -> str:
    return hashlib.sha256(photo.image.tobytes()).hexdigest()


def record(role: registry.Role, name: str, options: Mapping[str, Any], path: Path) -> None:
    """Write the golden record of an adapter.

    Args:
        role: The adapter's role.
        name: Its registry name.
        options: Its options.
        path: The file to be written; its folder is made where only the last one is missing.

    Raises:
        FacekitError: If the adapter cannot be built or the file cannot be written.
    """
    if path.parent.parent.is_dir():
        path.parent.mkdir(exist_ok=True)
    atomic.check_writable(path)
    content = {
        "format": 1,
        "role": role,
        "name": name,
        "options": {key: _json_value(value) for key, value in options.items()},
        "recorded": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "versions": _versions(role, name),
        "photos": measure(build(role, name, options), role),
    }
    # One box or point a line, so that a change of the record can be read.
    text = re.sub(r"\[\s+([^][]*?)\s+\]", _on_one_line, json.dumps(content, indent=1))
    atomic.write_text(path, text + "\n")


def _on_one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\s*\n\s*", " ", match[1]) + "]"


def _json_value(value: Any) -> Any:  # noqa: ANN401 - any option
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _versions(role: registry.Role, name: str) -> dict[str, str]:
    """Return the versions of what the numbers may depend on."""
    owner = registry.find(role, name).owner
    found = {"python": platform.python_version(), "facekit": facekit.__version__}
    for package in (*_PACKAGES, owner):
        try:
            found.setdefault(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def load(path: Path) -> dict[str, Any]:
    """Read a golden record.

    Raises:
        ConfigError: If it is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content["photos"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path}: not a golden record; record it anew ({type(error).__name__}: {error})"
        raise ConfigError(message) from error


def command(role: registry.Role, name: str, options: Mapping[str, Any], path: Path) -> str:
    """Return the command that records, to be pasted into a shell."""
    given = [f"--option={key}={_json_value(value)}" for key, value in options.items()]
    here = Path.cwd()
    place = path.relative_to(here) if path.is_relative_to(here) else path
    words = ["python", "-m", "facekit.testing", "record", role, name, *given, "-o", str(place)]
    return shlex.join(words)
