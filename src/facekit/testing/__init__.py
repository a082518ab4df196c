"""Contract suites: a plug-in's test file is an empty subclass.

::

    from facekit.testing import DetectorContract


    class TestMine(DetectorContract):
        name = "mine"

They run on real photos that scikit-image ships, so that a detector that marks nothing, or
everything, fails. Install them by ``pip install "facekit[testing]"``, and record what the adapter
gives once you have looked at it::

    python -m facekit.testing record detector mine -o tests/golden/detector_mine.json
"""

from __future__ import annotations

from facekit.errors import MissingDependencyError

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingDependencyError(
        "facekit.testing", "pytest", 'pip install "facekit[testing]"'
    ) from error

# Before they are imported, so that a failing check shows its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in ("contract", "detector", "facial", "landmarker", "classifier")
    )
)

from facekit.testing.classifier import ClassifierContract  # noqa: E402 - after the rewrite
from facekit.testing.detector import DetectorContract  # noqa: E402
from facekit.testing.landmarker import LandmarkerContract  # noqa: E402

__all__ = ["ClassifierContract", "DetectorContract", "LandmarkerContract"]
