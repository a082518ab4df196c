"""Any detector of MMDetection 3.x, run by mmdet itself.

Photos go through the config's own test pipeline and the model's own post-processing, so that boxes
and scores are those of mmdet's ``inference_detector``; here the face's class is picked out of them.
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
from facekit.errors import BackendError, ConfigError
from facekit.images import ImageLike, RgbImage
from facekit.masks import RleMask
from facekit.mmlab.predictor import Predictor, instances
from facekit.protocols import DetectorOptions
from facekit.types import Detections

__all__ = ["MMDet"]

_BOX_SIDES = 4


class MMDet:
    """A config and a checkpoint of MMDetection; boxes, masks and keypoints as it gives them.

    Attributes:
        class_names: The face's class, as the model calls it.
        evaluation_threshold: 0: all that the config's own ``score_thr`` lets through.
        score_threshold: The score from which faces are returned.
        box_transform: From its boxes to the canonical squares that landmarkers crop by; the
            identity, because every model has boxes of its own.
    """

    class Options(DetectorOptions):
        """Options of a model of MMDetection.

        Attributes:
            config: A config of MMDetection 3.x, or the name of one that mmdet ships, such as
                ``retinanet/retinanet_r50_fpn_1x_coco.py``. Configs in Python are programs: one
                that does more than assign values is warned about before it runs.
            weights: A checkpoint of that model; nothing in it is run.
            sha256: The hash that the weights must have; checked before they are read.
            face_class: The face's class by name or by index; by default ``face``, or the only one.
            classes: The classes' names, where neither checkpoint nor config has them.
            overrides: Values of the config to be changed, by dotted key:
                ``{"model.test_cfg.score_thr": 0.01}``.
            device: What PyTorch runs it on: ``cpu``, ``cuda``, ``cuda:1``.
            strict: Whether weights that the model has no place for are an error.
        """

        config: Path
        weights: Path
        sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
        face_class: str | int | None = None
        classes: tuple[str, ...] | None = None
        overrides: Mapping[str, Any] = Field(default_factory=dict)
        device: str = "cpu"
        strict: bool = True

    name: ClassVar[str] = "mmdet"
    evaluation_threshold = 0.0
    box_transform = IDENTITY

    def __init__(self, options: Options) -> None:
        """Build the model and load its weights.

        Args:
            options: The config and the weights at least.

        Raises:
            ConfigError: If the config is of another generation of MMDetection, names what nobody
                registered, or has no such class of faces; or the device cannot be used.
            WeightsError: If the weights are missing, damaged or of another model.
        """
        self.score_threshold = 0.5 if options.score_threshold is None else options.score_threshold
        self.box_transform = options.box_transform or type(self).box_transform
        self._predictor = Predictor(
            options.config,
            weights.resolve(options.weights, default=self.name, sha256=options.sha256),
            overrides=dict(options.overrides),
            classes=options.classes,
            device=options.device,
            strict=options.strict,
        )
        self._label = _face_label(self._predictor.classes, options.face_class)
        self.class_names: tuple[str, ...] = (self._predictor.classes[self._label],)

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        return [
            self._to_detections(self._forward(_prepare(image)), image.shape[:2])
            for chunk in read_chunks(images, size=1)
            for image in chunk
        ]

    def _forward(self, bgr: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401 - InstanceData
        """Run pipeline and model.

        Returns:
            mmdet's ``InstanceData`` of all classes.

        Raises:
            BackendError: If mmdet fails, or the model answers without boxes.
        """
        try:
            sample = self._predictor(bgr)
        except Exception as error:
            # Any registered class may take part, and raise anything.
            text = (str(error).strip().splitlines() or [""])[0]
            message = f"detector 'mmdet': mmdet failed: {type(error).__name__}: {text}"
            raise BackendError(message) from error
        return instances(sample)

    def _to_detections(self, found: Any, image_size: tuple[int, int]) -> Detections:  # noqa: ANN401 - InstanceData
        """Pick the faces of what a model has found in one image.

        Args:
            found: mmdet's ``InstanceData``: ``bboxes``, ``scores``, ``labels``, and where the
                model has them ``masks`` ``(n, H, W)``, ``keypoints`` ``(n, k, 2 or 3)`` and
                ``keypoint_scores`` ``(n, k)``.
            image_size: Height and width, pixels.

        Raises:
            BackendError: If the boxes are not upright rectangles.
        """
        boxes, scores = _array(found.bboxes), _array(found.scores)
        if boxes.ndim != 2 or boxes.shape[1] != _BOX_SIDES:  # noqa: PLR2004 - one row a box
            message = f"detector 'mmdet': boxes of shape {boxes.shape}, facekit's are (n, 4)"
            raise BackendError(message)
        rows = np.flatnonzero(_array(found.labels) == self._label)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        rows = rows[scores[rows] >= np.float32(self.score_threshold)]
        return Detections(
            boxes=boxes[rows],
            scores=scores[rows],
            image_size=image_size,
            keypoints=_keypoints(found, rows),
            masks=_masks(found, rows),
            box_transform=self.box_transform,
        )


def _face_label(classes: Sequence[str], wanted: str | int | None) -> int:
    """Return the index of the face's class.

    Raises:
        ConfigError: If it is not among the classes, or nobody said which one it is.
    """
    known = f"the model's classes: {', '.join(classes) or 'unknown'}"
    if not classes:
        message = "neither the checkpoint nor the config names the classes: give classes=[...]"
        raise ConfigError(f"detector 'mmdet': {message}")
    if isinstance(wanted, int):
        if 0 <= wanted < len(classes):
            return wanted
        raise ConfigError(f"detector 'mmdet': face_class {wanted} is no index of {known}")
    if wanted is None and len(classes) == 1:
        return 0
    lowered = [name.lower() for name in classes]
    name = "face" if wanted is None else wanted
    if name.lower() in lowered:
        return lowered.index(name.lower())
    reason = "no class 'face'" if wanted is None else f"no class {wanted!r}"
    raise ConfigError(f"detector 'mmdet': {reason}; give face_class, a name or an index; {known}")


def _prepare(image: RgbImage) -> npt.NDArray[np.uint8]:
    """Return ``(H, W, 3)`` uint8 BGR, as mmdet's pipelines read files."""
    return np.ascontiguousarray(image[..., ::-1])


def _array(values: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - a tensor, or mmdet's boxes
    """Return a tensor's values, or those of mmdet's own box type."""
    array: npt.NDArray[Any] = getattr(values, "tensor", values).cpu().numpy()
    return array


def _masks(found: Any, rows: npt.NDArray[np.int64]) -> tuple[RleMask, ...] | None:  # noqa: ANN401 - InstanceData
    """Return the chosen objects' masks, or ``None`` for a model without."""
    if "masks" not in found:
        return None
    masks = _array(found.masks)
    return tuple(RleMask.from_mask(masks[row]) for row in rows)


def _keypoints(found: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:  # noqa: ANN401 - InstanceData
    """Return the chosen objects' keypoints ``(n, k, 3)``, or ``None`` for a model without."""
    if "keypoints" not in found:
        return None
    points = _array(found.keypoints)[rows].astype(np.float32)
    if "keypoint_scores" in found:
        sure = _array(found.keypoint_scores)[rows].astype(np.float32)
    else:
        sure = points[..., 2] if points.shape[-1] > 2 else np.ones(points.shape[:2], np.float32)  # noqa: PLR2004 - x, y
    return np.concatenate([points[..., :2], sure[..., None]], axis=-1)
