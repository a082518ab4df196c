"""The MobileNetV2 tiny SSD of OpenVINO's training extensions; the default detector.

Anchors, decoding and suppression are those of MMDetection 1.x (openvinotoolkit/mmdetection,
commit 9702c797: ``AnchorGenerator``, ``delta2bbox``, ``AnchorHead.get_bboxes_single``,
``multiclass_nms``), in the same order and in float32. MMDetection 1.x counts pixels inclusively;
that arithmetic stays inside this module.

The network is fully convolutional. Upstream stretches every photo to 300 x 300; `input_size` and
`resize` choose other inputs, for which the same anchors are laid over a map of another size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from facekit import weights
from facekit.batches import read_chunks
from facekit.boxes import BoxTransform, nms
from facekit.engines import FloatArray
from facekit.engines.spec import NetworkSpec
from facekit.errors import WeightsError
from facekit.images import ImageLike, RgbImage
from facekit.protocols import DetectorOptions, ModelOptions
from facekit.types import Detections

__all__ = ["SPEC", "STRIDE", "TinySSD", "anchors", "input_size", "prepare", "to_detections"]

SIZE: Final = 300
"""Side of upstream's input, pixels."""

STRIDE: Final = 16
"""Pixels of the input a cell of the network's map."""

SPEC: Final = NetworkSpec(
    network="facekit.networks.tiny_ssd:TinySSD",
    inputs=("image",),
    outputs=("logits", "deltas"),
    input_shape=(3, SIZE, SIZE),
    free_axes=(1, 2),
    suppression="facekit.detectors._tiny_ssd_graph",
)
"""RGB in 0..1 to logits ``(N, A, 2)``, background first, and deltas ``(N, A, 4)``.

The anchors' number ``A`` is 3,249 for 300 x 300.
"""

Side = Annotated[int, Field(ge=STRIDE)]
Size = tuple[int, int]
_BOXES: Final = ("boxes", "scores", "images")
"""What a file answers that was exported with suppression inside."""
Resize = Literal["stretch", "keep_aspect"]

_WIDTHS: Final = (9.4, 25.1, 14.7, 34.7, 143.0, 77.4, 128.8, 51.1, 75.6)
_HEIGHTS: Final = (15.0, 39.6, 25.5, 63.2, 227.5, 162.9, 124.5, 105.1, 72.6)
STANDARD_DEVIATIONS: Final = np.array([0.1, 0.1, 0.2, 0.2], dtype=np.float32)
LARGEST_LOG_RATIO: Final = np.float32(abs(np.log(16 / 1000)))
# exp of it is far from overflow and turns a score to 0 all the same.
_MAX_MARGIN: Final = np.float32(80)


@functools.lru_cache(maxsize=32)
def anchors(height: int = SIZE, width: int = SIZE) -> FloatArray:
    """Return the anchors in the network's order: row, column, shape.

    Args:
        height: Of the network's input, pixels.
        width: Of the network's input, pixels.

    Returns:
        ``(A, 4)`` float32 x1 y1 x2 y2, read-only, pixels of the input, counted inclusively;
        ``A = ceil(height / 16) * ceil(width / 16) * 9``.
    """
    extents = np.array([_WIDTHS, _HEIGHTS], dtype=np.float32).T - 1
    centre = (STRIDE - 1) / 2
    base = np.concatenate([centre - extents / 2, centre + extents / 2], axis=1).round()
    down, across = (
        np.arange(-(-side // STRIDE), dtype=np.float32) * STRIDE for side in (height, width)
    )
    y, x = np.meshgrid(down, across, indexing="ij")
    moved: FloatArray = np.stack([x, y, x, y], axis=-1)[..., None, :] + base.astype(np.float32)
    flat = moved.reshape(-1, 4)
    flat.flags.writeable = False
    return flat


class TinySSD:
    """Finds faces of at least about 30 px in a 640 x 480 photo, in milliseconds on a CPU.

    By default the whole photo is stretched to 300 x 300, so faces that are small in it are missed:
    faces under about 16 px of the input are beyond the anchors. A larger `input_size` finds smaller
    faces, at a cost that grows with its area. Boxes are clipped as MMDetection clips them: to the
    input, before they are brought to the photo's size.

    Attributes:
        class_names: ``("face",)``.
        evaluation_threshold: MMDetection's own score threshold, 0.02.
        score_threshold: The score above which faces are returned.
        box_transform: From its boxes to the canonical squares that landmarkers crop by.
    """

    class Options(ModelOptions, DetectorOptions):
        """Options of the tiny SSD.

        Attributes:
            input_size: What the network sees: height and width, pixels, or the side of a square.
            resize: ``"stretch"`` gives every photo just that size; ``"keep_aspect"`` the largest
                that fits into it in the photo's own proportions, in multiples of 16 px.
            nms_threshold: A face is dropped when its IoU with a better one is above this.
            max_detections: At most this many faces an image, the best.
            batch_size: Images of one forward pass.
        """

        input_size: Side | tuple[Side, Side] = SIZE
        resize: Resize = "stretch"
        nms_threshold: float = Field(default=0.45, ge=0, le=1)
        max_detections: int = Field(default=200, ge=1)
        batch_size: int = Field(default=16, ge=1)

    name: ClassVar[str] = "tiny_ssd"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.02
    # facekit calibrate tiny_ssd, on 1,889 annotated faces; with OpenVINO's
    # published weights it comes to nearly the same.
    box_transform = BoxTransform(dx=0.004, dy=0.13, sw=1.107, sh=0.831)

    def __init__(self, options: Options | None = None) -> None:
        """Load the weights.

        Args:
            options: By default the bundled weights at a score of 0.5.

        Raises:
            WeightsError: If the weights are missing, damaged or of another network.
            MissingDependencyError: If the engine's package is not installed.
        """
        self._options = options = options or self.Options()
        self.score_threshold = 0.5 if options.score_threshold is None else options.score_threshold
        self.box_transform = options.box_transform or type(self).box_transform
        self._path = weights.resolve(options.weights, default=self.name, sha256=options.sha256)
        try:
            self._load(SPEC, has_boxes=False)
        except WeightsError:
            # What is wrong is told of the network, which nearly all files are.
            with contextlib.suppress(WeightsError):
                self._load(dataclasses.replace(SPEC, outputs=_BOXES), has_boxes=True)
                return
            raise

    def _load(self, spec: NetworkSpec, *, has_boxes: bool) -> None:
        """Load the weights as a network of these outputs; see :meth:`NetworkSpec.load`."""
        options = self._options
        self._engine = spec.load(self._path, engine=options.engine, threads=options.threads)
        self._has_boxes = has_boxes

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        found: list[Detections] = []
        for chunk in read_chunks(images, self._options.batch_size):
            found += self._detect_chunk(chunk)
        return found

    def _detect_chunk(self, chunk: Sequence[RgbImage]) -> list[Detections]:
        """Run images whose inputs have one size together, and answer in the images' order."""
        wanted = self._options.input_size
        limits = (wanted, wanted) if isinstance(wanted, int) else wanted
        sizes = [input_size(image.shape[:2], limits, self._options.resize) for image in chunk]
        found: dict[int, Detections] = {}
        for size in dict.fromkeys(sizes):
            rows = [row for row, own in enumerate(sizes) if own == size]
            batch = prepare([chunk[row] for row in rows], size)
            photos = [(int(chunk[row].shape[0]), int(chunk[row].shape[1])) for row in rows]
            answer = self._suppressed if self._has_boxes else self._raw
            found |= zip(rows, answer(batch, photos), strict=True)
        return [found[row] for row in range(len(chunk))]

    def _raw(self, batch: FloatArray, photos: Sequence[Size]) -> Iterator[Detections]:
        """Answer for photos of a batch by the network's logits and deltas."""
        logits, deltas = self._forward(batch)
        size = (batch.shape[2], batch.shape[3])
        for image, photo in enumerate(photos):
            yield self._to_detections(logits[image], deltas[image], photo, size)

    def _suppressed(self, batch: FloatArray, photos: Sequence[Size]) -> Iterator[Detections]:
        """Answer for photos of a batch by a file that has suppressed already."""
        boxes, scores, images = self._engine(batch)
        for image, (height, width) in enumerate(photos):
            own = (images == image) & (scores > np.float32(self.score_threshold))
            scale = np.array([width / batch.shape[3], height / batch.shape[2]] * 2, np.float32)
            # Inclusive pixels are scaled, as where suppression is not inside.
            end = np.array([0, 0, 1, 1], dtype=np.float32)
            inclusive = (boxes[own] - end) * scale
            kept = nms(inclusive, scores[own], self._options.nms_threshold, inclusive=True)
            kept = kept[: self._options.max_detections]
            yield Detections(
                boxes=inclusive[kept] + end,
                scores=scores[own][kept],
                image_size=(height, width),
                box_transform=self.box_transform,
            )

    def _forward(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Run the network on ``(N, 3, height, width)``.

        Returns:
            Logits ``(N, A, 2)``, background first, and deltas ``(N, A, 4)``.

        Raises:
            WeightsError: If the network answers for other anchors.
            BackendError: If the engine fails, as it does where the weights' file is of one input
                size only and this is another.
        """
        logits, deltas = self._engine(batch)
        rows = (len(batch), len(anchors(*batch.shape[2:])))
        if logits.shape != (*rows, 2) or deltas.shape != (*rows, 4):
            reason = (
                f"weights of another network: expected logits {(*rows, 2)} and deltas "
                f"{(*rows, 4)}, got {logits.shape} and {deltas.shape}"
            )
            raise WeightsError(self._path, reason)
        return logits, deltas

    def _to_detections(
        self,
        logits: FloatArray,
        deltas: FloatArray,
        image_size: Size,
        input_size: Size = (SIZE, SIZE),
    ) -> Detections:
        """Turn the network's answer for one image into faces of that image's pixels.

        Args:
            logits: ``(A, 2)``, background first.
            deltas: ``(A, 4)`` dx, dy, dw, dh.
            image_size: Height and width of the photo, pixels.
            input_size: Height and width of the network's input, pixels.
        """
        return to_detections(
            logits,
            deltas,
            image_size,
            input_size,
            score_threshold=self.score_threshold,
            nms_threshold=self._options.nms_threshold,
            max_detections=self._options.max_detections,
            box_transform=self.box_transform,
        )


def to_detections(
    logits: FloatArray,
    deltas: FloatArray,
    image_size: Size,
    input_size: Size = (SIZE, SIZE),
    *,
    score_threshold: float = TinySSD.evaluation_threshold,
    nms_threshold: float = 0.45,
    max_detections: int = 200,
    box_transform: BoxTransform = TinySSD.box_transform,
) -> Detections:
    """Turn the network's answer for one image into faces of that image's pixels.

    Args:
        logits: ``(A, 2)``, background first.
        deltas: ``(A, 4)`` dx, dy, dw, dh.
        image_size: Height and width of the photo, pixels.
        input_size: Height and width of the network's input, pixels.
        score_threshold: Faces must score above this.
        nms_threshold: A face is dropped when its IoU with a better one is above this.
        max_detections: At most this many faces, the best.
        box_transform: From the boxes to the canonical squares that landmarkers crop by.
    """
    scores = _face_scores(logits)
    likely = scores > np.float32(score_threshold)
    scores, height, width = scores[likely], *image_size
    inclusive = _decode(deltas[likely], anchors(*input_size)[likely], input_size)
    scale = [input_size[1] / width, input_size[0] / height]
    inclusive /= np.array(scale * 2, dtype=np.float32)
    kept = nms(inclusive, scores, nms_threshold, inclusive=True)[:max_detections]
    # The last pixel counted inclusively ends one further on in continuous coordinates.
    return Detections(
        boxes=inclusive[kept] + np.array([0, 0, 1, 1], dtype=np.float32),
        scores=scores[kept],
        image_size=image_size,
        box_transform=box_transform,
    )


def input_size(image_size: Size, limits: Size, resize: Resize) -> Size:
    """Return the height and width that an image is stretched to.

    Args:
        image_size: Height and width of the image, pixels.
        limits: As of :class:`TinySSD.Options`.
        resize: As of :class:`TinySSD.Options`.
    """
    if resize == "stretch":
        return limits
    factor = min(limits[0] / image_size[0], limits[1] / image_size[1])
    return _whole_cells(image_size[0] * factor), _whole_cells(image_size[1] * factor)


def _whole_cells(side: float) -> int:
    """Return the multiple of the stride that is nearest to a side of the input, at least one."""
    return max(round(side / STRIDE), 1) * STRIDE


def prepare(images: Sequence[RgbImage], size: Size = (SIZE, SIZE)) -> FloatArray:
    """Stretch images to the network's input.

    MMDetection's test pipeline: ``mmcv.imresize``, which is ``cv2.resize`` on uint8, bilinear and
    without smoothing, then RGB / 255.

    Returns:
        ``(N, 3, *size)`` float32 in [0, 1].
    """
    height, width = size
    stretched = [
        cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in images
    ]
    planes = np.stack(stretched).transpose(0, 3, 1, 2)
    batch: FloatArray = np.divide(planes, np.float32(255), dtype=np.float32, order="C")
    return batch


def _face_scores(logits: FloatArray) -> FloatArray:
    """Return the faces' softmax ``(n,)``, which for two classes is a logistic of their margin."""
    margin = np.minimum(logits[:, 0] - logits[:, 1], _MAX_MARGIN)
    scores: FloatArray = np.float32(1) / (np.float32(1) + np.exp(margin))
    return scores


def _decode(
    deltas: FloatArray, priors: FloatArray, size: Size = (SIZE, SIZE)
) -> npt.NDArray[np.float32]:
    """Apply deltas to anchors: MMDetection 1.x's ``delta2bbox``.

    Args:
        deltas: ``(n, 4)`` in units of the anchor over the deviations .1 .1 .2 .2.
        priors: ``(n, 4)`` anchors, pixels counted inclusively.
        size: Height and width of the network's input, pixels.

    Returns:
        ``(n, 4)`` x1 y1 x2 y2, pixels of the input counted inclusively, within the input: 0 and
        299 for 300 px.
    """
    scaled = deltas * STANDARD_DEVIATIONS
    centre = (priors[:, :2] + priors[:, 2:]) * np.float32(0.5)
    extent = priors[:, 2:] - priors[:, :2] + np.float32(1)
    half = (
        extent * np.exp(scaled[:, 2:].clip(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)) * np.float32(0.5)
    )
    middle = centre + extent * scaled[:, :2]
    corners = np.concatenate(
        [middle - half + np.float32(0.5), middle + half - np.float32(0.5)], axis=1
    )
    height, width = size
    last = np.array([width - 1, height - 1] * 2, dtype=np.float32)
    clipped: FloatArray = corners.clip(0, last)
    return clipped
