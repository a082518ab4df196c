"""ResNet18 that regresses the 68 iBUG points from a grey crop; the default landmarker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import cv2
import numpy as np
from pydantic import Field

from facekit import weights
from facekit.batches import read_pairs
from facekit.boxes import square
from facekit.engines import Engine, FloatArray
from facekit.engines.spec import NetworkSpec
from facekit.errors import WeightsError
from facekit.images import ImageLike, RgbImage, crop
from facekit.protocols import ModelOptions
from facekit.types import Detections, Landmarks

__all__ = ["SPEC", "ResNet18"]

SIZE: Final = 224
"""Side of the network's input, pixels."""

SPEC: Final = NetworkSpec(
    network="facekit.networks.resnet18:ResNet18Landmarks",
    inputs=("image",),
    outputs=("landmarks",),
    input_shape=(1, SIZE, SIZE),
)
"""Grey in -1..1 to landmarks ``(N, 136)``: x, y, ... as fractions of the crop, minus 0.5."""

_CROP_SCALE_KEY: Final = "facekit.crop_scale"
_SCHEME_KEY: Final = "facekit.scheme"


class ResNet18:
    """Places 68 points, all faces of all images in batches.

    Attributes:
        scheme: ``"ibug68"``.
        point_count: 68.
    """

    class Options(ModelOptions):
        """Options of the ResNet18 landmarker.

        Attributes:
            batch_size: Faces of one forward pass.
        """

        batch_size: int = Field(default=32, ge=1)

    name: ClassVar[str] = "resnet18"
    scheme = "ibug68"
    point_count = 68

    def __init__(self, options: Options | None = None) -> None:
        """Load the weights.

        Args:
            options: By default the bundled weights.

        Raises:
            WeightsError: If the weights are missing, damaged or of another network.
            MissingDependencyError: If the engine's package is not installed.
        """
        self._options = options = options or self.Options()
        self._path = weights.resolve(options.weights, default=self.name, sha256=options.sha256)
        self._engine = SPEC.load(self._path, engine=options.engine, threads=options.threads)
        self._crop_scale = self._checked_crop_scale(self._engine)

    def _checked_crop_scale(self, engine: Engine) -> float:
        """Return how much larger than the canonical square the network wants its crops.

        Raises:
            WeightsError: If the weights are of another point scheme, or the scale is no number.
        """
        scheme = engine.metadata.get(_SCHEME_KEY, self.scheme)
        if scheme != self.scheme:
            raise WeightsError(self._path, f"weights of the scheme {scheme!r}, not {self.scheme!r}")
        text = engine.metadata.get(_CROP_SCALE_KEY, "1")
        try:
            return float(text)
        except ValueError as error:
            reason = f"metadata {_CROP_SCALE_KEY} is not a number: {text!r}"
            raise WeightsError(self._path, reason) from error

    def locate(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Landmarks]:
        """Place the points of each face; see :class:`facekit.protocols.Landmarker`."""
        squares: list[FloatArray] = []
        crops: list[RgbImage] = []
        for image, found in read_pairs(images, detections):
            wanted = square(found.canonical_squares(), self._crop_scale).astype(np.float32)
            squares.append(wanted)
            crops += _crops(image, wanted)
        answers = self._forward(crops)
        located: list[Landmarks] = []
        start = 0
        for wanted, found in zip(squares, detections, strict=True):
            end = start + len(wanted)
            located.append(self._to_landmarks(answers[start:end], wanted, found.image_size))
            start = end
        return located

    def _forward(self, crops: Sequence[RgbImage]) -> FloatArray:
        """Run the network on ``(224, 224)`` grey crops, a batch at a time.

        Returns:
            ``(n, 136)`` x, y, x, y, ... as fractions of the crop's side, minus 0.5.

        Raises:
            WeightsError: If the network answers with another number of points.
            BackendError: If the engine fails.
        """
        width, step = 2 * self.point_count, self._options.batch_size
        answers = [np.zeros((0, width), dtype=np.float32)]
        for start in range(0, len(crops), step):
            (answer,) = self._engine(_prepare(crops[start : start + step]))
            if answer.shape[1:] != (width,):
                reason = f"weights of another network: expected {width} numbers, got {answer.shape}"
                raise WeightsError(self._path, reason)
            answers.append(answer)
        return np.concatenate(answers)

    def _to_landmarks(
        self, answers: FloatArray, squares: FloatArray, image_size: tuple[int, int]
    ) -> Landmarks:
        """Bring fractions of the crops to pixels of the image.

        Args:
            answers: ``(n, 136)``.
            squares: ``(n, 4)`` xyxy, the crops' places in the image, pixels.
            image_size: Height and width, pixels.
        """
        fractions = answers.reshape(len(squares), self.point_count, 2) + np.float32(0.5)
        corners, sides = squares[:, None, :2], (squares[:, 2:] - squares[:, :2])[:, None]
        return Landmarks(
            points=corners + fractions * sides, scheme=self.scheme, image_size=image_size
        )


def _crops(image: RgbImage, squares: FloatArray) -> list[RgbImage]:
    """Cut grey ``(224, 224)`` crops, the border replicated as in training."""
    if not len(squares):
        return []
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return [crop(grey, box, (SIZE, SIZE), border="replicate") for box in squares]


def _prepare(crops: Sequence[RgbImage]) -> FloatArray:
    """Scale grey crops to -1..1.

    Returns:
        ``(N, 1, 224, 224)`` float32.
    """
    batch: FloatArray = np.stack(crops)[:, None].astype(np.float32)
    batch /= np.float32(127.5)
    batch -= np.float32(1)
    return batch
