"""Detectron2's R-CNN under the contract, with a narrow network that knows the contract's one face.

Detectron2's own code trained it (``tests/data/networks/make_mask_rcnn.py``). Its golden record
belongs to those weights; look at what new ones give, then renew it::

    python -m facekit.testing record detector mask_rcnn -o tests/golden/detector_mask_rcnn.json \
        --option weights=tests/data/networks/mask_rcnn_astronaut.pkl \
        --option config=tests/data/networks/mask_rcnn_astronaut.yaml
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from facekit.testing import DetectorContract

TESTS = Path(__file__).parents[1]
NETWORKS = TESTS / "data" / "networks"


@pytest.fixture(autouse=True)
def _packages(require: Callable[[str], ModuleType]) -> None:
    for package in ("torch", "torchvision", "safetensors"):
        require(package)


class TestMaskRCNN(DetectorContract):
    name = "mask_rcnn"
    golden = TESTS / "golden" / "detector_mask_rcnn.json"
    options = {  # noqa: RUF012 - as the suites say
        "weights": NETWORKS / "mask_rcnn_astronaut.pkl",
        "config": NETWORKS / "mask_rcnn_astronaut.yaml",
        "score_threshold": 0.9,
    }
    # Three hundred steps of training: the face is sure, and now and then part of it once more.
    extra_marks = 4
