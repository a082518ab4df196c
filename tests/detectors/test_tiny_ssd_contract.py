"""The default detector under the contract.

Its golden record belongs to the shipped weights; look at what new ones give, then renew it::

    python -m facekit.testing record detector tiny_ssd -o tests/golden/detector_tiny_ssd.json
"""

from __future__ import annotations

from pathlib import Path

from facekit.testing import DetectorContract


class TestTinySSD(DetectorContract):
    name = "tiny_ssd"
    golden = Path(__file__).parents[1] / "golden" / "detector_tiny_ssd.json"
