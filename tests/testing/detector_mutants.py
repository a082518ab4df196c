"""The default detector with one fault planted at a time, each under the whole contract.

Not collected with the other tests: test_planted_faults.py runs it and looks at what fails.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from facekit import registry
from facekit.boxes import BoxTransform, xyxy_to_xywh
from facekit.detectors.tiny_ssd import TinySSD
from facekit.images import ImageLike, RgbImage, read_all
from facekit.protocols import Detector
from facekit.testing import DetectorContract
from facekit.types import Detections

GOLDEN = Path(__file__).parents[1] / "golden" / "detector_tiny_ssd.json"


class Recalled:
    """The real detector, which answers about each image once: the mutants all ask the same."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.answers: dict[tuple[Any, bytes], Detections] = {}

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        return [self._one(image) for image in read_all(images)]

    def _one(self, image: RgbImage) -> Detections:
        key = image.shape, image.tobytes()
        if key not in self.answers:
            self.answers[key] = self.detector.detect([image])[0]
        return self.answers[key].replace()


@functools.cache
def real(**options: Any) -> Recalled:
    return Recalled(registry.create_detector("tiny_ssd", threads=1, **options))


class Sound:
    """The detector as it is; each mutant changes one thing."""

    Options = TinySSD.Options
    name: ClassVar[str] = "tiny_ssd"

    def __init__(self, recalled: Recalled) -> None:
        self.real = recalled
        detector = recalled.detector
        self.class_names = detector.class_names
        self.evaluation_threshold = detector.evaluation_threshold
        self.score_threshold = detector.score_threshold
        self.box_transform: BoxTransform = detector.box_transform

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [*self.real.detect(images)]


class Suite(DetectorContract):
    name = "tiny_ssd"
    golden = GOLDEN
    mutant: ClassVar[type[Sound]]
    # It builds by name, which no mutant has: bare_import_mutants.py plants this fault.
    test_missing_packages_name_their_install_command = None  # type: ignore[assignment]

    @classmethod
    def build(cls, **options: Any) -> Any:
        return cls.mutant(real(**options))


class TestSound(Suite):
    mutant = Sound


class ChannelsSwapped(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return super().detect([image[..., ::-1] for image in read_all(images)])


class TestChannelsSwapped(Suite):
    mutant = ChannelsSwapped


class ExifIgnored(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        read_all(images)
        return super().detect([_as_stored(image) for image in images])


def _as_stored(image: ImageLike) -> Any:
    if isinstance(image, np.ndarray | Image.Image):
        return image
    with Image.open(image) as opened:
        return np.array(opened.convert("RGB"))


class TestExifIgnored(Suite):
    mutant = ExifIgnored


class WidthAndHeight(Sound):
    """Boxes are x, y, width, height."""

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [found.replace(boxes=xyxy_to_xywh(found.boxes)) for found in super().detect(images)]


class TestWidthAndHeight(Suite):
    mutant = WidthAndHeight


class BatchDiffers(Sound):
    """In a batch, boxes are a hundredth of a pixel off."""

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        shift = np.float32(0.01 if len(images) > 1 else 0)
        return [found.replace(boxes=found.boxes + shift) for found in super().detect(images)]


class TestBatchDiffers(Suite):
    mutant = BatchDiffers


class ScoresUnsorted(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [found[::-1] for found in super().detect(images)]


class TestScoresUnsorted(Suite):
    mutant = ScoresUnsorted


class StateKept(Sound):
    """Boxes are smoothed with those of the call before, as a tracker would."""

    last: Detections | None = None

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        found = super().detect(images)
        if len(found) != 1 or threading.current_thread() is not threading.main_thread():
            return found
        before, self.last = self.last, found[0]
        if before is None or len(before) != len(self.last) or not len(before):
            return found
        if before.image_size != self.last.image_size:
            return found
        return [self.last.replace(boxes=(before.boxes + self.last.boxes) / 2)]


class TestStateKept(Suite):
    mutant = StateKept


class InputChanged(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        found = super().detect(images)
        for image in images:
            if isinstance(image, np.ndarray) and image.flags.writeable:
                image[0, 0] = 0
        return found


class TestInputChanged(Suite):
    mutant = InputChanged


class NoneForNoFace(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [found if len(found) else None for found in super().detect(images)]


class TestNoneForNoFace(Suite):
    mutant = NoneForNoFace


class FlatBoxesForNoFace(Sound):
    """No face has boxes of shape (0,)."""

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        results = super().detect(images)
        for found in results:
            if not len(found):
                object.__setattr__(found, "boxes", np.zeros(0, np.float32))
        return results


class TestFlatBoxesForNoFace(Suite):
    mutant = FlatBoxesForNoFace


class OnePixelFails(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        for image in read_all(images):
            1 // (min(image.shape[:2]) - 1)
        return super().detect(images)


class TestOnePixelFails(Suite):
    mutant = OnePixelFails


class SizeIsWidthFirst(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [
            found.replace(image_size=found.image_size[::-1]) for found in super().detect(images)
        ]


class TestSizeIsWidthFirst(Suite):
    mutant = SizeIsWidthFirst


class TransformForgotten(Sound):
    """The detector has a box transform, its detections do not."""

    def __init__(self, recalled: Recalled) -> None:
        super().__init__(recalled)
        self.box_transform = BoxTransform(0.1, 0.2, 0.9, 0.8)


class TestTransformForgotten(Suite):
    mutant = TransformForgotten


class MarksNothing(Sound):
    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [found[:0] for found in super().detect(images)]


class TestMarksNothing(Suite):
    mutant = MarksNothing


class MarksEverything(Sound):
    """A face wherever one could be: a grid of boxes, sure of each."""

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        return [self._grid(found.image_size) for found in super().detect(images)]

    def _grid(self, size: tuple[int, int]) -> Detections:
        height, width = size
        x, y = np.meshgrid(np.arange(8) * width / 8, np.arange(8) * height / 8)
        corners = np.stack([x, y], axis=-1).reshape(-1, 2)
        boxes = np.concatenate([corners, corners + np.array([width, height]) / 4], axis=1)
        scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
        found = Detections(
            boxes=boxes.astype(np.float32),
            scores=scores,
            image_size=size,
            box_transform=self.box_transform,
        )
        return found.above(self.score_threshold)


class TestMarksEverything(Suite):
    mutant = MarksEverything


class ThresholdIgnored(Sound):
    def __init__(self, recalled: Recalled) -> None:
        super().__init__(recalled)
        self.real = real(
            score_threshold=self.evaluation_threshold, box_transform=self.box_transform
        )


class TestThresholdIgnored(Suite):
    mutant = ThresholdIgnored


class NotThreadSafe(Sound):
    """The images wait on the instance while another call may replace them."""

    def detect(self, images: Sequence[ImageLike]) -> list[Any]:
        self.images = images
        time.sleep(0.02)
        return super().detect(self.images)


class TestNotThreadSafe(Suite):
    mutant = NotThreadSafe
