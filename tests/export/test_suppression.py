"""The tiny SSD with its suppression inside, against the adapter's own on the network's answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import create_detector
from facekit.errors import BackendError, ConfigError, WeightsError
from facekit.export import export
from facekit.types import Detections

Require = Callable[[str], Any]


@pytest.fixture(params=["onnx", "xml"])
def exported(
    request: pytest.FixtureRequest, tmp_path: Path, require: Require, astronaut_path: Path
) -> Path:
    require("onnx")
    if request.param == "xml":
        require("openvino")
    out = tmp_path / f"boxes.{request.param}"
    export("tiny_ssd", None, out, photo=astronaut_path, with_nms=True)
    return out


def close(one: Detections, other: Detections) -> None:
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    assert one.image_size == other.image_size


def test_it_finds_the_same_faces(exported: Path, astronaut: npt.NDArray[np.uint8]) -> None:
    # Of the input's size: there inclusive pixels suppress just alike.
    photos = [np.ascontiguousarray(astronaut[y : y + 300, 100:400]) for y in (0, 30, 200)]
    for options in ({}, {"score_threshold": 0.02}):
        inside = create_detector("tiny_ssd", weights=exported, **options).detect(photos)
        outside = create_detector("tiny_ssd", **options).detect(photos)
        assert len(outside[0]) >= 1
        for one, other in zip(inside, outside, strict=True):
            close(one, other)
    for photo in (astronaut, np.ascontiguousarray(astronaut[:200])):
        (found,) = create_detector("tiny_ssd", weights=exported).detect([photo])
        (wanted,) = create_detector("tiny_ssd").detect([photo])
        close(found, wanted)


@pytest.fixture
def four_faces(astronaut: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A photo with four times the same face."""
    return np.tile(astronaut[:300, 80:380], (2, 2, 1))


def test_a_lower_overlap_suppresses_further(
    exported: Path, astronaut: npt.NDArray[np.uint8]
) -> None:
    # One face beside another: what lies between them overlaps both by less than 0.45.
    photo = astronaut[:300, 80:380].copy()
    photo[70:210, 149:269] = astronaut[50:190, 165:285]

    def found(overlap: float) -> Detections:
        options = {"score_threshold": 0.02, "nms_threshold": overlap}
        return create_detector("tiny_ssd", weights=exported, **options).detect([photo])[0]

    few, many, all_that_there_are = found(0.1), found(0.45), found(0.9)
    assert 2 <= len(few) < len(many)
    assert len(many) <= len(all_that_there_are)


def test_no_face_is_no_rows_and_other_sizes_are_refused(
    exported: Path, astronaut: npt.NDArray[np.uint8]
) -> None:
    detector = create_detector("tiny_ssd", weights=exported)
    (found,) = detector.detect([np.full((90, 120, 3), 127, np.uint8)])
    assert found.boxes.shape == (0, 4)
    with pytest.raises(BackendError):
        create_detector("tiny_ssd", weights=exported, input_size=320).detect([astronaut])


def test_at_most_so_many_a_photo(exported: Path, four_faces: npt.NDArray[np.uint8]) -> None:
    options = {"score_threshold": 0.02, "max_detections": 3}
    (found,) = create_detector("tiny_ssd", weights=exported, **options).detect([four_faces])
    assert len(found) == 3
    assert (np.diff(found.scores) <= 0).all()


def test_other_networks_have_none(tmp_path: Path, require: Require) -> None:
    require("onnx")
    with pytest.raises(ConfigError, match="suppression is known of the detector tiny_ssd alone"):
        export("resnet18", None, tmp_path / "out.onnx", with_nms=True)
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_is_told_of_the_network(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a readable ONNX file"):
        create_detector("tiny_ssd", weights=tmp_path / "no.onnx")
