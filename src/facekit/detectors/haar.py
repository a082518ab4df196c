"""OpenCV's Haar cascade of frontal faces, as the landmark tutorials use it; needs OpenCV 4.

Source: Viola and Jones (2001), in the shape of ``cv2.CascadeClassifier``. OpenCV 5 has neither the
class nor the trained files.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from facekit.batches import read_chunks
from facekit.boxes import BoxTransform, iou, xywh_to_xyxy
from facekit.errors import BackendError, MissingDependencyError, WeightsError
from facekit.images import ImageLike, RgbImage
from facekit.protocols import DetectorOptions
from facekit.types import Detections

__all__ = ["Haar"]

if not hasattr(cv2, "CascadeClassifier"):
    raise MissingDependencyError(
        "detector 'haar'",
        "cv2",
        'pip install "facekit[haar]"',
        f"OpenCV {cv2.__version__} is installed, and OpenCV 5 dropped cascades",
    )

_cv2: Any = cv2
"""OpenCV 5's type stubs lack what only OpenCV 4 has."""

_GROUP_EPS: Final = 0.2
"""``detectMultiScale``'s own tolerance when it groups overlapping windows."""

_SAME_FACE: Final = 0.5
_HALF_SCORE: Final = 10.0

FloatArray = npt.NDArray[np.float32]


class Haar:
    """Finds upright frontal faces; boxes are those of ``CascadeClassifier.detectMultiScale``.

    A cascade has no probability. Each window that passes it has the weight of its last stage;
    a face's windows' positive weights are summed to ``s``, and its score is ``s / (s + 10)``:
    monotone in ``s``, 0 for a face whose windows barely passed, 0.5 at ``s = 10``. On WIDER FACE
    this orders the faces better than the greatest weight or the number of windows does.

    Attributes:
        class_names: ``("face",)``.
        evaluation_threshold: 0: all that OpenCV returns.
        score_threshold: The score from which faces are returned; by default 0 too.
        box_transform: From its boxes to the canonical squares that landmarkers crop by.
    """

    class Options(DetectorOptions):
        """Options of the Haar cascade, named as in OpenCV.

        Attributes:
            cascade: An XML file, or the name of one that OpenCV ships.
            scale_factor: Step between the sizes of the windows.
            min_neighbors: A face needs more overlapping windows than this.
            min_size: Side of the smallest window, pixels; 0 means the cascade's own.
        """

        cascade: str = "haarcascade_frontalface_default.xml"
        scale_factor: float = Field(default=1.1, gt=1)
        min_neighbors: int = Field(default=4, ge=1)
        min_size: int = Field(default=0, ge=0)

    name: ClassVar[str] = "haar"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.0
    # facekit calibrate haar, on 1,779 annotated faces: brings the landmarks'
    # error from 8.2 % of the eyes' distance to 5.8 %.
    box_transform = BoxTransform(dx=0.003, dy=0.151, sw=0.928, sh=0.927)

    def __init__(self, options: Options | None = None) -> None:
        """Load the cascade.

        Args:
            options: By default OpenCV's default frontal cascade.

        Raises:
            WeightsError: If the cascade is missing or damaged.
        """
        self._options = options = options or self.Options()
        self.score_threshold = options.score_threshold or 0.0
        self.box_transform = options.box_transform or type(self).box_transform
        self._classifier = _load(options.cascade)
        # A CascadeClassifier keeps the image's pyramid in itself: one caller at a time.
        self._lock = threading.Lock()

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        return [
            self._to_detections(*self._forward(_prepare(image)), image.shape[:2])
            for chunk in read_chunks(images, size=1)
            for image in chunk
        ]

    def _forward(self, grey: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Run the cascade over every window.

        Returns:
            The windows that passed, ``(n, 4)`` x y w h, and the weights of their last stage.

        Raises:
            BackendError: If OpenCV fails.
        """
        side = self._options.min_size
        try:
            with self._lock:
                windows, _, weights = self._classifier.detectMultiScale3(
                    grey,
                    scaleFactor=self._options.scale_factor,
                    # Grouping by OpenCV would compare min_neighbors with the stage reached,
                    # not with the number of windows, once weights are asked for.
                    minNeighbors=0,
                    minSize=(side, side),
                    outputRejectLevels=True,
                )
        except cv2.error as error:
            message = f"detector 'haar': OpenCV failed: {error}"
            raise BackendError(message) from error
        return (
            np.array(windows, dtype=np.float32).reshape(-1, 4),
            np.array(weights, dtype=np.float32).reshape(-1),
        )

    def _to_detections(
        self, windows: FloatArray, weights: FloatArray, image_size: tuple[int, int]
    ) -> Detections:
        """Group windows to faces, as ``detectMultiScale`` does, and score them.

        Args:
            windows: ``(n, 4)`` x y w h, pixels.
            weights: ``(n,)`` weights of the windows' last stage.
            image_size: Height and width, pixels.
        """
        rows = windows.astype(int).tolist()
        grouped, _ = _cv2.groupRectangles(rows, self._options.min_neighbors, _GROUP_EPS)
        faces = xywh_to_xyxy(np.array(grouped, dtype=np.float32).reshape(-1, 4))
        near = iou(faces, xywh_to_xyxy(windows)) >= _SAME_FACE
        total = (near * np.maximum(weights, 0)).sum(axis=1)
        scores = (total / (total + _HALF_SCORE)).astype(np.float32)
        # OpenCV's threads report windows in any order: the place breaks ties.
        order = np.lexsort((faces[:, 1], faces[:, 0], -scores))
        return Detections(
            boxes=faces[order],
            scores=scores[order],
            image_size=image_size,
            box_transform=self.box_transform,
        ).above(self.score_threshold)


def _load(cascade: str) -> Any:  # noqa: ANN401 - see _cv2
    """Read a cascade.

    Raises:
        WeightsError: If it is missing or damaged.
    """
    shipped = Path(_cv2.data.haarcascades)
    file = Path(cascade) if Path(cascade).is_file() else shipped / cascade
    if not file.is_file():
        raise WeightsError(cascade, f"no such file, nor a cascade that OpenCV ships in {shipped}")
    try:
        classifier = _cv2.CascadeClassifier(str(file))
        empty = bool(classifier.empty())
    except (cv2.error, SystemError) as error:
        # OpenCV's binding raises SystemError where its XML parser gives up.
        raise WeightsError(file, "not a cascade that OpenCV reads") from error
    if empty:
        raise WeightsError(file, "not a cascade that OpenCV reads")
    return classifier


def _prepare(image: RgbImage) -> npt.NDArray[np.uint8]:
    """Return ``(H, W)`` uint8 grey."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
