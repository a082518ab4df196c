"""The adapters satisfy their protocols: for the type checker, and when they run."""

from __future__ import annotations

from facekit.detectors.tiny_ssd import TinySSD
from facekit.landmarkers.resnet18 import ResNet18
from facekit.protocols import Detector, Landmarker


def detector() -> Detector:
    # mypy checks the return; so does it for the landmarker.
    return TinySSD()


def landmarker() -> Landmarker:
    return ResNet18()


def test_the_built_in_adapters_satisfy_their_protocols() -> None:
    assert isinstance(detector(), Detector)
    assert not isinstance(detector(), Landmarker)
    assert isinstance(landmarker(), Landmarker)
    assert not isinstance(landmarker(), Detector)
