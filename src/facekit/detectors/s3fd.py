"""S3FD: faces at every scale, from a VGG16 with six detection maps.

It reads the checkpoints of clcarwin/SFD_pytorch (``s3fd_convert.pth``), face-alignment
(``s3fd-619a316812.pth``) and yxlijun/S3FD.pytorch (``sfd_face.pth``, which sees RGB), and follows
clcarwin's ``detect`` and ``nms``: native size, softmax, suppression at 0.3 with pixels counted
inclusively, and neither clipping nor rounding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from facekit import weights
from facekit.batches import read_chunks
from facekit.boxes import BoxTransform
from facekit.detectors._s3fd_maps import MIN_SIDE, Candidates, Layout, decode, map_shapes
from facekit.detectors._s3fd_tiles import run_tiled
from facekit.detectors._s3fd_views import (
    VOTE_SCORE,
    WIDER_DETECTIONS,
    Pixels,
    Protocol,
    View,
    join,
    suppress,
    suppress_view,
    views,
    vote,
)
from facekit.engines import FloatArray
from facekit.engines.spec import NetworkSpec
from facekit.errors import BackendError, WeightsError
from facekit.images import ImageLike, RgbImage
from facekit.protocols import DetectorOptions, ModelOptions, Precision
from facekit.types import Detections

__all__ = ["S3FD", "SPEC"]

SPEC: Final = NetworkSpec(
    network="facekit.networks.s3fd:S3FD",
    inputs=("image",),
    outputs=("logits", "deltas"),
    input_shape=(3, 480, 640),
    free_axes=(1, 2),
    input_scale=128,
)
"""Pixels minus their mean, of any size, to logits ``(N, cells, 2)`` and deltas ``(N, cells, 4)``.

640 x 480 is what a summary is told for and what an export is tried on.
"""

SMALLEST_FACE: Final = 16
"""The finest map's anchor, pixels."""

_MEAN_BGR: Final = np.array([104, 117, 123], dtype=np.float32)
_LAYOUTS: Final[tuple[Layout, ...]] = ("s3fd", "dilated")


class S3FD:
    """Finds faces from some 10 px to the whole image; slow on a CPU: 195 GFLOP at 640 x 480.

    The image is taken as it is, unless `Options.max_side` or `Options.min_face` scale it; one with
    a side under 32 px is filled up to 32 px with the mean colour at the right and at the bottom.
    Images of one size share a forward pass; no image is ever padded for another's sake, since zeros
    beyond its border are not what the network sees there. Above `Options.max_pixels` an image is
    run in overlapping tiles, which give the very same maps: memory is bounded, and nothing else
    changes.

    Attributes:
        class_names: ``("face",)``.
        evaluation_threshold: 0.02; upstream's own scripts measure from 0.05.
        score_threshold: The score from which faces are returned; by default 0.5, as upstream's
            demonstrations show and face-alignment returns.
        box_transform: From its boxes to the canonical squares that landmarkers crop by: that of
            ``tiny_ssd``, which learnt the same annotations.
    """

    class Options(ModelOptions, DetectorOptions):
        """Options of S3FD.

        Attributes:
            nms_threshold: A face is dropped when its IoU with a better one is above this.
            max_detections: At most this many faces an image, the best; by default all, and 750 in
                the protocols for WIDER FACE.
            max_side: Shrink images whose longer side is above this, pixels.
            min_face: Scale images so that a face of this many pixels becomes as large as the
                finest anchor, 16 px: 32 halves them, which is four times as fast; 8 doubles them.
            protocol: ``single`` looks once. ``wider_nms`` also looks at the mirror image, at twice
                the size for small faces and at half of it for large ones, as clcarwin's test
                script does; ``wider_vote`` does as the authors' own, with as many enlargements as
                fit 3.7 megapixels and bounding-box voting.
            precision: ``bf16`` halves the time where the processor has it (engines ``openvino``
                and ``torch``), and moves boxes by about a pixel.
            fast: With the engine ``torch``, in float32: nearly twice the speed for more memory,
                which the process keeps. Layers of many channels are computed by Winograd's
                algorithm, and boxes move by less than 0.01 px.
            batch_size: Images of one forward pass, at most; they must be of one size.
            max_pixels: Pixels of one forward pass, at most; each takes 0.5 to 0.7 kB.
        """

        nms_threshold: float = Field(default=0.3, ge=0, le=1)
        max_detections: int | None = Field(default=None, ge=1)
        max_side: int | None = Field(default=None, ge=MIN_SIDE)
        min_face: float | None = Field(default=None, ge=1)
        protocol: Protocol = "single"
        precision: Precision = "f32"
        fast: bool = False
        batch_size: int = Field(default=8, ge=1)
        max_pixels: int = Field(default=4_194_304, ge=2_097_152)

        @model_validator(mode="after")
        def _one_scale(self) -> Self:
            if self.protocol != "single" and (self.max_side or self.min_face):
                message = f"protocol {self.protocol!r} has its own scales: no max_side, no min_face"
                raise ValueError(message)
            return self

    name: ClassVar[str] = "s3fd"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.02
    box_transform = BoxTransform(dx=0.004, dy=0.13, sw=1.107, sh=0.831)

    def __init__(self, options: Options | None = None) -> None:
        """Load the weights.

        Args:
            options: By default face-alignment's weights, downloaded once, at a score of 0.5.

        Raises:
            WeightsError: If the weights are missing, damaged or of another network.
            MissingDependencyError: If the engine's package is not installed.
        """
        self._options = options = options or self.Options()
        self.score_threshold = 0.5 if options.score_threshold is None else options.score_threshold
        self.box_transform = options.box_transform or type(self).box_transform
        self._path = weights.resolve(options.weights, default=self.name, sha256=options.sha256)
        self._engine = SPEC.load(
            self._path,
            engine=options.engine,
            threads=options.threads,
            precision=options.precision,
            fast=options.fast,
        )
        layout = self._engine.metadata.get("facekit.layout", "s3fd")
        if layout not in _LAYOUTS:
            known = " or ".join(_LAYOUTS)
            raise WeightsError(self._path, f"facekit.layout is {layout!r}, expected {known}")
        self._layout: Layout = "dilated" if layout == "dilated" else "s3fd"

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        found: list[Detections] = []
        for chunk in read_chunks(images, self._options.batch_size):
            sizes = [(image.shape[0], image.shape[1]) for image in chunk]
            looks = [_Look(i, view) for i, size in enumerate(sizes) for view in self._views(size)]
            answers = self._look(chunk, looks)
            found += [
                self._to_detections([answers[look] for look in looks if look.image == i], size)
                for i, size in enumerate(sizes)
            ]
        return found

    def _views(self, image_size: tuple[int, int]) -> list[View]:
        """Return the looks to take at an image."""
        options = self._options
        scale = 1.0 if options.min_face is None else SMALLEST_FACE / options.min_face
        if options.max_side is not None:
            scale = min(scale, options.max_side / max(image_size))
        return views(options.protocol, image_size) if scale == 1 else [View(scale, kind="area")]

    def _look(self, images: Sequence[RgbImage], looks: Sequence[_Look]) -> dict[_Look, Candidates]:
        """Take looks at images, those of one size together.

        Args:
            images: ``(H, W, 3)`` uint8.
            looks: Each with the index of its image.

        Returns:
            What each look found, in pixels of its image.
        """
        found: dict[_Look, Candidates] = {}
        for together in self._batches(images, looks):
            batch = np.stack(
                [self._prepare(look.view.apply(images[look.image])) for look in together]
            )
            logits, deltas = self._forward(batch)
            for i, look in enumerate(together):
                candidates = self._decode(logits[i], deltas[i], batch.shape[2:])
                image_size = images[look.image].shape[:2]
                found[look] = look.view.bring_back(candidates, image_size)
        return found

    def _batches(self, images: Sequence[RgbImage], looks: Sequence[_Look]) -> Iterator[list[_Look]]:
        """Yield the looks of each size, as many at a time as the limits allow."""
        sizes: dict[tuple[int, int], list[_Look]] = defaultdict(list)
        for look in looks:
            height, width = images[look.image].shape[:2]
            height, width = look.view.size((height, width))
            sizes[max(height, MIN_SIDE), max(width, MIN_SIDE)].append(look)
        for (height, width), alike in sizes.items():
            fitting = max(1, self._options.max_pixels // (height * width))
            step = min(fitting, self._options.batch_size)
            for start in range(0, len(alike), step):
                yield alike[start : start + step]

    def _prepare(self, image: Pixels) -> FloatArray:
        """Bring an image to the network's input.

        Args:
            image: ``(H, W, 3)`` RGB in 0..255.

        Returns:
            ``(3, H, W)`` float32, BGR minus its mean (RGB for ``sfd_face.pth``), filled up with
            the mean to `MIN_SIDE` at the right and at the bottom.
        """
        order = slice(None) if self._layout == "dilated" else slice(None, None, -1)
        mean = _MEAN_BGR[::-1] if self._layout == "dilated" else _MEAN_BGR
        height, width = image.shape[:2]
        filled = np.zeros((3, max(height, MIN_SIDE), max(width, MIN_SIDE)), dtype=np.float32)
        planes = image[..., order].transpose(2, 0, 1)
        np.subtract(planes, mean[:, None, None], out=filled[:, :height, :width], dtype=np.float32)
        return filled

    def _forward(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Run the network on ``(N, 3, height, width)``, in tiles where it is too large.

        Returns:
            Logits ``(N, cells, 2)``, background first, and deltas ``(N, cells, 4)``.

        Raises:
            WeightsError: If the network answers for other cells.
            BackendError: If the engine fails, or answers with what is no number.
        """
        limit = self._options.max_pixels
        if batch.shape[2] * batch.shape[3] > limit:
            return run_tiled(self._run, batch, limit, self._layout)
        return self._run(batch)

    def _run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Run the network once; see `_forward`."""
        logits, deltas = self._engine(batch)
        shapes = map_shapes(batch.shape[2], batch.shape[3], self._layout)
        cells = (len(batch), sum(rows * columns for rows, columns in shapes))
        if logits.shape != (*cells, 2) or deltas.shape != (*cells, 4):
            reason = (
                f"weights of another network: expected logits {(*cells, 2)} and deltas "
                f"{(*cells, 4)}, got {logits.shape} and {deltas.shape}"
            )
            raise WeightsError(self._path, reason)
        if not (np.isfinite(logits).all() and np.isfinite(deltas).all()):
            raise BackendError(f"{self._path}: the network's answer is not finite")
        return logits, deltas

    def _decode(self, logits: FloatArray, deltas: FloatArray, size: tuple[int, int]) -> Candidates:
        """Turn one look's answer into boxes, pixels of the network's input."""
        voting = self._options.protocol == "wider_vote"
        threshold = VOTE_SCORE if voting else self.score_threshold
        found = decode(logits, deltas, map_shapes(*size, self._layout), threshold)
        return suppress_view(found, self._options.nms_threshold) if voting else found

    def _to_detections(
        self, found: Sequence[Candidates], image_size: tuple[int, int]
    ) -> Detections:
        """Put together what all looks at one image found.

        Args:
            found: What each look found, pixels of the image.
            image_size: Height and width of the image, pixels.
        """
        limit = self._options.max_detections
        if limit is None and self._options.protocol != "single":
            limit = WIDER_DETECTIONS
        if self._options.protocol == "wider_vote":
            faces = vote(join(found), limit)
        else:
            faces = suppress(join(found), self._options.nms_threshold, limit)
        detections = Detections(
            boxes=faces.boxes,
            scores=faces.scores,
            image_size=image_size,
            box_transform=self.box_transform,
        )
        return detections.above(self.score_threshold)


class _Look(NamedTuple):
    """One view of one image of a batch."""

    image: int
    view: View
