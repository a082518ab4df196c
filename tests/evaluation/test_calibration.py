"""Calibration: a known convention is found again, among false boxes, and the landmarks gain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import images
from facekit.boxes import IDENTITY, BoxTransform, iou, squares_around
from facekit.datasets import FaceRecord, ImageRecord
from facekit.errors import DatasetError
from facekit.evaluation.calibration import (
    ANNOTATED,
    AS_THEY_ARE,
    BUILT_IN,
    FITTED,
    calibrate,
    fit,
)
from facekit.mean_shape import MEAN_SHAPE_68
from facekit.protocols import DetectorOptions, Options
from facekit.types import Detections, Landmarks

Array = npt.NDArray[Any]

CONVENTION = BoxTransform(dx=0.06, dy=-0.15, sw=1.6, sh=1.2)
SHAPE = np.array(MEAN_SHAPE_68) - 0.5


def box_of(square: Array, convention: BoxTransform) -> Array:
    """The box whose transform is the square."""
    side, middle = square[2] - square[0], (square[:2] + square[2:]) / 2
    size = np.array([side / convention.sw, side / convention.sh])
    centre = middle - np.array([convention.dx, convention.dy]) * size
    return np.concatenate([centre - size / 2, centre + size / 2])


class Finder:
    """A detector with a convention of its own, a little noise, false boxes and misses."""

    Options = DetectorOptions
    name = "finder"
    class_names = ("face",)
    evaluation_threshold = 0.0
    score_threshold = 0.5
    box_transform = IDENTITY

    def __init__(self, faces: dict[bytes, Array], found: float = 0.9) -> None:
        self._faces, self._found = faces, found

    def detect(self, pictures: Sequence[Any]) -> list[Detections]:
        return [self._one(np.asarray(picture)) for picture in pictures]

    def _one(self, picture: Array) -> Detections:
        random = np.random.default_rng(int(picture[0, 0, 0]))
        boxes = []
        for square in self._faces[picture[0, :2].tobytes()]:
            if random.random() < self._found:
                noise = random.normal(scale=0.02, size=4) * (square[2] - square[0])
                boxes.append(box_of(square, CONVENTION) + noise)
        boxes += [random.uniform(0, 60, 4) + np.array([0, 0, 90, 90]) for _ in range(2)]
        return Detections(
            boxes=np.array(boxes, np.float32),
            scores=np.linspace(0.9, 0.6, len(boxes), dtype=np.float32),
            image_size=(picture.shape[0], picture.shape[1]),
        )


class Placer:
    """A landmarker that places the mean shape into the square."""

    Options = Options
    name = "placer"
    scheme = "ibug68"
    point_count = 68

    def locate(self, pictures: Sequence[Any], faces: Sequence[Detections]) -> list[Landmarks]:
        assert len(pictures) == len(faces)
        return [
            Landmarks(
                points=np.array([points_in(square) for square in one.canonical_squares()]),
                scheme=self.scheme,
                image_size=one.image_size,
            )
            for one in faces
        ]


def points_in(square: Array) -> Array:
    side, middle = square[2] - square[0], (square[:2] + square[2:]) / 2
    return np.asarray(SHAPE * side / 1.06 + middle, dtype=np.float32)


def made(folder: Path, count: int) -> tuple[list[ImageRecord], dict[bytes, Array]]:
    """Photos of noise with two faces each; the first pixels tell them apart."""
    records, squares = [], {}
    for number in range(count):
        random = np.random.default_rng(number)
        picture = random.integers(0, 256, (200, 400, 3), dtype=np.uint8)
        picture[0, 0, 0] = number
        images.write(folder / f"{number}.png", picture)
        own = []
        for left in (40, 220):
            side, x, y = random.uniform(50, 120), left + random.uniform(0, 30), 20 + number % 30
            own.append([x, y, x + side, y + side])
        points = [points_in(np.array(square)) for square in own]
        squares[picture[0, :2].tobytes()] = squares_around(points)
        faces = [
            FaceRecord(
                box=(0, 0, 9, 9),
                landmarks=tuple((float(x), float(y)) for x, y in face),
                scheme="ibug68",
            )
            for face in points
        ]
        faces.append(FaceRecord(box=(0, 0, 9, 9)))
        records.append(ImageRecord(name=f"{number}.png", root=folder, faces=tuple(faces)))
    return records, squares


def test_a_known_convention_is_found_again(tmp_path: Path) -> None:
    records, squares = made(tmp_path, 40)
    result = calibrate(records, Finder(squares), Placer())
    np.testing.assert_allclose(result.transform, CONVENTION, atol=0.02)
    assert result.detector == "finder"
    assert result.faces == result.measured == 80
    assert 60 <= result.matched <= 80
    means = {name: float(errors.mean()) for name, errors in result.errors.items()}
    assert {len(errors) for errors in result.errors.values()} == {result.matched}
    assert means[ANNOTATED] < 1e-3
    assert means[AS_THEY_ARE] == means[BUILT_IN] > 0.1
    assert means[FITTED] < 0.06, "what the boxes' own noise makes"


def test_other_faces_may_be_measured(tmp_path: Path) -> None:
    records, squares = made(tmp_path, 30)
    result = calibrate(records[:20], Finder(squares), Placer(), measure=records[20:])
    assert (result.faces, result.measured) == (40, 20)
    assert len(result.errors[FITTED]) <= 20


def test_a_detector_that_finds_nothing_cannot_be_calibrated(tmp_path: Path) -> None:
    records, squares = made(tmp_path, 8)
    with pytest.raises(DatasetError, match="'finder' finds"):
        calibrate(records, Finder(squares, found=0.0), Placer())
    bare = [record.replace(faces=()) for record in records]
    with pytest.raises(DatasetError, match="no face has landmarks"):
        calibrate(bare, Finder(squares), Placer())


def test_medians_bear_faces_taken_for_others() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 500, (101, 2))
    squares = np.concatenate([corners, corners + random.uniform(20, 200, (101, 1))], axis=1)
    boxes = np.array([box_of(square, CONVENTION) for square in squares])
    boxes[:30] = random.uniform(0, 50, (30, 4)) + np.array([0, 0, 50, 50])
    boxes[30] = [5, 5, 5, 9]
    found = fit(boxes, squares)
    assert float(np.diag(iou(found.apply(boxes[31:]), squares[31:])).min()) > 0.9
    exact = fit(boxes[31:], squares[31:])
    assert exact == CONVENTION
    with pytest.raises(ValueError, match="not empty"):
        fit(boxes[30:31], squares[30:31])
