"""Faster and Mask R-CNN of Detectron2's configurations and checkpoints, without Detectron2.

It follows ``DefaultPredictor`` (commit 02b5c4e): Pillow's bilinear resize of uint8, shortest side
first, padding to multiples of 32, and boxes and masks brought back by ``detector_postprocess``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field

from facekit import weights
from facekit.batches import read_chunks
from facekit.boxes import IDENTITY
from facekit.detectors._mask_rcnn_config import Detectron2Config
from facekit.detectors._mask_rcnn_images import Input, Raw, brought_back
from facekit.detectors._mask_rcnn_runs import GraphRun, Run, open_checkpoint
from facekit.errors import ConfigError
from facekit.images import ImageLike, RgbImage
from facekit.protocols import DetectorOptions
from facekit.types import Detections

__all__ = ["GRAPH", "MaskRCNNDetector"]

GRAPH: Final = "facekit.detectors._mask_rcnn_graph"
"""What writes a checkpoint as one ONNX file; see :mod:`facekit.export.whole`."""

Size = tuple[int, int]


class MaskRCNNDetector:
    """Runs what Detectron2 trained: R50, R101 or X101-32x8d with an FPN, with masks or without.

    The numbers are Detectron2's own. Images whose inputs have one padded size share a forward pass;
    none is padded further for another's sake, which would move its boxes.

    Attributes:
        run: What runs the network: PyTorch a checkpoint, ONNX Runtime an exported file.
        class_names: What `Options.class_names` says; by default ``("face",)`` for a model of one
            class, COCO's for one of 80 whose configuration names COCO as its dataset, else the
            classes' numbers.
        evaluation_threshold: 0.02; Detectron2 measures from ``SCORE_THRESH_TEST``, mostly 0.05.
        score_threshold: The score above which faces are returned: the configuration's
            ``MODEL.ROI_HEADS.SCORE_THRESH_TEST`` unless the options say otherwise.
        box_transform: From its boxes to the canonical squares that landmarkers crop by; they are
            those of the faces that it was trained on, so it is for you to fit.
    """

    class Options(DetectorOptions):
        """Options of Detectron2's R-CNNs.

        Attributes:
            weights: The checkpoint: Detectron2's ``.pth``, the model zoo's ``.pkl``, or
                ``.safetensors``; or what ``facekit export`` made of one, ``.onnx``.
            config: The YAML that it was trained with; ``_BASE_`` files are looked for beside it.
                What facekit trained or exported has its configuration within.
            sha256: The hash that the weights must have; checked before they are read.
            class_names: The names of the model's classes, which its files do not hold.
            face_class: The name or the number, from 0, of the class to keep; by default all.
            min_size: Pixels of the input's shorter side; by default the configuration's.
            max_size: Pixels of the input's longer side at most; by default the configuration's.
            batch_size: Images of one forward pass, at most; they must be of one padded size.
            device: ``cpu``, ``cuda``, ``cuda:1``, as PyTorch names them.
            threads: CPU threads; PyTorch has one number for the whole process. 0 leaves it.
            fast: On a CPU: half as fast again for more memory, which the process keeps. Layers of
                many channels are computed by Winograd's algorithm, and boxes move by less than
                0.01 px.
        """

        weights: Path
        config: Path | None = None
        sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
        class_names: tuple[str, ...] | None = None
        face_class: int | str | None = None
        min_size: int | None = Field(default=None, ge=0)
        max_size: int | None = Field(default=None, ge=1)
        batch_size: int = Field(default=4, ge=1)
        device: str = "cpu"
        threads: int = Field(default=0, ge=0)
        fast: bool = False

    name: ClassVar[str] = "mask_rcnn"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.02
    box_transform = IDENTITY

    def __init__(self, options: Options) -> None:
        """Build the configuration's network and load the weights.

        Args:
            options: See `Options`; there are no bundled weights.

        Raises:
            ConfigError: If the configuration cannot be read, or is of a model that is not
                supported, or names a class that there is not.
            WeightsError: If the weights are missing, damaged or of another network.
            MissingDependencyError: If PyTorch is needed, and not installed.
            BackendError: If the device is not there.
        """
        self._options = options
        path = weights.resolve(options.weights, default=self.name, sha256=options.sha256)
        self.run = _opened(path, options)
        config = self.run.config
        settings = config.settings()
        self._input = _input(config, options)
        self.score_threshold = settings.box.score_threshold
        if options.score_threshold is not None:
            self.score_threshold = options.score_threshold
        self.box_transform = options.box_transform or type(self).box_transform
        self.class_names = _class_names(options, config)
        self._face = _face_class(options, self.class_names)

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image; see :class:`facekit.protocols.Detector`."""
        found: list[Detections] = []
        for chunk in read_chunks(images, self._options.batch_size):
            found += self._detect_chunk(chunk)
        return found

    def _detect_chunk(self, chunk: Sequence[RgbImage]) -> list[Detections]:
        """Run some images, and answer in their order."""
        inputs = [self._input.prepare(image) for image in chunk]
        return [
            self._to_detections(answer, image.shape[:2], (pixels.shape[1], pixels.shape[2]))
            for answer, image, pixels in zip(self.run(inputs), chunk, inputs, strict=True)
        ]

    def _to_detections(self, found: Raw, image_size: Size, input_size: Size) -> Detections:
        """Bring one image's instances to its own pixels: ``detector_postprocess``.

        Args:
            found: Of the network.
            image_size: Height and width of the photo, pixels.
            input_size: Height and width of the network's input, without its padding.
        """
        answer = brought_back(found, image_size, input_size, self._face)
        return Detections(
            boxes=answer.boxes,
            scores=answer.scores,
            image_size=image_size,
            class_ids=None if len(self.class_names) == 1 else answer.classes,
            masks=answer.masks,
            box_transform=self.box_transform,
        )


def _opened(path: Path, options: MaskRCNNDetector.Options) -> Run:
    """Return what runs the weights: their suffix says.

    Raises:
        FacekitError: See `MaskRCNNDetector`.
    """
    threshold, threads = options.score_threshold, options.threads
    if options.fast and options.device != "cpu":
        raise ConfigError(f"fast is for CPUs: leave it out on device {options.device!r}")
    if path.suffix.lower() != ".onnx":
        found: Run = open_checkpoint(
            path,
            options.config,
            score_threshold=threshold,
            device=options.device,
            threads=threads,
            fast=options.fast,
        )
        return found
    if options.config is not None or options.device != "cpu" or options.fast:
        message = "an exported file has its configuration within, and ONNX Runtime's own speed"
        raise ConfigError(f"{path}: {message} on the CPU: no `config`, no `device`, no `fast`")
    return GraphRun(path, score_threshold=threshold, threads=threads)


def _input(config: Detectron2Config, options: MaskRCNNDetector.Options) -> Input:
    """Read the configuration, which options override."""
    own = config.INPUT
    return Input(
        own.MIN_SIZE_TEST if options.min_size is None else options.min_size,
        own.MAX_SIZE_TEST if options.max_size is None else options.max_size,
        own.FORMAT == "BGR",
    )


def _class_names(options: MaskRCNNDetector.Options, config: Detectron2Config) -> tuple[str, ...]:
    """Return the names of the model's classes.

    Raises:
        ConfigError: If there is not one for each.
    """
    classes = config.MODEL.ROI_HEADS.NUM_CLASSES
    if options.class_names is None:
        return config.class_names()
    if len(options.class_names) != classes:
        raise ConfigError(
            f"class_names has {len(options.class_names)} names, but "
            f"{options.config or options.weights}: MODEL.ROI_HEADS.NUM_CLASSES is {classes}"
        )
    return options.class_names


def _face_class(options: MaskRCNNDetector.Options, names: Sequence[str]) -> int | None:
    """Return the number of the class to keep.

    Raises:
        ConfigError: If there is no such class.
    """
    wanted = options.face_class
    if wanted is None:
        return None
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    raise ConfigError(
        f"face_class {wanted!r} is none of the {len(names)} classes: a number from 0, or a name of "
        "class_names"
    )
