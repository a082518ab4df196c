"""A landmarker on real photos, in the annotated boxes and in a detector's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import create_detector, create_landmarker, datasets
from facekit.boxes import squares_around
from facekit.datasets import FaceRecord, ImageRecord
from facekit.errors import BackendError, ConfigError, DatasetError
from facekit.evaluation import evaluate_landmarker
from facekit.evaluation.landmarks import _matched, _pack, _unpack, truth_points
from facekit.images import ImageLike
from facekit.types import Detections, Landmarks


@pytest.fixture
def records(album: Path) -> list[ImageRecord]:
    """The photo and its mirror image, with the landmarker's own points as annotation."""
    annotated = []
    for record in datasets.read(f"wider_face:{album}"):
        faces = record.faces
        if faces:
            size = (512, 512)
            boxes = np.array([faces[0].box], np.float32)
            one = Detections(boxes=boxes, scores=np.ones(1, np.float32), image_size=size)
            (found,) = create_landmarker().locate([record.path], [one])  # type: ignore[list-item]
            points = tuple((float(x), float(y)) for x, y in found.points[0])
            faces = (FaceRecord(box=faces[0].box, landmarks=points, scheme="ibug68"),)
        annotated.append(record.replace(faces=faces))
    return annotated


def test_the_square_is_that_of_300_ws_boxes() -> None:
    points = [[[10, 20], [30, 40], [50, 30]]]
    # 40 px wide: a side of 42.4 about the middle of the extent.
    np.testing.assert_allclose(squares_around(points), [[8.8, 8.8, 51.2, 51.2]], rtol=1e-6)


@pytest.mark.data
def test_the_square_is_that_of_the_files_themselves(data_root: Path) -> None:
    path = data_root / "landmarks68" / "labels_ibug_300W_train.xml"
    for record in list(datasets.read(f"ibug300w:{path}"))[::100]:
        square = squares_around(truth_points(record))[0]
        # Rounded to whole pixels in the file.
        np.testing.assert_allclose(square, record.faces[0].box, atol=2)


def test_in_the_annotated_boxes(records: list[ImageRecord]) -> None:
    result = evaluate_landmarker(records, "resnet18")
    assert (result.images, result.faces) == (2, 2)  # the photo without a face is passed over
    assert 0 < result.values["NME %"] < 5
    assert result.values["failures > 8 %"] == 0
    assert 0.5 < result.values["AUC 8 %"] < 1
    assert set(result.parts) >= {"jaw NME %", "eyes NME %"}
    assert result.setting["scale"] == "crops of 224 x 224 px"
    assert (result.setting["boxes"], result.setting["error"]) == ("truth", "interocular")


def test_in_a_detectors_boxes_and_what_it_misses_has_failed(records: list[ImageRecord]) -> None:
    result = evaluate_landmarker(records, "resnet18", boxes="tiny_ssd")
    assert 0 < result.values["NME %"] < 8
    assert result.values["not found"] == 0
    assert result.setting["boxes"] == "tiny_ssd >= 0.5"
    paths = [record.path for record in records if record.faces]
    lower, upper = sorted(float(one.scores[0]) for one in create_detector().detect(paths))  # type: ignore[arg-type]
    blind = {"backend": "tiny_ssd", "score_threshold": (lower + upper) / 2}
    half = evaluate_landmarker(records, "resnet18", boxes=blind)
    assert half.values["not found"] == 0.5
    assert half.values["failures > 8 %"] == 0.5
    assert any("were not found" in note for note in half.notes)


def test_a_detection_is_of_one_face_and_a_face_has_one() -> None:
    squares = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [50, 50, 60, 60]], np.float32)
    boxes = np.array([[2, 0, 12, 10], [80, 80, 90, 90], [51, 50, 61, 60]], np.float32)
    found = Detections(boxes=boxes, scores=[0.9, 0.8, 0.7], image_size=(99, 99))  # type: ignore[arg-type]
    # The first box lies on both of the first two faces, nearer to the second.
    assert _matched(squares, found).tolist() == [-1, 0, 2]
    assert _matched(squares, Detections.empty((99, 99))).tolist() == [-1, -1, -1]


def test_points_are_kept(records: list[ImageRecord], tmp_path: Path) -> None:
    first = evaluate_landmarker(records, "resnet18", folder=tmp_path / "kept")
    again = evaluate_landmarker(records, "resnet18", folder=tmp_path / "kept")
    assert again.values == first.values
    assert again.seconds_per_image is None
    with pytest.raises(ConfigError, match=r"something else \(boxes differ\): --restart"):
        evaluate_landmarker(records, "resnet18", folder=tmp_path / "kept", boxes="tiny_ssd")
    (tmp_path / "kept" / "0--Parade" / "a.json").write_text("{}")
    with pytest.raises(DatasetError, match="no points that facekit wrote"):
        evaluate_landmarker(records, "resnet18", folder=tmp_path / "kept")


def test_a_face_that_was_not_found_is_kept_as_such() -> None:
    points = np.full((2, 68, 2), np.nan, np.float32)
    points[1] = np.linspace(0.1, 9, 136).reshape(68, 2)
    again = _unpack(json.loads(json.dumps(_pack(points), allow_nan=False)))
    np.testing.assert_array_equal(again, points)
    assert again.dtype == np.float32


def test_datasets_without_its_points(records: list[ImageRecord]) -> None:
    with pytest.raises(DatasetError, match="no face has landmarks"):
        evaluate_landmarker(records[2:], "resnet18")
    face = dataclasses.replace(records[0].faces[0], landmarks=((1.0, 2.0),) * 5, scheme="five")
    with pytest.raises(DatasetError, match="has 5 points of the scheme 'five'"):
        evaluate_landmarker([records[0].replace(faces=(face,))], "resnet18")


class _Nowhere:
    """A landmarker whose points are none."""

    def __init__(self) -> None:
        self._real = create_landmarker()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def locate(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Landmarks]:
        placed = self._real.locate(images, detections)
        return [one.replace(points=one.points * np.nan) for one in placed]


def test_points_that_are_none_are_named(records: list[ImageRecord]) -> None:
    with pytest.raises(BackendError, match=r"gave a point that is none for 0--Parade/a.jpg"):
        evaluate_landmarker(records, _Nowhere())
