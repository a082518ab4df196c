"""Reading faces for training: what is kept around a face, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import datasets, images
from facekit.datasets import FaceRecord, ImageRecord
from facekit.errors import DatasetError
from facekit.mean_shape import MEAN_SHAPE_68

pytestmark = pytest.mark.usefixtures("training")

Array = npt.NDArray[Any]


def write(folder: Path, image: Array, *faces: FaceRecord) -> str:
    images.write(folder / "a.png", image)
    record = ImageRecord(name="a.png", size=image.shape[:2], faces=faces)
    datasets.write([record], f"coco:{folder / 'a.json'}")
    return f"coco:{folder / 'a.json'}"


def annotated(x: float, y: float, side: float, **changes: Any) -> FaceRecord:
    points = (np.array(MEAN_SHAPE_68) - 0.5) * side + [x, y]
    values: dict[str, Any] = {"box": (x, y, x + side, y + side), "scheme": "ibug68"}
    values["landmarks"] = tuple((float(a), float(b)) for a, b in points)
    return FaceRecord(**values | changes)


def test_the_pixels_around_a_face_are_kept_and_its_points_with_them(tmp_path: Path) -> None:
    from facekit.training.landmarks.faces import read_faces

    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    (face,) = read_faces(write(tmp_path, image, annotated(250.25, 100.5, 60.0)), root=tmp_path)
    assert face.name == "a.png"
    # 1.9 squares of 1.06 times the extent, and up to two pixels of rounding.
    assert face.image.shape == pytest.approx((122, 122), abs=2)
    x, y = face.points[30] - np.array([250.25, 100.5]) - (np.array(MEAN_SHAPE_68[30]) - 0.5) * 60
    left, top = round(-x), round(-y)
    assert (x, y) == pytest.approx((-left, -top), abs=1e-2), "moved by whole pixels"
    grey = image[top : top + 120, left : left + 120] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(face.image[:120, :120], grey, atol=1)


def test_large_faces_are_shrunk(tmp_path: Path) -> None:
    from facekit.training.landmarks.faces import read_faces

    image = np.zeros((1200, 1200, 3), dtype=np.uint8)
    (face,) = read_faces(write(tmp_path, image, annotated(600.0, 600.0, 800.0)), root=tmp_path)
    assert float(face.square[2]) == pytest.approx(256, rel=0.01)
    assert max(face.image.shape) < 500


def test_faces_that_cannot_be_learnt_from_are_passed_over(tmp_path: Path) -> None:
    from facekit.training.landmarks.faces import read_faces

    image = np.zeros((100, 100, 3), dtype=np.uint8)
    bare = FaceRecord(box=(1, 1, 50, 50))
    spec = write(tmp_path, image, bare, annotated(50, 50, 40), annotated(50, 50, 40, ignore=True))
    assert len(read_faces(spec, root=tmp_path)) == 1
    with pytest.raises(DatasetError, match="no face with 68 points"):
        read_faces(write(tmp_path, image, bare), root=tmp_path)


def test_a_dataset_that_does_not_know_its_images_is_refused(tmp_path: Path) -> None:
    from facekit.training.landmarks.faces import read_faces

    (tmp_path / "faces.csv").write_text("x", encoding="utf-8")
    spec = write(tmp_path, np.zeros((60, 60, 3), np.uint8), annotated(30, 30, 20))
    (tmp_path / "a.png").unlink()
    with pytest.raises(Exception, match=r"a\.png"):
        read_faces(spec, root=tmp_path)
