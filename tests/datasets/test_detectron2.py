"""Detectron2's dicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facekit import datasets
from facekit.datasets import detectron2
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import DatasetError

POINTS = tuple((10.5 + i, 20.25 + i) for i in range(68))


def record(*faces: FaceRecord, name: str = "a/1.jpg", **more: Any) -> ImageRecord:
    return ImageRecord(name=name, size=(100, 200), faces=faces, **more)


RECORDS = [
    record(
        FaceRecord(box=(1.1, 2.2, 30.3, 40.4), landmarks=POINTS, scheme="ibug68"),
        FaceRecord(
            box=(-5, 5, 9, 9),
            label="mask",
            ignore=True,
            attributes={"blur": 2, "sure": True},
            polygons=((5.0, 5.0, 9.0, 5.0, 5.0, 9.0),),
        ),
        FaceRecord(
            box=(0, 0, 9, 9),
            landmarks=POINTS,
            scheme="ibug68",
            visibility=(0, 1, 2, *[2] * 65),
        ),
        attributes={"event": "Parade"},
    ),
    record(name="b.png"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.json"


def test_everything_comes_back(file: Path) -> None:
    losses = datasets.write(iter(RECORDS), f"detectron2:{file}")
    assert (losses.images, losses.faces, losses.lost) == (2, 3, {})
    assert list(datasets.read(f"detectron2:{file}")) == RECORDS
    datasets.write([], f"detectron2:{file}")
    assert (list(datasets.read(f"detectron2:{file}")), json.loads(file.read_text())) == ([], [])


def test_the_dicts_are_detectron2s(file: Path) -> None:
    detectron2.write(RECORDS, file)
    first, second = json.loads(file.read_text())
    assert first == next(detectron2.dicts(RECORDS))
    assert (first["file_name"], first["image_id"], second["image_id"]) == ("a/1.jpg", 0, 1)
    assert (first["height"], first["width"]) == (100, 200)
    face, mask, _ = first["annotations"]
    assert (face["bbox"], face["bbox_mode"]) == ([1.1, 2.2, 30.3, 40.4], 0)
    # As the tutorial: the rectangle's own four corners.
    assert face["segmentation"] == [[1.1, 2.2, 30.3, 2.2, 30.3, 40.4, 1.1, 40.4]]
    assert (face["category_id"], face["iscrowd"]) == (0, 0)
    assert (mask["category_id"], mask["iscrowd"]) == (1, 1)
    assert face["keypoints"][:6] == [10.5, 20.25, 2, 11.5, 21.25, 2]


def test_names_with_their_folder(file: Path) -> None:
    detectron2.write(RECORDS, file, root=file.parent, labels=["mask", "face"])
    (first, _) = json.loads(file.read_text())
    assert first["file_name"] == str(file.parent / "a" / "1.jpg")
    assert [one["category_id"] for one in first["annotations"]] == [1, 0, 1]
    assert list(detectron2.read(file)) == RECORDS
    with pytest.raises(DatasetError, match="would leave"):
        list(detectron2.read(file, images=file.parent / "elsewhere"))


def test_what_cannot_be_written(file: Path) -> None:
    file.write_text("old")
    with pytest.raises(DatasetError, match=r"a/1.jpg: a number that JSON cannot hold"):
        detectron2.write([record(FaceRecord(box=(0, 0, 1, float("inf"))))], file)
    with pytest.raises(DatasetError, match="the label 'mask' is not in labels: face"):
        detectron2.write(RECORDS, file, labels=["face"])
    with pytest.raises(DatasetError, match="its size is not known"):
        detectron2.write([ImageRecord(name="a.jpg")], file)
    assert file.read_text() == "old"


def entry(annotation: str, head: str = '"file_name": "a.jpg", "height": 9, "width": 8') -> str:
    return f'[\n{{{head}, "annotations": [{annotation}]}}]'


BOX = '"bbox": [1, 2, 3, 4], "bbox_mode": 0, "category_id": 0'


def test_foreign_files(file: Path) -> None:
    box = '"bbox": [1, 2, 3, 0], "bbox_mode": 1, "category_id": 1, "keypoints": [1, 2, 2]'
    file.write_text(entry(f"{{{box}}}"))
    (read,) = detectron2.read(file, labels=["face", "mask"])
    (face,) = read.faces
    assert (face.box, face.label, face.scheme, face.ignore) == ((1, 2, 4, 2), "mask", "points1", 1)
    assert [str(one) for one in read.repairs] == [
        f"{file}:2: empty-box: 3 x 0 has no area; kept as ignored"
    ]


MALFORMED = {
    "no JSON": ("", 1, "not JSON"),
    "cut off": (entry("")[:-1], 2, "got 'the end'"),
    "an object": ('{"annotations":\n[1]}', 2, "expected a list of Detectron2's dicts"),
    "a list of numbers": ("[1]", 1, "expected a list of Detectron2's dicts"),
    "no name": (entry("", '"height": 9, "width": 8'), 2, "expected a file_name"),
    "annotations are no list": (
        '[\n{"file_name": "a", "height": 9, "width": 8, "annotations": {}}]',
        2,
        "a list of annotations",
    ),
    "out of the folder": (
        entry("", '"file_name": "../a.jpg", "height": 9, "width": 8'),
        2,
        "would leave",
    ),
    "no size": (entry("", '"file_name": "a.jpg"'), 2, "width and height must be whole"),
    "an annotation is no dict": (entry("1"), 2, "a.jpg: an annotation must be a dict, got 1"),
    "no box": (entry('{"bbox_mode": 0}'), 2, "bbox must be 4 numbers, got None"),
    "no mode": (entry('{"bbox": [1, 2, 3, 4]}'), 2, "bbox_mode must be XYXY_ABS (0)"),
    "a rotated box": (entry('{"bbox": [1, 2, 3, 4], "bbox_mode": 4}'), 2, "got 4"),
    "a list as mode": (entry('{"bbox": [1, 2, 3, 4], "bbox_mode": []}'), 2, "bbox_mode must be"),
    "no category": (entry('{"bbox": [1, 2, 3, 4], "bbox_mode": 0}'), 2, "category_id must be 0"),
    "an unknown category": (
        entry('{"bbox": [1, 2, 3, 4], "bbox_mode": 0, "category_id": 5}'),
        2,
        "category_id must be 0 to 0, as in labels, got 5",
    ),
    "a label of numbers": (entry(f'{{{BOX}, "label": 5}}'), 2, "category_id must be"),
    "a crowd of two": (entry(f'{{{BOX}, "iscrowd": 2}}'), 2, "iscrowd must be 0 or 1"),
    "a scheme of numbers": (entry(f'{{{BOX}, "scheme": 2}}'), 2, "scheme a name"),
    "two corners": (entry(f'{{{BOX}, "segmentation": [[1, 2]]}}'), 2, "at least three x, y"),
    "two numbers a point": (entry(f'{{{BOX}, "keypoints": [1, 2]}}'), 2, "keypoints must be"),
    "attributes": (entry(f'{{{BOX}, "attributes": []}}'), 2, "attributes must be an object"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, file: Path) -> None:
    text, line, reason = MALFORMED[name]
    file.write_text(text)
    with pytest.raises(DatasetError) as caught:
        list(detectron2.read(file))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


def test_the_table_is_otherwise_well_formed(file: Path) -> None:
    file.write_text(entry(f"{{{BOX}}}"))
    (read,) = detectron2.read(file)
    assert read == ImageRecord(name="a.jpg", size=(9, 8), faces=(FaceRecord(box=(1, 2, 3, 4)),))
