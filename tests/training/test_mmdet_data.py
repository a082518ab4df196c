"""Datasets as MMDetection reads them; mmdet itself is not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import datasets, images
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, DatasetError
from facekit.training.data_source import DataSource
from facekit.training.mmdet.data import Faces


@pytest.fixture
def photos(tmp_path: Path, astronaut: npt.NDArray[np.uint8]) -> Path:
    """Three photos in COCO's JSON: a bare face, a masked and a small one, none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    faces = [
        (FaceRecord(box=(170.0, 60.0, 290.0, 220.0), label="bare"),),
        (
            FaceRecord(box=(170.0, 60.0, 290.0, 220.0), label="masked"),
            FaceRecord(box=(10.0, 10.0, 40.0, 26.0), label="bare"),
        ),
        (),
    ]
    for number in range(3):
        images.write(folder / f"{number}.jpg", astronaut)
    records = [ImageRecord(name=f"{n}.jpg", root=folder, faces=faces[n]) for n in range(3)]
    datasets.write(records, f"coco:{folder / 'faces.json'}")
    return folder


def source(photos: Path, **options: Any) -> DataSource:
    return DataSource(data=f"coco:{photos / 'faces.json'}", **options)


def written(faces: Faces, folder: Path) -> dict[str, Any]:
    return json.loads(faces.write(folder, "train").read_text())  # type: ignore[no-any-return]


def test_one_class_takes_all_faces_and_images_are_found_from_anywhere(
    photos: Path, tmp_path: Path
) -> None:
    told = written(Faces.read([source(photos)], ("face",), 17), tmp_path / "data")
    assert [one["name"] for one in told["categories"]] == ["face"]
    assert [Path(one["file_name"]) for one in told["images"]] == [
        (photos / f"{number}.jpg").resolve() for number in range(3)
    ]
    assert [one["iscrowd"] for one in told["annotations"]] == [0, 0, 1], "16 px are too low"


def test_several_classes_are_the_labels(photos: Path, tmp_path: Path) -> None:
    told = written(Faces.read([source(photos)], ("masked", "bare"), 0), tmp_path / "data")
    assert [one["name"] for one in told["categories"]] == ["masked", "bare"]
    assert [one["category_id"] for one in told["annotations"]] == [2, 1, 2]
    assert [one["iscrowd"] for one in told["annotations"]] == [0, 0, 0]
    with pytest.raises(ConfigError, match=r"1\.jpg: a 'masked' is none of classes: bare, covered"):
        Faces.read([source(photos)], ("bare", "covered"), 0)


def test_parts_and_several_datasets(photos: Path) -> None:
    sources = [source(photos, part=(0, 0.3)), source(photos, part=(0.3, 1))]
    assert [len(Faces.read([one], ("face",), 0).records) for one in sources] == [1, 2]
    assert len(Faces.read(sources, ("face",), 0).records) == 3
    with pytest.raises(DatasetError, match=r"no photos in its part \(0\.0, 0\.1\)"):
        Faces.read([source(photos, part=(0, 0.1))], ("face",), 0)


def test_images_that_a_dataset_carries_get_files(photos: Path, tmp_path: Path) -> None:
    records = list(datasets.read(f"coco:{photos / 'faces.json'}"))
    carried = [one.replace(root=None, data=one.path.read_bytes()) for one in records if one.path]
    told = written(Faces(carried, ("bare", "masked")), tmp_path / "data")
    for image in told["images"]:
        assert images.read(Path(image["file_name"])).shape == (512, 512, 3)
    assert len({image["file_name"] for image in told["images"]}) == 3


def test_images_that_are_not_there_are_said(photos: Path, tmp_path: Path) -> None:
    (photos / "1.jpg").unlink()
    with pytest.raises(ConfigError, match=r"there is no .*1\.jpg: give the folder as `images`"):
        Faces.read([source(photos)], ("face",), 0)
    text = tmp_path / "boxes.txt"
    text.write_text("none.jpg\n1\n1 2 30 40 0 0 0 0 0 0\n")
    with pytest.raises(ConfigError, match=r"give the folder as `images`|where its images are"):
        Faces.read([DataSource(data=f"wider_face:{text}")], ("face",), 0)
