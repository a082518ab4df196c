"""The default landmarker with one fault planted at a time, each under the whole contract.

Not collected with the other tests: test_planted_faults.py runs it and looks at what fails.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from facekit import registry
from facekit.boxes import IDENTITY
from facekit.images import ImageLike, RgbImage, read_all
from facekit.landmarkers.resnet18 import ResNet18
from facekit.protocols import Landmarker
from facekit.testing import LandmarkerContract
from facekit.types import Detections, Landmarks

GOLDEN = Path(__file__).parents[1] / "golden" / "landmarker_resnet18.json"


class Recalled:
    """The real landmarker, which answers about each face once: the mutants all ask the same."""

    def __init__(self, landmarker: Landmarker) -> None:
        self.landmarker = landmarker
        self.answers: dict[tuple[Any, ...], Landmarks] = {}

    def locate(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Landmarks]:
        if len(images) != len(detections):
            return self.landmarker.locate(images, detections)
        return [self._one(*pair) for pair in zip(read_all(images), detections, strict=True)]

    def _one(self, image: RgbImage, found: Detections) -> Landmarks:
        squares = found.canonical_squares()
        key = image.shape, image.tobytes(), squares.tobytes()
        if key not in self.answers:
            self.answers[key] = self.landmarker.locate([image], [found])[0]
        return self.answers[key].replace()


@functools.cache
def real(**options: Any) -> Recalled:
    return Recalled(registry.create_landmarker("resnet18", threads=1, **options))


class Sound:
    """The landmarker as it is; each mutant changes one thing."""

    Options = ResNet18.Options
    name: ClassVar[str] = "resnet18"
    scheme = "ibug68"
    point_count = 68

    def __init__(self, recalled: Recalled) -> None:
        self.real = recalled

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        return list(self.real.locate(images, detections))


class Suite(LandmarkerContract):
    name = "resnet18"
    golden = GOLDEN
    mutant: ClassVar[type[Sound]]
    # It builds by name, which no mutant has: bare_import_mutants.py plants this fault.
    test_missing_packages_name_their_install_command = None  # type: ignore[assignment]

    @classmethod
    def build(cls, **options: Any) -> Any:
        return cls.mutant(real(**options))


class TestSound(Suite):
    mutant = Sound


class EyesSwapped(Sound):
    """Left and right are the person's own."""

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        order = np.arange(68)
        order[36:42], order[42:48] = np.arange(42, 48), np.arange(36, 42)
        return [
            found.replace(points=found.points[:, order])
            for found in super().locate(images, detections)
        ]


class TestEyesSwapped(Suite):
    mutant = EyesSwapped
    # The record of an author who did not look.
    test_golden_record = None  # type: ignore[assignment]


class ChannelsSwapped(Sound):
    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        return super().locate([image[..., ::-1].copy() for image in read_all(images)], detections)


class TestChannelsSwapped(Suite):
    mutant = ChannelsSwapped


class ExifIgnored(Sound):
    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        read_all(images)
        return super().locate([_as_stored(image) for image in images], detections)


def _as_stored(image: ImageLike) -> Any:
    if isinstance(image, np.ndarray | Image.Image):
        return image
    with Image.open(image) as opened:
        return np.array(opened.convert("RGB"))


class TestExifIgnored(Suite):
    mutant = ExifIgnored


class TransformIgnored(Sound):
    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        plain = [found.replace(box_transform=IDENTITY) for found in detections]
        return super().locate(images, plain)


class TestTransformIgnored(Suite):
    mutant = TransformIgnored


class FirstFaceOnly(Sound):
    """Every face gets the first one's points."""

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        results = super().locate(images, detections)
        return [found[[0] * len(found)] if len(found) else found for found in results]


class TestFirstFaceOnly(Suite):
    mutant = FirstFaceOnly
    test_golden_record = None  # type: ignore[assignment]


class BatchDiffers(Sound):
    """In a batch, points are a hundredth of a pixel off."""

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        shift = np.float32(0.01 if len(images) > 1 else 0)
        results = super().locate(images, detections)
        return [found.replace(points=found.points + shift) for found in results]


class TestBatchDiffers(Suite):
    mutant = BatchDiffers


class NoneForNoFace(Sound):
    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        results = super().locate(images, detections)
        return [found if len(found) else None for found in results]


class TestNoneForNoFace(Suite):
    mutant = NoneForNoFace


class NoPointsForNoFace(Sound):
    """No face has points of shape (0, 0, 2)."""

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        return [
            found if len(found) else Landmarks.empty(found.image_size, count=0)
            for found in super().locate(images, detections)
        ]


class TestNoPointsForNoFace(Suite):
    mutant = NoPointsForNoFace


class ShortListsForgiven(Sound):
    """Images without detections are left out."""

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        count = min(len(images), len(detections))
        read_all(images)
        return super().locate(list(images)[:count], list(detections)[:count])


class TestShortListsForgiven(Suite):
    mutant = ShortListsForgiven


class OffTheFace(Sound):
    """The points are those of a face half a width to the right."""

    def locate(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        return [
            found.replace(
                points=found.points + np.ptp(found.points, axis=1, keepdims=True) * [0.6, 0]
            )
            if len(found)
            else found
            for found in super().locate(images, detections)
        ]


class TestOffTheFace(Suite):
    mutant = OffTheFace
    test_golden_record = None  # type: ignore[assignment]
