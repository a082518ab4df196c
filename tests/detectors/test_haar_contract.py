"""OpenCV's cascade under the contract; OpenCV 5 has none.

python -m facekit.testing record detector haar -o tests/golden/detector_haar.json
"""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit.testing import DetectorContract

pytestmark = pytest.mark.usefixtures("require_cascades")


class TestHaar(DetectorContract):
    name = "haar"
    # At its default settings the cascade also sees faces in a helmet's ring and in a sleeve.
    extra_marks = 2
    golden = Path(__file__).parents[1] / "golden" / "detector_haar.json"
