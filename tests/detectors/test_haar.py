"""The Haar cascade: OpenCV's own boxes, scores in order, a clear word under OpenCV 5."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import ConfigError, ImageError, MissingDependencyError, WeightsError
from facekit.protocols import Detector

Image = npt.NDArray[np.uint8]


@pytest.fixture
def haar(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_cascades")
    return importlib.import_module("facekit.detectors.haar")


def build(**options: Any) -> Any:
    return facekit.create_detector("haar", **options)


def upstream(grey: Any, minimum: int = 4) -> list[list[int]]:
    """What the tutorials write."""
    cv: Any = cv2
    classifier = cv.CascadeClassifier(cv.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = np.array(classifier.detectMultiScale(grey, 1.1, minimum), dtype=int).reshape(-1, 4)
    return sorted([x, y, x + width, y + height] for x, y, width, height in found.tolist())


def test_opencv_5_is_told_with_the_way_out() -> None:
    if hasattr(cv2, "CascadeClassifier"):
        pytest.skip("this OpenCV has cascades")
    with pytest.raises(MissingDependencyError) as caught:
        build()
    assert str(caught.value) == (
        f"detector 'haar' needs 'cv2': OpenCV {cv2.__version__} is installed, and OpenCV 5 dropped "
        'cascades; run: pip install "facekit[haar]"'
    )


def test_it_is_a_detector(haar: Any) -> None:
    detector = haar.Haar()
    assert isinstance(detector, Detector)
    assert detector.score_threshold == 0
    assert detector.evaluation_threshold == 0


@pytest.mark.usefixtures("haar")
@pytest.mark.parametrize("minimum", [1, 4, 8])
def test_boxes_are_detect_multi_scales(astronaut: Image, minimum: int) -> None:
    # Tiled, so that there are several faces.
    photo = np.tile(astronaut, (2, 2, 1))
    (found,) = build(min_neighbors=minimum).detect([photo])
    expected = upstream(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), minimum)
    assert sorted(found.boxes.astype(int).tolist()) == expected
    assert len(found) >= 4
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores >= 0) & (found.scores < 1)).all()


@pytest.mark.usefixtures("haar")
@pytest.mark.data
def test_boxes_of_photos_are_detect_multi_scales(data_root: Path) -> None:
    photos = sorted((data_root / "dlib_faces").glob("*.jpg"))[:4]
    for photo, found in zip(photos, build().detect(photos), strict=True):
        grey = cv2.cvtColor(facekit.images.read(photo), cv2.COLOR_RGB2GRAY)
        assert sorted(found.boxes.astype(int).tolist()) == upstream(grey)


def test_score_is_the_sum_of_positive_weights_over_itself_and_10(haar: Any) -> None:
    windows = np.array([[10, 10, 40, 40]] * 6 + [[90, 90, 40, 40]] * 5, dtype=np.float32)
    weights = np.array([1, 2, 3, 4, -5, -1, 6, 6, 6, 6, 6], dtype=np.float32)
    found = haar.Haar()._to_detections(windows, weights, (200, 200))
    assert found.boxes.tolist() == [[90, 90, 130, 130], [10, 10, 50, 50]]
    np.testing.assert_allclose(found.scores, [30 / 40, 10 / 20])


def test_equal_scores_are_ordered_by_place(haar: Any) -> None:
    corners = [(90, 10), (10, 90), (10, 10)]
    windows = np.array([[x, y, 40, 40] for x, y in corners for _ in range(5)], dtype=np.float32)
    found = haar.Haar()._to_detections(windows, np.ones(15, np.float32), (200, 200))
    assert found.boxes[:, :2].tolist() == [[10, 10], [10, 90], [90, 10]]


@pytest.mark.usefixtures("haar")
def test_score_threshold(astronaut: Image) -> None:
    every = build(min_neighbors=1).detect([astronaut])[0]
    limit = float(every.scores[0])
    assert build(min_neighbors=1, score_threshold=limit).detect([astronaut])[0] == every[:1]


@pytest.mark.usefixtures("haar")
def test_min_size(astronaut: Image) -> None:
    assert len(build(min_size=200).detect([astronaut])[0]) == 0


@pytest.mark.usefixtures("haar")
def test_images_of_any_size_and_none(astronaut: Image) -> None:
    blank = np.zeros((1, 1, 3), dtype=np.uint8)
    answers = build().detect([blank, astronaut, np.zeros((10, 900, 3), dtype=np.uint8)])
    assert [len(found) for found in answers] == [0, 1, 0]
    assert answers[2].image_size == (10, 900)
    assert build().detect([]) == []
    with pytest.raises(ImageError):
        build().detect([blank[0]])


@pytest.mark.usefixtures("haar")
def test_many_threads_share_one_detector(astronaut: Image) -> None:
    detector = build()
    photos = [astronaut, np.ascontiguousarray(astronaut[40:240, 140:340])]
    expected = [detector.detect([photo])[0] for photo in photos]
    assert [len(found) for found in expected] == [1, 1]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: detector.detect([photos[i % 2]])[0], range(12)))
    for i, answer in enumerate(answers):
        assert answer.boxes.tolist() == expected[i % 2].boxes.tolist()
        np.testing.assert_allclose(answer.scores, expected[i % 2].scores, atol=1e-6)


def test_another_cascade_by_name_and_by_path(haar: Any, astronaut: Image) -> None:
    name = "haarcascade_frontalface_alt2.xml"
    path = Path(haar._cv2.data.haarcascades) / name
    by_name, by_path = (build(cascade=str(one)).detect([astronaut])[0] for one in (name, path))
    assert len(by_name) == 1
    assert by_name.boxes.tolist() == by_path.boxes.tolist()


@pytest.mark.usefixtures("haar")
def test_missing_cascade() -> None:
    with pytest.raises(WeightsError, match=r"nose\.xml: no such file, nor a cascade that OpenCV"):
        build(cascade="nose.xml")


@pytest.mark.usefixtures("haar")
@pytest.mark.parametrize("text", ["", "hello", "<?xml version='1.0'?><opencv_storage/>"])
def test_damaged_cascade(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.xml").write_text(text)
    with pytest.raises(WeightsError, match=r"c\.xml: not a cascade that OpenCV reads"):
        build(cascade=str(tmp_path / "c.xml"))


@pytest.mark.usefixtures("haar")
def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="scale_factor"):
        build(scale_factor=1.0)


@pytest.mark.usefixtures("require_cascades")
def test_a_transform_of_ones_own_goes_with_the_boxes(astronaut: npt.NDArray[Any]) -> None:
    detector = build(box_transform={"dx": 0.1, "dy": -0.2, "sw": 1.5, "sh": 0.5})
    (found,) = detector.detect([astronaut])
    assert tuple(found.box_transform) == (0.1, -0.2, 1.5, 0.5)
