"""COCO's results: there and back without loss, by number and by name, and what is malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.errors import DatasetError
from facekit.evaluation import coco_results
from facekit.types import Detections

NAMES = ["x/a.jpg", "x/b.jpg"]


def detections() -> Detections:
    return Detections(
        boxes=np.array([[0.1, 0.2, 10.7, 33.3], [1 / 3, 5, 7, 9]], np.float32),
        scores=np.array([0.7, 0.1], np.float32),
        image_size=(50, 60),
    )


def test_reading_gives_back_the_very_numbers(tmp_path: Path) -> None:
    given = {"x/a.jpg": detections(), "x/b.jpg": Detections.empty((5, 6))}
    coco_results.write(given, tmp_path / "run.json")
    assert coco_results.read(tmp_path / "run.json", NAMES) == given
    entries = json.loads((tmp_path / "run.json").read_text())
    assert entries[0].keys() == {"image_id", "category_id", "bbox", "score"}
    assert entries[0]["image_id"] == 1


def test_pycocotools_reads_what_is_written(tmp_path: Path, require: Any) -> None:
    require("pycocotools")
    from pycocotools.coco import COCO

    coco_results.write({"x/a.jpg": detections()}, tmp_path / "run.json")
    truth = COCO()
    truth.dataset = json.loads((tmp_path / "run_images.json").read_text())
    truth.dataset |= {"annotations": [], "categories": [{"id": 1, "name": "face"}]}
    truth.createIndex()
    assert len(truth.loadRes(str(tmp_path / "run.json")).getAnnIds()) == 2


def results(path: Path, *entries: object) -> Path:
    path.write_text(json.dumps(list(entries)))
    return path


GOOD = {"image_id": "x/a.jpg", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}


def test_names_do_where_there_are_no_numbers(tmp_path: Path) -> None:
    read = coco_results.read(results(tmp_path / "r.json", GOOD, GOOD), NAMES)
    assert list(read) == NAMES
    assert [len(one) for one in read.values()] == [2, 0]  # exact duplicates are kept


def test_an_annotation_file_numbers_the_images(tmp_path: Path) -> None:
    ids = tmp_path / "truth.json"
    ids.write_text(json.dumps({"images": [{"id": 7, "file_name": "x/b.jpg"}]}))
    path = results(tmp_path / "r.json", GOOD | {"image_id": 7})
    read = coco_results.read(path, NAMES, images=ids)
    assert list(read) == ["x/b.jpg"]  # the only image that the file speaks of


def test_one_category_of_several(tmp_path: Path) -> None:
    path = results(tmp_path / "r.json", GOOD, GOOD | {"category_id": 3, "score": 0.9})
    with pytest.raises(DatasetError, match=r"several categories \(1, 3\); choose one"):
        coco_results.read(path, NAMES)
    read = coco_results.read(path, NAMES, category=3)
    assert read["x/a.jpg"].scores.tolist() == pytest.approx([0.9])


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("text", "expected a result"),
        (GOOD | {"image_id": 5}, "image_id 5 is no image"),
        (GOOD | {"image_id": None}, "image_id None is no image"),
        (GOOD | {"bbox": [1, 2, 3]}, "four numbers"),
        (GOOD | {"bbox": [1, 2, 3, "4"]}, "four numbers"),
        (GOOD | {"score": None}, "four numbers and a score"),
        (GOOD | {"score": float("nan")}, "not finite"),
        (GOOD | {"bbox": [1, 2, -3, 4]}, "must not be negative"),
    ],
)
def test_what_is_malformed_is_named_with_its_place(
    tmp_path: Path, entry: object, word: str
) -> None:
    path = results(tmp_path / "r.json", GOOD, entry)
    with pytest.raises(DatasetError, match=word) as caught:
        coco_results.read(path, NAMES)
    assert "[1]" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[\n1,\n", r":3: not valid JSON"),
        ("{}", "are a list"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_list_of_results(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DatasetError, match=word):
        coco_results.read(tmp_path / "r.json", NAMES)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ([], "expected 'images'"),
        ({"images": [{"id": 1}]}, "expected 'images'"),
        ({"images": [{"id": 1, "file_name": "z.jpg"}]}, "'z.jpg' is no image"),
        ({"images": [{"id": 1, "file_name": n} for n in NAMES]}, "there twice"),
    ],
)
def test_what_numbers_no_images(tmp_path: Path, document: object, word: str) -> None:
    path = results(tmp_path / "r.json")
    (tmp_path / "r_images.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=word):
        coco_results.read(path, NAMES)
