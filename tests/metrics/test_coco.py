"""COCO's AP: known answers, and pycocotools on the same numbers from files."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import Detections
from facekit.errors import MetricsError, MissingDependencyError
from facekit.metrics.coco import coco
from facekit.metrics.truth import Truth

Require = Callable[[str], Any]

SIZE = (400, 400)
SMALL = (0.0, 0.0, 20.0, 20.0)
MEDIUM = (50.0, 0.0, 110.0, 60.0)
LARGE = (150.0, 0.0, 300.0, 150.0)


@pytest.fixture(autouse=True)
def evaluator(require: Require) -> Any:
    return require("faster_coco_eval")


def found(*rows: tuple[float, ...]) -> Detections:
    table = np.array(rows).reshape(-1, 5)
    return Detections(boxes=table[:, :4], scores=table[:, 4], image_size=SIZE)


def test_everything_found_is_one_at_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    truths = [Truth(np.array([SMALL, MEDIUM])), Truth(np.array([LARGE]))]
    scores = coco(truths, [found((*SMALL, 0.9), (*MEDIUM, 0.8)), found((*LARGE, 0.7))])
    numbers = (scores.ap, scores.ap50, scores.ap75, scores.small, scores.medium, scores.large)
    assert numbers == pytest.approx((1, 1, 1, 1, 1, 1))
    assert (scores.recall, scores.truths, scores.images, scores.max_detections) == (1, 3, 2, 100)
    assert capsys.readouterr().out == "", "the evaluator may print; we do not"


def test_overlap_of_seven_tenths_counts_at_five_of_ten_overlaps() -> None:
    shorter = (50.0, 0.0, 110.0, 42.0)
    scores = coco([Truth(np.array([MEDIUM]))], [found((*shorter, 0.9))])
    assert (scores.ap50, scores.ap75) == pytest.approx((1, 0))
    assert scores.ap == pytest.approx(0.5)
    assert np.isnan([scores.small, scores.large]).all()


def test_ignored_faces_are_crowds() -> None:
    truth = Truth(np.array([MEDIUM, LARGE]), np.array([False, True]))
    inside = (160.0, 10.0, 200.0, 50.0)
    predictions = found((*inside, 0.9), (*LARGE, 0.8), (*MEDIUM, 0.5))
    scores = coco([truth], [predictions])
    assert (scores.ap50, scores.truths) == pytest.approx((1, 1))


def test_only_the_surest_predictions_of_an_image_count() -> None:
    truth, predictions = Truth(np.array([MEDIUM])), found((*LARGE, 0.9), (*MEDIUM, 0.8))
    assert coco([truth], [predictions], max_detections=1).ap50 == 0
    assert coco([truth], [predictions]).ap50 == pytest.approx(0.5)


def test_nothing_predicted() -> None:
    scores = coco([Truth(np.array([MEDIUM]))], [found()])
    assert (scores.ap, scores.recall) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], []), {}, "no image to evaluate"),
        (([Truth(np.zeros((0, 4)))], []), {}, "0 predictions for 1 images"),
        (([Truth(np.zeros((0, 4)))], [found()]), {"max_detections": 0}, "at least 1, got 0"),
    ],
)
def test_bad_input_is_named(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        coco(*arguments, **options)


# pycocotools 2.0 hands numpy 2 its arrays by an older protocol.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_same_as_pycocotools_from_files(require: Require, tmp_path: Path) -> None:
    """The path that users of COCO files take: json, loadRes, summarize."""
    loader, judge = require("pycocotools.coco"), require("pycocotools.cocoeval")
    random = np.random.default_rng(3)
    truths, predictions = [], []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, 31):
        corners = random.uniform(0, 300, (6, 2))
        faces = np.concatenate([corners, corners + random.uniform(10, 120, (6, 2))], axis=1)
        ignore = random.random(6) < 0.2
        truths.append(Truth(faces, ignore))
        moved = faces + random.normal(0, 4, faces.shape)
        boxes = np.concatenate([moved, random.uniform(0, 300, (8, 4))]).astype(np.float32)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 5)
        predictions.append(
            Detections(boxes=boxes, scores=random.random(14).astype(np.float32), image_size=SIZE)
        )
        for box, skip in zip(faces.tolist(), ignore.tolist(), strict=True):
            x1, y1, x2, y2 = box
            row = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": 1, "bbox": row}
                | {"area": row[2] * row[3], "iscrowd": int(skip)}
            )
        results += predictions[-1].to_coco(image_id=image)
    images = [{"id": image, "width": 400, "height": 400} for image in range(1, 31)]
    categories = [{"id": 1, "name": "face"}]
    dataset = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(dataset))
    (tmp_path / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = loader.COCO(tmp_path / "truth.json")
        evaluation = judge.COCOeval(loaded, loaded.loadRes(str(tmp_path / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = coco(truths, predictions)
    numbers = [ours.ap, ours.ap50, ours.ap75, ours.small, ours.medium, ours.large]
    np.testing.assert_allclose(numbers, evaluation.stats[:6], atol=1e-4)
    assert ours.recall == pytest.approx(evaluation.stats[8], abs=1e-4)
    assert 0.05 < ours.ap < 0.95


def test_the_evaluator_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "faster_coco_eval"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "facekit\[eval\]"'):
        coco([Truth(np.array([SMALL]))], [found()])
