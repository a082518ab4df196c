"""Any model of Detectron2 that finds instances, run by detectron2 itself.

Boxes, scores, classes, masks and keypoints are those of its ``DefaultPredictor``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from facekit import weights
from facekit.batches import read_chunks
from facekit.boxes import IDENTITY
from facekit.d2.predictor import Predictor
from facekit.detectors._detectron2_instances import class_names, face_class, to_detections
from facekit.errors import BackendError, FacekitError
from facekit.images import ImageLike, RgbImage
from facekit.protocols import DetectorOptions
from facekit.types import Detections

__all__ = ["Detectron2"]


class Detectron2:
    """A config and a checkpoint of Detectron2.

    Attributes:
        class_names: What `Options.class_names` says; by default those that Detectron2 has for the
            dataset that the config tests on, ``("face",)`` for one class, or numbers.
        evaluation_threshold: 0.02.
        score_threshold: The score above which faces are returned: the config's
            ``SCORE_THRESH_TEST`` unless the options say otherwise.
        box_transform: From its boxes to the canonical squares that landmarkers crop by; the
            identity, because every model has boxes of its own.
    """

    class Options(DetectorOptions):
        """Options of a model of Detectron2.

        Attributes:
            config: A YAML or a lazy config (``.py``), or the name of one that Detectron2 ships,
                such as ``COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml``. A lazy config is
                a program: a warning says so before it runs.
            weights: A checkpoint of that model; nothing in it is run.
            sha256: The hash that the weights must have; checked before they are read.
            class_names: The names of the model's classes.
            face_class: The name or the number, from 0, of the class to keep; by default all.
            overrides: Values of the config to be changed, by dotted key:
                ``{"MODEL.ROI_HEADS.NUM_CLASSES": 1}``.
            min_size: Pixels of the input's shorter side; by default the config's.
            max_size: Pixels of the input's longer side at most; by default the config's.
            device: What PyTorch runs it on: ``cpu``, ``cuda``, ``cuda:1``.
            strict: Whether weights that are missing or that the model has no place for are an
                error.
        """

        config: Path
        weights: Path
        sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
        class_names: tuple[str, ...] | None = None
        face_class: int | str | None = None
        overrides: Mapping[str, Any] = Field(default_factory=dict)
        min_size: int | None = Field(default=None, ge=0)
        max_size: int | None = Field(default=None, ge=1)
        device: str = "cpu"
        strict: bool = True

    name: ClassVar[str] = "detectron2"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.02
    box_transform = IDENTITY

    def __init__(self, options: Options) -> None:
        """Build the model and load its weights.

        Args:
            options: The config and the weights at least.

        Raises:
            ConfigError: If the config is malformed, Detectron2 cannot build its model, or there is
                no such class.
            WeightsError: If the weights are missing, damaged or of another model.
            BackendError: If the device is not there.
        """
        self.box_transform = options.box_transform or type(self).box_transform
        self._predictor = Predictor(
            options.config,
            weights.resolve(options.weights, default=self.name, sha256=options.sha256),
            overrides=dict(options.overrides),
            score_threshold=options.score_threshold,
            sides=(options.min_size, options.max_size),
            device=options.device,
            strict=options.strict,
        )
        own = options.score_threshold
        self.score_threshold = (self._predictor.score_threshold or 0.0) if own is None else own
        predictor = self._predictor
        self.class_names = class_names(options.class_names, predictor.names, predictor.classes)
        self._face = face_class(options.face_class, self.class_names)

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        return [
            self._to_detections(self._forward(_prepare(image)), image.shape[:2])
            for chunk in read_chunks(images, size=1)
            for image in chunk
        ]

    def _forward(self, bgr: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401 - Instances
        """Run one photo.

        Raises:
            BackendError: If Detectron2 fails.
        """
        try:
            return self._predictor(bgr)
        except FacekitError:
            raise
        except Exception as error:
            # Any registered class may take part, and raise anything.
            text = (str(error).strip().splitlines() or [""])[0]
            message = f"detector 'detectron2': detectron2 failed: {type(error).__name__}: {text}"
            raise BackendError(message) from error

    def _to_detections(self, found: Any, image_size: tuple[int, int]) -> Detections:  # noqa: ANN401 - Instances
        """Pick the faces of what the model has found in one photo."""
        return to_detections(
            found,
            image_size,
            threshold=self.score_threshold,
            only=self._face,
            several=len(self.class_names) > 1,
            box_transform=self.box_transform,
        )


def _prepare(image: RgbImage) -> npt.NDArray[np.uint8]:
    """Return ``(H, W, 3)`` uint8 BGR, as ``DefaultPredictor`` takes it."""
    return np.ascontiguousarray(image[..., ::-1])
