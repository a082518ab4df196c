"""The default landmarker under the contract.

Its golden record belongs to the shipped weights; look at what new ones give, then renew it::

    python -m facekit.testing record landmarker resnet18 -o tests/golden/landmarker_resnet18.json
"""

from __future__ import annotations

from pathlib import Path

from facekit.testing import LandmarkerContract


class TestResNet18(LandmarkerContract):
    name = "resnet18"
    golden = Path(__file__).parents[1] / "golden" / "landmarker_resnet18.json"
