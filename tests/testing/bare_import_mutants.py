"""Two plug-ins that need a vendor's package: one tells how to install it, one does not.

Not collected with the other tests: test_planted_faults.py registers them and runs this file.
"""

from __future__ import annotations

from pathlib import Path

from facekit.testing import DetectorContract

GOLDEN = Path(__file__).parents[1] / "golden" / "detector_tiny_ssd.json"


class TestTold(DetectorContract):
    name = "told"
    golden = GOLDEN


class TestBare(DetectorContract):
    name = "bare"
    golden = GOLDEN
