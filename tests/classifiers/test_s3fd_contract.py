"""The S3FD classifier under the contract, with seeded weights: they know nothing, but see all.

Look at what new weights give, then renew the record::

    python -m facekit.testing record classifier s3fd \
        --option weights=tests/data/networks/s3fd_classifier.onnx \
        -o tests/golden/classifier_s3fd.json
"""

from __future__ import annotations

from pathlib import Path

from facekit.testing import ClassifierContract

TESTS = Path(__file__).parents[1]


class TestS3FD(ClassifierContract):
    name = "s3fd"
    options = {"weights": str(TESTS / "data" / "networks" / "s3fd_classifier.onnx")}  # noqa: RUF012 - as the contract has it
    golden = TESTS / "golden" / "classifier_s3fd.json"
    # OpenCV 4 places a crop's samples to 1/32 px, OpenCV 5 exactly, which moves this head's scores
    # by 0.007; swapped channels move them by 0.2.
    golden_score = 0.02
