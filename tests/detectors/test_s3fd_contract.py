"""S3FD under the contract, with a narrow network that knows the contract's one face.

Its golden record belongs to those weights; look at what new ones give, then renew it::

    python -m facekit.testing record detector s3fd -o tests/golden/detector_s3fd.json \
        --option weights=tests/data/networks/s3fd_astronaut.onnx
"""

from __future__ import annotations

from pathlib import Path

from facekit.testing import DetectorContract

TESTS = Path(__file__).parents[1]


class TestS3FD(DetectorContract):
    name = "s3fd"
    golden = TESTS / "golden" / "detector_s3fd.json"
    options = {"weights": TESTS / "data" / "networks" / "s3fd_astronaut.onnx"}  # noqa: RUF012 - as the suites say
