"""mmdet under the contract: the shipped tiny SSD as a checkpoint of MMDetection 1.x.

Its golden record is that of ``tiny_ssd``, because the two answer the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit.mmlab.migrate import migrate
from facekit.testing import DetectorContract


@pytest.fixture(scope="class")
def shipped(
    request: pytest.FixtureRequest,
    old_mmdet_config: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A config of 3.x, and the shipped weights as MMDetection 1.x wrote them."""
    request.getfixturevalue("require_mmdet")
    new = tmp_path_factory.mktemp("shipped") / "tiny_ssd.py"
    migrate(old_mmdet_config, new)
    weights = request.getfixturevalue("old_mmdet_checkpoint")
    request.cls.options = {"config": str(new), "weights": str(weights)}


@pytest.mark.usefixtures("shipped")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Could not import OneDL")
class TestMMDet(DetectorContract):
    name = "mmdet"
    golden = Path(__file__).parents[1] / "golden" / "detector_tiny_ssd.json"
