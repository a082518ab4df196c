"""Predictions from disk: each layout gives the numbers of the run that made it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from facekit import create_detector, datasets
from facekit.datasets import ImageRecord
from facekit.errors import DatasetError
from facekit.evaluation import coco_results, evaluate_predictions, wider_text
from facekit.evaluation.detection import detect_all, score_detections
from facekit.types import Detections


@pytest.fixture
def records(album: Path) -> list[ImageRecord]:
    return list(datasets.read(f"wider_face:{album}"))


@pytest.fixture
def run(records: list[ImageRecord]) -> dict[str, Detections]:
    return detect_all(records, create_detector(score_threshold=0.02)).values


def test_every_layout_gives_the_same_numbers(
    records: list[ImageRecord], run: dict[str, Detections], tmp_path: Path
) -> None:
    want = score_detections(records, run).values
    wider_text.write(run, tmp_path / "texts")
    coco_results.write(run, tmp_path / "run.json")
    rows = [
        [np.concatenate([one.boxes, one.scores[:, None]], axis=1)]
        for one in (run[record.name] for record in records)
    ]
    (tmp_path / "run.pkl").write_bytes(pickle.dumps(rows))
    for place in ("texts", "run.json", "run.pkl"):
        result = evaluate_predictions(records, tmp_path / place)
        assert result.values == want, place
        assert (result.label, result.images, result.notes) == (Path(place).stem, 3, ())
        assert result.setting == {"scale": "not known", "threshold": "not known"}
        assert result.seconds_per_image is None


def test_images_without_predictions(
    records: list[ImageRecord], run: dict[str, Detections], tmp_path: Path
) -> None:
    wider_text.write(run, tmp_path / "texts")
    (tmp_path / "texts" / "0--Parade" / "b.txt").unlink()
    with pytest.raises(DatasetError, match="1 of 3 images are without predictions"):
        evaluate_predictions(records, tmp_path / "texts")
    fewer = evaluate_predictions(records, tmp_path / "texts", missing="skip")
    assert (fewer.images, fewer.values["AP50, 50 px"]) == (2, 1.0)
    assert any("a subset: 2 of" in note for note in fewer.notes)
    empty = evaluate_predictions(records, tmp_path / "texts", missing="empty")
    assert empty.images == 3
    assert empty.values["AP50, 50 px"] == pytest.approx(0.5)


def test_predictions_of_unknown_images_are_refused(
    records: list[ImageRecord], run: dict[str, Detections], tmp_path: Path
) -> None:
    wider_text.write(run, tmp_path / "texts")
    message = r"1 of 3 files are of no image of the dataset \(the first: 0--Parade/b.txt\)"
    with pytest.raises(DatasetError, match=message):
        evaluate_predictions([records[0], records[2]], tmp_path / "texts")


def test_what_holds_no_predictions(records: list[ImageRecord], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        evaluate_predictions(records, tmp_path / "none")
    with pytest.raises(DatasetError, match=r"no <event>/<image>.txt in it"):
        evaluate_predictions(records, tmp_path / "WIDER" / "WIDER_val")
    (tmp_path / "run.csv").write_text("")
    with pytest.raises(DatasetError, match=r"predictions are a folder of texts, or .json, .pkl"):
        evaluate_predictions(records, tmp_path / "run.csv")
