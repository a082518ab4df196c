"""tfod under the contract: the shipped tiny SSD as a SavedModel of TF2, and as a TFLite model.

The TFLite model's photos are resized as the SavedModel resizes inside. Its record is of its own all
the same, because TFLite's post-processing clips no boxes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from facekit.testing import DetectorContract

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="class", autouse=True)
def _shipped(request: pytest.FixtureRequest) -> None:
    graph = request.getfixturevalue("tfod_graph")
    request.cls.options = {**request.cls.more, "weights": str(graph(request.cls.file))}


class TestSavedModel(DetectorContract):
    name = "tfod"
    golden = GOLDEN / "detector_tfod.json"
    file: ClassVar[str] = "saved_model_2x"
    more: ClassVar[dict[str, Any]] = {}


class TestTFLite(DetectorContract):
    name = "tfod"
    golden = GOLDEN / "detector_tfod_tflite.json"
    file: ClassVar[str] = "float.tflite"
    more: ClassVar[dict[str, Any]] = {"half_pixel_centers": True}
