"""A detector that looks at a photo and at its mirror image, and believes what it sees in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

import facekit
from facekit.boxes import BoxTransform, iou
from facekit.images import ImageLike, read_all
from facekit.protocols import DetectorOptions
from facekit.types import Detections


class Twice:
    """Faces of the default detector that it also finds when the photo is mirrored."""

    class Options(DetectorOptions):
        """Options.

        Attributes:
            agreement: The IoU from which two sightings are of one face.
        """

        agreement: float = Field(default=0.4, gt=0, le=1)

    name: ClassVar[str] = "twice"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.02

    def __init__(self, options: Options) -> None:
        """Build the detector that looks."""
        self._agreement = options.agreement
        self._detector = facekit.create_detector(
            score_threshold=self.evaluation_threshold, box_transform=options.box_transform
        )
        default = facekit.create_detector().score_threshold
        self.score_threshold = (
            default if options.score_threshold is None else options.score_threshold
        )
        self.box_transform: BoxTransform = self._detector.box_transform

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image."""
        photos = read_all(images)
        straight = self._detector.detect(photos)
        mirrored = self._detector.detect([np.ascontiguousarray(photo[:, ::-1]) for photo in photos])
        return [self._agreed(*sightings) for sightings in zip(straight, mirrored, strict=True)]

    def _agreed(self, straight: Detections, mirrored: Detections) -> Detections:
        """Keep what both saw, with the lower of the two scores."""
        width = straight.image_size[1]
        left, top, right, bottom = mirrored.boxes.T
        back = np.stack([width - right, top, width - left, bottom], axis=1)
        seen = iou(straight.boxes, back) >= self._agreement
        second = (seen * mirrored.scores).max(axis=1, initial=0)
        both = straight.replace(scores=np.minimum(straight.scores, second))
        order = np.argsort(-both.scores, kind="stable")
        return both[order][(second > 0)[order]].above(self.score_threshold)
