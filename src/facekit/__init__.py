"""One Detector, Landmarker and Classifier interface over many face models.

>>> import facekit
>>> detector = facekit.create_detector()                     # tiny_ssd, weights in the wheel
>>> detections = detector.detect(["photo.jpg"])              # doctest: +SKIP
>>> analyzer = facekit.FaceAnalyzer()                        # boxes and 68 landmarks
>>> faces = analyzer("photo.jpg")                            # doctest: +SKIP

Importing facekit imports no framework: names are resolved when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facekit import errors
from facekit.boxes import BoxTransform
from facekit.errors import FacekitError
from facekit.registry import backends, create_classifier, create_detector, create_landmarker
from facekit.types import Classifications, Detections, Faces, Landmarks

if TYPE_CHECKING:
    from facekit.align import align_faces
    from facekit.analyzer import FaceAnalyzer
    from facekit.draw import draw_faces
    from facekit.images import read as read_image
    from facekit.images import write as write_image

__all__ = [
    "BoxTransform",
    "Classifications",
    "Detections",
    "FaceAnalyzer",
    "FacekitError",
    "Faces",
    "Landmarks",
    "__version__",
    "align_faces",
    "backends",
    "create_classifier",
    "create_detector",
    "create_landmarker",
    "draw_faces",
    "errors",
    "read_image",
    "write_image",
]

__version__ = "0.1.0"

# Names whose modules import OpenCV, Pillow or pydantic.
_LAZY = {
    "FaceAnalyzer": "facekit.analyzer:FaceAnalyzer",
    "align_faces": "facekit.align:align_faces",
    "draw_faces": "facekit.draw:draw_faces",
    "read_image": "facekit.images:read",
    "write_image": "facekit.images:write",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    """Import a public name's module when the name is first used (PEP 562)."""
    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, _, attribute = _LAZY[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, lazy ones included."""
    return sorted(set(globals()) | set(__all__))
