"""S3FD's trunk with a head that says who, or what, a face is; trained by ``facekit train``.

The weights file says in its metadata what the network cannot: the labels, whether a face may have
several, the size of the crops and how much of a face's surroundings they show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from pydantic import Field

from facekit import weights
from facekit.batches import read_pairs
from facekit.boxes import square
from facekit.engines import FloatArray
from facekit.engines.spec import NetworkSpec
from facekit.errors import WeightsError
from facekit.images import ImageLike, RgbImage, crop
from facekit.protocols import ModelOptions
from facekit.types import Classifications, Detections

__all__ = ["S3FD", "SPEC", "prepare"]

SPEC: Final = NetworkSpec(
    network="facekit.networks.s3fd_classifier:S3FDClassifier",
    inputs=("image",),
    outputs=("logits",),
    input_shape=(3, 256, 256),
)
"""BGR minus the mean colour to one number a label, before softmax or the logistic function."""

MEAN_BGR: Final = np.array([104, 117, 123], dtype=np.float32)
"""What S3FD takes off each channel."""

_LABELS_KEY: Final = "facekit.labels"
_MULTI_LABEL_KEY: Final = "facekit.multi_label"
_SIZE_KEY: Final = "facekit.input_size"
_CROP_SCALE_KEY: Final = "facekit.crop_scale"


class S3FD:
    """Scores labels of faces: identity, gender, a mask, whatever it was trained on.

    There are no weights for everybody: ``facekit train classify`` makes them from labelled photos.

    Attributes:
        labels: The labels, as the weights name them.
        multi_label: Whether a face may have several labels, or none. Otherwise it has exactly
            one, and its scores sum to 1.
    """

    class Options(ModelOptions):
        """Options of the S3FD classifier.

        Attributes:
            batch_size: Faces of one forward pass.
            fast: On a CPU, with the engine ``torch``: nearly twice the speed for more memory, which
                the process keeps. Layers of many channels are computed by Winograd's algorithm, and
                scores move by less than 1e-4.
        """

        batch_size: int = Field(default=16, ge=1)
        fast: bool = False

    name: ClassVar[str] = "s3fd"

    def __init__(self, options: Options | None = None) -> None:
        """Load the weights.

        Args:
            options: ``weights`` must be given.

        Raises:
            WeightsError: If the weights are not given, missing, damaged or of another network.
            MissingDependencyError: If the engine's package is not installed.
        """
        self._options = options = options or self.Options()
        if options.weights is None:
            reason = "needs weights: give those that 'facekit train' made, weights=mine.safetensors"
            raise WeightsError(f"classifier {self.name!r}", reason)
        self._path = weights.resolve(options.weights, default=self.name, sha256=options.sha256)
        self._engine = SPEC.load(
            self._path, engine=options.engine, threads=options.threads, fast=options.fast
        )
        stated = self._engine.metadata
        self.labels: tuple[str, ...] = _labels(self._path, stated)
        self.multi_label = stated.get(_MULTI_LABEL_KEY, "false") == "true"
        self._size = int(_number(self._path, stated, _SIZE_KEY, SPEC.input_shape[-1]))
        self._crop_scale = _number(self._path, stated, _CROP_SCALE_KEY, 1)

    def classify(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Classifications]:
        """Score the labels of each face; see :class:`facekit.protocols.Classifier`."""
        crops: list[RgbImage] = []
        for image, found in read_pairs(images, detections):
            squares = square(found.canonical_squares(), self._crop_scale)
            crops += [crop(image, box, (self._size, self._size)) for box in squares]
        scores = self._scores(self._forward(crops))
        ends = np.cumsum([len(found) for found in detections])
        return [
            self._to_classifications(scores[end - len(found) : end], found.image_size)
            for found, end in zip(detections, ends, strict=True)
        ]

    def _forward(self, crops: Sequence[RgbImage]) -> FloatArray:
        """Run the network on square RGB crops, a batch at a time.

        Returns:
            Logits ``(n, labels)``.

        Raises:
            WeightsError: If the network answers with another number of labels.
            BackendError: If the engine fails.
        """
        width, step = len(self.labels), self._options.batch_size
        answers = [np.zeros((0, width), dtype=np.float32)]
        for start in range(0, len(crops), step):
            (answer,) = self._engine(prepare(crops[start : start + step]))
            if answer.shape[1:] != (width,):
                reason = f"names {width} labels, but its network gives {answer.shape[1:]} numbers"
                raise WeightsError(self._path, reason)
            answers.append(answer)
        return np.concatenate(answers)

    def _scores(self, logits: FloatArray) -> FloatArray:
        """Turn logits ``(n, labels)`` into scores in [0, 1]: softmax, or logistic if several."""
        wide = logits.astype(np.float64)
        if self.multi_label:
            scores = 0.5 * (1 + np.tanh(0.5 * wide))
        else:
            powers = np.exp(wide - wide.max(axis=1, keepdims=True, initial=-np.inf))
            scores = powers / powers.sum(axis=1, keepdims=True)
        return scores.astype(np.float32)

    def _to_classifications(
        self, scores: FloatArray, image_size: tuple[int, int]
    ) -> Classifications:
        """Name the scores ``(n, labels)`` of one image's faces."""
        return Classifications(scores=scores, labels=self.labels, image_size=image_size)


def prepare(crops: Sequence[RgbImage]) -> FloatArray:
    """Turn RGB crops of one size into what S3FD takes.

    Returns:
        ``(N, 3, size, size)`` float32, BGR minus the mean colour.
    """
    pixels = np.stack(crops)[..., ::-1].astype(np.float32) - MEAN_BGR
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _labels(path: Path, stated: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels that a weights file names.

    Raises:
        WeightsError: If it names none.
    """
    try:
        labels = json.loads(stated.get(_LABELS_KEY, ""))
    except ValueError:
        labels = None
    if (
        not isinstance(labels, list)
        or not labels
        or not all(label and isinstance(label, str) for label in labels)
    ):
        reason = (
            f"names no labels in its metadata ({_LABELS_KEY}): it is no classifier's; "
            "'facekit train' with the recipe 'classify' makes one of a detector's weights"
        )
        raise WeightsError(path, reason)
    return tuple(labels)


def _number(path: Path, stated: Mapping[str, str], key: str, otherwise: float) -> float:
    """Return a number of the metadata.

    Raises:
        WeightsError: If it is no positive number.
    """
    text = stated.get(key, str(otherwise))
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise WeightsError(path, f"metadata {key} is not a positive number: {text!r}")
    return number
