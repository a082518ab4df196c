"""Detectron2 under the contract; its golden record is ``mask_rcnn``'s: the two answer the same.

It is skipped where Detectron2 is not installed; docs/backends/detectron2.md has the last real run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit.testing import DetectorContract

TESTS = Path(__file__).parents[1]
NETWORKS = TESTS / "data" / "networks"


@pytest.mark.usefixtures("require_detectron2")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
class TestDetectron2(DetectorContract):
    name = "detectron2"
    golden = TESTS / "golden" / "detector_mask_rcnn.json"
    options = {  # noqa: RUF012 - as the suites say
        "weights": NETWORKS / "mask_rcnn_astronaut.pkl",
        "config": NETWORKS / "mask_rcnn_astronaut.yaml",
        "score_threshold": 0.9,
    }
    extra_marks = 4
