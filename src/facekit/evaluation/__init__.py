"""Records and backends to numbers: detectors, landmarkers, classifiers, compared on one dataset.

>>> from facekit import datasets, evaluation
>>> records = datasets.read("wider_face:WIDER", split="val")                 # doctest: +SKIP
>>> result = evaluation.evaluate_detector(records, "tiny_ssd")               # doctest: +SKIP
>>> result.values["AP50, 50 px"]                                             # doctest: +SKIP
"""

from facekit.evaluation.classification import evaluate_classifier
from facekit.evaluation.compare import Comparison, compare_detectors
from facekit.evaluation.detection import evaluate_detector
from facekit.evaluation.landmarks import evaluate_landmarker
from facekit.evaluation.predictions import evaluate_predictions, read_predictions
from facekit.evaluation.report import Report
from facekit.evaluation.result import Curve, Result

__all__ = [
    "Comparison",
    "Curve",
    "Report",
    "Result",
    "compare_detectors",
    "evaluate_classifier",
    "evaluate_detector",
    "evaluate_landmarker",
    "evaluate_predictions",
    "read_predictions",
]
