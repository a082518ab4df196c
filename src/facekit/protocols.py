"""What a detector, a landmarker and a classifier are.

Batch first: output ``i`` answers image ``i``; images of mixed sizes are fine; inputs are never
changed; nothing is remembered between calls; every method may be called from several threads.
Options go through the constructor: an adapter is a class with an ``Options`` model and is built
as ``Adapter(Adapter.Options(...))``, which :func:`facekit.create_detector` does by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from facekit.boxes import BoxTransform
from facekit.images import ImageLike
from facekit.types import Classifications, Detections, Landmarks

__all__ = [
    "EVALUATION_THRESHOLD_LIMIT",
    "Classifier",
    "Detector",
    "DetectorOptions",
    "Landmarker",
    "ModelOptions",
    "Options",
]

EVALUATION_THRESHOLD_LIMIT = 0.02
"""A detector measured above this score threshold has its precision-recall curve cut short."""

EngineName = Literal["torch", "onnxruntime", "openvino"]

Precision = Literal["f32", "bf16"]
"""What a network computes in; bfloat16 only where the processor and the engine have it."""


class Options(BaseModel):
    """Base of every adapter's options: frozen, and unknown options are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class ModelOptions(Options):
    """Options that every adapter with a network of facekit's own shares.

    Attributes:
        weights: A file, or a name of ``facekit weights list``; by default the bundled weights.
        sha256: The hash that the weights must have; checked before they are read.
        engine: What runs the network; by default the weights' suffix decides.
        threads: CPU threads of one call; 0 leaves it to the engine.
    """

    weights: Path | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    engine: EngineName | None = None
    threads: int = Field(default=0, ge=0)


class DetectorOptions(Options):
    """Options that every detector shares.

    Attributes:
        score_threshold: Faces with a lower score are left out; by default the detector's own
            display threshold. Evaluation uses the detector's ``evaluation_threshold``.
        box_transform: From its boxes to the canonical squares that landmarkers crop by, as
            ``facekit calibrate`` fits it (``dx``, ``dy``, ``sw``, ``sh``); by default the
            detector's own, which belongs to its published or shipped weights.
    """

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    box_transform: BoxTransform | None = None

    @field_validator("box_transform")
    @classmethod
    def _is_a_transform(cls, value: BoxTransform | None) -> BoxTransform | None:
        """Refuse a transform that makes no square."""
        if value is not None and not (np.isfinite(value).all() and min(value.sw, value.sh) > 0):
            message = f"dx, dy, sw and sh are finite numbers, sw and sh above 0, got {value}"
            raise ValueError(message)
        return value


@runtime_checkable
class Detector(Protocol):
    """Finds faces.

    Attributes:
        Options: The options model, a subclass of :class:`DetectorOptions`.
        name: The registry name.
        class_names: The class of each class id; ``("face",)`` where faces are all there is.
        evaluation_threshold: The score threshold to measure at, at most 0.02.
        score_threshold: The score threshold in force.
        box_transform: From its boxes to the canonical squares that landmarkers crop by.
    """

    # Properties, so that a nested class, a class or instance attribute and a property all do.
    @property
    def Options(self) -> type[DetectorOptions]:  # noqa: N802 - it is a class
        """The options model."""
        ...

    @property
    def name(self) -> str:
        """The registry name."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class of each class id."""
        ...

    @property
    def evaluation_threshold(self) -> float:
        """The score threshold to measure at."""
        ...

    @property
    def score_threshold(self) -> float:
        """The score threshold in force."""
        ...

    @property
    def box_transform(self) -> BoxTransform:
        """From its boxes to the canonical squares that landmarkers crop by."""
        ...

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image.

        Args:
            images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays, of any sizes.

        Returns:
            One :class:`~facekit.types.Detections` an image, scores descending.

        Raises:
            ImageError: If an image cannot be read.
            BackendError: If the vendor's code fails.
        """
        ...


@runtime_checkable
class Landmarker(Protocol):
    """Places landmarks on faces that a detector found.

    Attributes:
        Options: The options model.
        name: The registry name.
        scheme: The name of the point scheme (``"ibug68"``).
        point_count: The scheme's number of points.
    """

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - it is a class
        """The options model."""
        ...

    @property
    def name(self) -> str:
        """The registry name."""
        ...

    @property
    def scheme(self) -> str:
        """The name of the point scheme."""
        ...

    @property
    def point_count(self) -> int:
        """The scheme's number of points."""
        ...

    def locate(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Landmarks]:
        """Place the landmarks of each face of each image.

        Args:
            images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays, of any sizes.
            detections: The faces of each image; crops follow their ``canonical_squares()``.

        Returns:
            One :class:`~facekit.types.Landmarks` an image, faces in the detections' order.

        Raises:
            ImageError: If an image cannot be read.
            ValueError: If there is not one ``Detections`` an image.
            BackendError: If the vendor's code fails.
        """
        ...


@runtime_checkable
class Classifier(Protocol):
    """Says something of faces that a detector found.

    Attributes:
        Options: The options model.
        name: The registry name.
        labels: The labels' names.
    """

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - it is a class
        """The options model."""
        ...

    @property
    def name(self) -> str:
        """The registry name."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' names."""
        ...

    def classify(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Classifications]:
        """Score the labels of each face of each image.

        Args:
            images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays, of any sizes.
            detections: The faces of each image.

        Returns:
            One :class:`~facekit.types.Classifications` an image, faces in the detections' order.

        Raises:
            ImageError: If an image cannot be read.
            ValueError: If there is not one ``Detections`` an image.
            BackendError: If the vendor's code fails.
        """
        ...
