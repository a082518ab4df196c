"""Exports of the TF Object Detection API and of tf-models-official, whatever their age.

TF1 frozen graphs, SavedModels of TF1 and TF2, TFLite models and what ``facekit export`` makes of
them as ONNX: :mod:`facekit.tfgraphs` tells them apart and runs them; here their normalised
``ymin xmin ymax xmax`` become pixels, and the face's class is picked out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from facekit import tfgraphs, weights
from facekit.batches import read_chunks
from facekit.boxes import IDENTITY
from facekit.errors import BackendError, ConfigError
from facekit.images import ImageLike, RgbImage
from facekit.protocols import DetectorOptions
from facekit.tfgraphs import labels, pixels
from facekit.tfgraphs.masks import reframed
from facekit.tfgraphs.signature import Role
from facekit.types import Detections

__all__ = ["TFOD"]

FloatArray = npt.NDArray[np.float32]
PerChannel = float | tuple[float, float, float]
PositiveNumber = Annotated[float, Field(gt=0)]


class TFOD:
    """A graph of TensorFlow, with the decoding and the suppression that it has inside.

    Masks and keypoints are passed on where it has them.

    Attributes:
        class_names: The face's class, as the label map calls it.
        evaluation_threshold: 0: all that the graph's own score threshold lets through.
        score_threshold: The score from which faces are returned.
        box_transform: From its boxes to the canonical squares that landmarkers crop by; the
            identity, because every graph has boxes of its own.
    """

    class Options(DetectorOptions):
        """Options of a graph of TensorFlow.

        Attributes:
            weights: A SavedModel's folder, or the file of a frozen graph, a TFLite or ONNX model.
            sha256: The hash that a file must have; checked before it is read.
            label_map: The ``.pbtxt`` that it was trained with; by default ``label_map.pbtxt``
                beside it. Not needed where the graph has one class and its signature says so.
            face_class: The face's class by its name or number in the label map; by default
                ``face``, or the only one.
            nodes: Tensors by what they mean (``image``, ``boxes``, ``scores``, ``classes``,
                ``count``, ``masks``, ``keypoints``, ``keypoint_scores``), where they are not named
                as the exporters name them.
            signature: Which signature of a SavedModel; by default ``serving_default``.
            normalized: Whether its boxes are parts of the image, 0 to 1, or pixels of what the
                graph resized it to; by default the latter where ``image_info`` comes out, as of
                tf-models-official.
            first_class: The label map's first class as the graph counts it; by default 0 for
                TFLite, else 1.
            channels: The order of colours that it was trained with.
            pixel_mean: The pixel value that becomes 0 where it takes floats or quantised
                integers; by default 127.5 for TFLite and 0 for others. One number, or one a
                channel.
            pixel_std: The value that becomes 1 above it; by default 127.5 and 1.
            half_pixel_centers: How photos are resized for an input of fixed size; see
                :func:`facekit.tfgraphs.pixels.resized`.
            batch_size: Images of one size that run together, where the graph takes any number.
            threads: CPU threads of one call; 0 leaves it to the vendor. TensorFlow has one
                number for all its graphs in a process.
            device: What TensorFlow runs it on, ``cpu``, ``gpu`` or ``gpu:1``; by default a GPU
                where there is one.
            memory_growth: Whether TensorFlow takes a GPU's memory as it needs it.
        """

        weights: Path
        sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
        label_map: Path | None = None
        face_class: str | Annotated[int, Field(ge=1)] | None = None
        nodes: Mapping[Role, str] = Field(default_factory=dict)
        signature: str | None = None
        normalized: bool | None = None
        first_class: int | None = Field(default=None, ge=0)
        channels: Literal["rgb", "bgr"] = "rgb"
        pixel_mean: PerChannel | None = None
        pixel_std: PositiveNumber | tuple[PositiveNumber, PositiveNumber, PositiveNumber] | None = (
            None
        )
        half_pixel_centers: bool = False
        batch_size: int = Field(default=1, ge=1)
        threads: int = Field(default=0, ge=0)
        device: str | None = None
        memory_growth: bool = True

    name: ClassVar[str] = "tfod"
    evaluation_threshold = 0.0
    box_transform = IDENTITY

    def __init__(self, options: Options) -> None:
        """Load the graph.

        Args:
            options: The weights at least.

        Raises:
            WeightsError: If they are missing, damaged, or no detector: then with their signature.
            ConfigError: If the label map is missing where it is needed, or an option names what
                is not there.
            MissingDependencyError: If what runs it is not installed: TensorFlow, or for
                ``.tflite`` LiteRT.
        """
        self._options = options
        self.score_threshold = 0.5 if options.score_threshold is None else options.score_threshold
        self.box_transform = options.box_transform or type(self).box_transform
        path = _located(options)
        self._graph = tfgraphs.load(
            path,
            tfgraphs.Settings(
                nodes=options.nodes,
                signature=options.signature,
                threads=options.threads,
                device=options.device,
                memory_growth=options.memory_growth,
            ),
        )
        number, label = labels.face_of(
            options.label_map, options.face_class, path, self._graph.class_count
        )
        first = self._graph.first_class if options.first_class is None else options.first_class
        self._face = number - 1 + first
        self.class_names: tuple[str, ...] = (label,)
        mean, std = self._graph.pixel_range
        self._mean = _values(mean if options.pixel_mean is None else options.pixel_mean)
        self._std = _values(std if options.pixel_std is None else options.pixel_std)

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        found: list[Detections] = []
        for chunk in read_chunks(images, self._batch_size):
            for group in self._groups(chunk):
                answer = self._forward(self._prepare(group))
                found += [
                    self._to_detections({role: rows[i] for role, rows in answer.items()}, size)
                    for i, size in enumerate(image.shape[:2] for image in group)
                ]
        return found

    @property
    def _batch_size(self) -> int:
        """How many images the graph takes at once, at most."""
        shape = self._graph.image.shape
        return (shape[0] if shape else None) or self._options.batch_size

    def _groups(self, chunk: Sequence[RgbImage]) -> Iterator[list[RgbImage]]:
        """Split images into those that can run together: neighbours of one size."""
        for _, group in itertools.groupby(chunk, key=lambda image: image.shape):
            yield list(group)

    def _prepare(self, images: Sequence[RgbImage]) -> npt.NDArray[np.generic]:
        """Return images as the graph's input wants them, as many as it wants."""
        shape = self._graph.image.shape
        missing = ((shape[0] if shape else None) or len(images)) - len(images)
        step = 1 if self._options.channels == "rgb" else -1
        return pixels.prepare(
            [image[..., ::step] for image in (*images, *[images[-1]] * missing)],
            self._graph.image,
            offset=self._mean,
            scale=self._std,
            half_pixel_centers=self._options.half_pixel_centers,
        )

    def _forward(self, batch: npt.NDArray[np.generic]) -> dict[Role, FloatArray]:
        """Run the graph; see :class:`facekit.tfgraphs.signature.Graph`."""
        return self._graph(batch)

    def _to_detections(
        self, answer: Mapping[Role, FloatArray], image_size: tuple[int, int]
    ) -> Detections:
        """Pick the faces of what the graph says of one image, in its pixels.

        Args:
            answer: ``boxes`` ``(n, 4)`` ymin xmin ymax xmax, ``scores`` ``(n,)``, and where the
                graph gives them ``classes`` ``(n,)``, ``count``, ``info`` ``(4, 2)``, ``masks``
                ``(n, h, w)``, ``keypoints`` ``(n, k, 2)`` y x and ``keypoint_scores`` ``(n, k)``.
            image_size: Height and width of the photo, pixels.

        Raises:
            BackendError: If they are of other shapes, or are no boxes and scores.
        """
        boxes, scores = answer["boxes"], answer["scores"]
        if boxes.shape != (*scores.shape, 4) or scores.ndim != 1:
            message = f"boxes of shape {boxes.shape} and scores of shape {scores.shape}"
            raise BackendError(f"detector 'tfod': {message}, expected (n, 4) and (n,)")
        count = int(answer["count"].reshape(-1)[0]) if "count" in answer else len(scores)
        rows = np.arange(min(count, len(scores)))
        rows = rows[scores[rows] >= np.float32(self.score_threshold)]
        if "classes" in answer:
            rows = rows[np.rint(answer["classes"][rows]) == self._face]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        info = answer.get("info")
        corners = self._pixels(boxes[rows].reshape(-1, 2, 2), info, image_size).reshape(-1, 4)
        keypoints = masks = None
        if "keypoints" in answer:
            points = self._pixels(answer["keypoints"][rows], info, image_size)
            sure = answer.get("keypoint_scores", np.ones(answer["keypoints"].shape[:2], np.float32))
            keypoints = np.concatenate([points, sure[rows][..., None]], axis=2)
        if "masks" in answer:
            masks = reframed(answer["masks"][rows], corners, image_size)
        return Detections(
            boxes=corners,
            scores=scores[rows],
            image_size=image_size,
            keypoints=keypoints,
            masks=masks,
            box_transform=self.box_transform,
        )

    def _pixels(
        self, corners: FloatArray, info: FloatArray | None, image_size: tuple[int, int]
    ) -> FloatArray:
        """Bring places to the photo's pixels.

        Args:
            corners: ``(n, k, 2)`` y x.
            info: How tf-models-official resized the photo, rows of y and x: its size, the size it
                was to get, the scale, the offset.
            image_size: Height and width of the photo, pixels.

        Returns:
            ``(n, k, 2)`` x y.
        """
        size = _values(image_size)
        normalized = self._options.normalized
        if normalized is None and info is not None and corners.size and corners.max() <= 1:
            message = (
                "its boxes are parts of the image, not pixels: set the option normalized: true"
            )
            raise BackendError(f"detector 'tfod': {message}")
        if info is None if normalized is None else normalized:
            corners = corners * size
        elif info is not None:
            corners = (corners + info[3]) / info[2] * (size / info[0])
        else:
            sides = (self._graph.image.shape or (None,) * 4)[1:3]
            seen = [own or side for own, side in zip(sides, image_size, strict=True)]
            corners = corners * (size / _values(seen))
        return corners[:, :, ::-1]


def _values(numbers: float | Sequence[float]) -> FloatArray:
    """Return one number or several as float32."""
    return np.asarray(numbers, dtype=np.float32)


def _located(options: TFOD.Options) -> Path:
    """Return the weights' place, a file checked by its hash.

    Raises:
        WeightsError: If a file is missing or has another hash.
        ConfigError: If a folder shall have a hash.
    """
    if not options.weights.is_dir():
        return weights.resolve(options.weights, default=TFOD.name, sha256=options.sha256)
    if options.sha256 is not None:
        message = f"sha256 is of a file, {options.weights} is a folder: check its files yourself"
        raise ConfigError(f"detector 'tfod': {message}")
    return options.weights
