"""The contract of classifiers, on the classifier of the plug-in, sound and with faults planted.

The record of the sound one is made where the plug-in is installed::

    python -m facekit.testing record classifier tone -o tests/golden/classifier_tone.json
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import registry
from facekit.images import ImageLike, read_all
from facekit.testing import ClassifierContract
from facekit.types import Classifications, Detections

TESTS = Path(__file__).parents[1]
SOURCE = TESTS / "plugin" / "package" / "src"


@pytest.fixture(autouse=True, scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plug-in's classifier, registered for this file by metadata on the path."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "facekit_twice-1.2.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: facekit-twice\nVersion: 1.2.3\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[facekit.classifiers]\ntone = facekit_twice.classifier:Tone\n"
    )
    before = list(sys.path)
    sys.path[:0] = [str(site), str(SOURCE)]
    importlib.invalidate_caches()
    yield
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith("facekit_twice")]:
        del sys.modules[name]


class TestTone(ClassifierContract):
    name = "tone"
    golden = TESTS / "golden" / "classifier_tone.json"


class Mutant:
    """The classifier with its answers changed on their way out."""

    def __init__(self) -> None:
        self.real = registry.create_classifier("tone")
        self.labels: Any = self.real.labels

    def classify(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        return [self.changed(found) for found in self.real.classify(images, detections)]

    def changed(self, found: Classifications) -> Any:
        return found


class Halved(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found.replace(scores=found.scores / 2)


class Doubled(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found.replace(scores=found.scores * 2)


class OtherLabels(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found.replace(labels=("day", "night"))


class SizeIsWidthFirst(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found.replace(image_size=found.image_size[::-1])


class NoneForNoFace(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found if len(found) else None


class PlainArrays(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found.scores


class FirstFaceOnly(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found[[0] * len(found)] if len(found) else found


class FewerFaces(Mutant):
    def changed(self, found: Classifications) -> Any:
        return found[:1]


class SameLabelTwice(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.labels = ("warm", "warm")


class NoLabels(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.labels = ()


class TransformIgnored(Mutant):
    def classify(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        return super().classify(
            images, [found.replace(box_transform=(0, 0, 1, 1)) for found in detections]
        )


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (Halved, "test_results_have_the_promised_shapes"),
        (Doubled, "test_results_have_the_promised_shapes"),
        (OtherLabels, "test_results_have_the_promised_shapes"),
        (SizeIsWidthFirst, "test_results_have_the_promised_shapes"),
        (PlainArrays, "test_results_have_the_promised_shapes"),
        (NoneForNoFace, "test_image_without_a_face"),
        (FirstFaceOnly, "test_several_faces_keep_their_order"),
        (FewerFaces, "test_faces_at_the_edge"),
        (SameLabelTwice, "test_names_its_labels"),
        (NoLabels, "test_names_its_labels"),
        (TransformIgnored, "test_box_transform_is_honoured"),
    ],
)
def test_planted_faults_are_caught(mutant: type[Mutant], check: str) -> None:
    getattr(TestTone(), check)(Mutant())
    with pytest.raises(AssertionError):
        getattr(TestTone(), check)(mutant())


class ChannelsSwapped(Mutant):
    def classify(self, images: Sequence[ImageLike], detections: Sequence[Detections]) -> list[Any]:
        swapped = [np.ascontiguousarray(image[..., ::-1]) for image in read_all(images)]
        return super().classify(swapped, detections)


def test_swapped_channels_are_not_those_of_the_record() -> None:
    class Swapped(TestTone):
        @classmethod
        def build(cls, **options: Any) -> Any:
            registry.create_classifier("tone", **options)
            return ChannelsSwapped()

    TestTone().test_golden_record()
    with pytest.raises(AssertionError, match="golden scores"):
        Swapped().test_golden_record()


def test_independent_labels_need_not_sum_to_one() -> None:
    class Independent(TestTone):
        exclusive = False

    Independent().test_results_have_the_promised_shapes(Halved())
