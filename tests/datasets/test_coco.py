"""COCO's JSON: the way there and back, pycocotools' view of it, every malformed element."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit import datasets
from facekit.datasets import coco
from facekit.datasets.coco_objects import keypoint_names, skeleton
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, DatasetError, OutputError

POINTS = tuple((10.5 + i, 20.25 + i) for i in range(68))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.json"


def record(*faces: FaceRecord, name: str = "a/1.jpg", **more: Any) -> ImageRecord:
    return ImageRecord(name=name, size=more.pop("size", (100, 200)), faces=faces, **more)


RICH = record(
    FaceRecord(box=(1.1, 2.2, 30.3, 40.4), landmarks=POINTS, scheme="ibug68"),
    FaceRecord(
        box=(5, 5, 9, 9),
        ignore=True,
        attributes={"blur": 2, "who": "A", "sure": True, "age": 3.5},
        polygons=((5.0, 5.0, 9.0, 5.0, 5.0, 9.0), (6.0, 6.0, 7.0, 6.0, 7.0, 7.0)),
    ),
    FaceRecord(
        box=(0, 0, 90, 95),
        landmarks=POINTS,
        scheme="ibug68",
        visibility=(0, 1, 2, *[2] * 65),
    ),
    FaceRecord(box=(3, 3, 8, 9), label="mask"),
    attributes={"event": "Parade"},
)


def test_everything_comes_back(file: Path) -> None:
    empty = record(name="b.png", size=(7, 9))
    losses = datasets.write(iter([RICH, empty]), f"coco:{file}")
    assert (losses.images, losses.faces, losses.lost) == (2, 4, {})
    records = list(datasets.read(f"coco:{file}", images="photos"))
    assert records == [RICH, empty]
    assert records[0].path == Path("photos/a/1.jpg")
    assert [one.repairs for one in records] == [(), ()]


def test_the_json_is_cocos(file: Path) -> None:
    datasets.write([RICH, record(name="b.png", size=(7, 9))], f"coco:{file}")
    written = json.loads(file.read_text())
    assert [image["id"] for image in written["images"]] == [1, 2]
    assert written["images"][0] | {"attributes": 0} == {
        "id": 1,
        "file_name": "a/1.jpg",
        "width": 200,
        "height": 100,
        "attributes": 0,
    }
    first, second, _, fourth = written["annotations"]
    assert (first["id"], first["image_id"], first["category_id"]) == (1, 1, 1)
    assert (first["bbox"], first["area"]) == ([1.1, 2.2, 29.2, 38.2], 1115.44)
    assert (first["num_keypoints"], first["keypoints"][:6]) == (
        68,
        [10.5, 20.25, 2, 11.5, 21.25, 2],
    )
    assert (second["iscrowd"], second["area"]) == (1, 8.5)
    # COCOeval wants keypoints of every annotation of a category that has some.
    assert (second["num_keypoints"], second["keypoints"]) == (0, [0] * 204)
    assert "keypoints" not in fourth
    face, mask = written["categories"]
    assert (face["id"], face["name"], mask["id"], mask["name"]) == (1, "face", 2, "mask")
    assert len(set(face["keypoints"])) == 68
    assert (face["keypoints"][36], face["keypoints"][45]) == ("right_eye_0", "left_eye_3")
    assert face["skeleton"][-1] == [68, 61]


def test_the_skeleton_joins_points_of_one_part_only() -> None:
    names = keypoint_names("ibug68", 68)
    for start, end in skeleton("ibug68"):
        assert names[start - 1].rpartition("_")[0] == names[end - 1].rpartition("_")[0]
    assert keypoint_names("arcface5", 5)[4] == "arcface5_4"
    assert skeleton("arcface5") == []


def test_a_face_is_category_1_whatever_comes_first(file: Path) -> None:
    faces = [FaceRecord(box=(0, 0, 4, 4), label=label) for label in ("b", "a", "face")]
    coco.write([record(*faces)], file)
    names = {one["name"]: one["id"] for one in json.loads(file.read_text())["categories"]}
    assert names == {"face": 1, "b": 2, "a": 3}
    coco.write([record(*faces[:2])], file, labels=["a", "b", "c"])
    names = {one["name"]: one["id"] for one in json.loads(file.read_text())["categories"]}
    assert names == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(DatasetError, match="the label 'face' is not in labels: a, b"):
        coco.write([record(*faces)], file, labels=["a", "b"])
    with pytest.raises(ConfigError, match="labels"):
        coco.write([record(*faces)], file, labels=["a", "a"])


def test_sizes_are_read_from_upright_headers(tmp_path: Path, file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    coco.write([ImageRecord(name="a.jpg", root=tmp_path)], file)
    (read,) = coco.read(file)
    assert read.size == (30, 20)


@pytest.mark.parametrize("root", [None, "."])
def test_an_image_of_unknown_size(root: str | None, tmp_path: Path, file: Path) -> None:
    file.write_text("old")
    source = datasets.Provenance("wider.txt", 7)
    place = None if root is None else tmp_path
    unknown = ImageRecord(name="a.jpg", root=place, source=source)
    with pytest.raises(DatasetError, match=r"wider.txt:7: a.jpg: its size is not known"):
        datasets.write([unknown], f"coco:{file}")
    assert file.read_text() == "old"
    losses = datasets.write([unknown, record()], f"coco:{file}", unsized="skip")
    assert (losses.images, losses.lost) == (1, {"images of unknown size": 1})


def test_rectangles_for_trainers_that_want_a_segmentation(file: Path) -> None:
    coco.write([record(FaceRecord(box=(1, 2, 4, 6)))], file, rectangles=True)
    (annotation,) = json.loads(file.read_text())["annotations"]
    assert annotation["segmentation"] == [[1, 2, 4, 2, 4, 6, 1, 6]]
    assert annotation["area"] == 12


def test_one_category_has_one_scheme(file: Path) -> None:
    other = FaceRecord(box=(0, 0, 4, 4), landmarks=POINTS[:5], scheme="arcface5")
    with pytest.raises(DatasetError, match=r"68 points of 'ibug68' and 5 of 'arcface5'"):
        coco.write([RICH, record(other)], file)
    assert not file.exists()
    coco.write([record(other)], file)
    assert next(coco.read(file)).faces == (other,)


def test_a_number_that_json_cannot_hold(file: Path) -> None:
    with pytest.raises(DatasetError, match="a number that JSON cannot hold"):
        coco.write([record(FaceRecord(box=(0, 0, 4, float("nan"))))], file)
    with pytest.raises(OutputError, match="does not exist"):
        coco.write([], file / "none" / "x.json")


@pytest.mark.parametrize("name", ["coco", "detectron2", "mmdet"])
def test_an_attribute_that_json_cannot_hold_is_counted(name: str, file: Path) -> None:
    face = FaceRecord(box=(0, 0, 4, 4), attributes={"age": float("nan"), "blur": 1})
    losses = datasets.write([record(face)], f"{name}:{file}")
    assert losses.lost == {"attributes.age": 1}
    assert next(datasets.read(f"{name}:{file}")).faces[0].attributes == {"blur": 1}


def test_text_that_is_no_unicode(file: Path) -> None:
    with pytest.raises(DatasetError, match=r"text that is not Unicode: .*\\ud800"):
        datasets.write([record(name="\ud800.jpg")], f"wider_face:{file}")
    assert not file.exists()


def test_a_killed_writer_leaves_the_old_file(file: Path) -> None:
    file.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from facekit.datasets import coco\n"
        "from facekit.datasets.records import FaceRecord, ImageRecord\n"
        "def records():\n"
        "    for i in range(2000):\n"
        "        yield ImageRecord(name='a', size=(9, 9), faces=(FaceRecord(box=(0, 0, 1, 1)),))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "coco.write(records(), sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], check=False, env=dict(os.environ)
    )
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == "old"


def test_foreign_files_in_any_order(file: Path) -> None:
    file.write_text(
        json.dumps(
            {
                "annotations": [
                    {"image_id": 9, "category_id": 3, "bbox": [1, 2, 0, 4], "score": 1},
                    {
                        "image_id": 7,
                        "category_id": 3,
                        "bbox": [1, 2, 3, 4],
                        "segmentation": {"size": [9, 9], "counts": "x"},
                        "keypoints": [1, 2, 2, 3, 4, 2],
                        "attributes": {"ok": 1, "strange": [1]},
                    },
                ],
                "categories": [{"id": 3, "name": "head"}],
                "images": [
                    {"id": 7, "file_name": "7.jpg"},
                    {"id": 9, "file_name": "9.jpg", "width": 5, "height": 6},
                ],
            },
            indent=1,
        )
    )
    seven, nine = coco.read(file)
    assert (seven.name, seven.size, nine.size) == ("7.jpg", None, (6, 5))
    (face,) = seven.faces
    assert (face.label, face.scheme, face.box) == ("head", "points2", (1, 2, 4, 6))
    assert (face.polygons, face.attributes) == (None, {"ok": 1})
    codes = [repair.code for repair in seven.repairs]
    assert codes == ["no-size", "mask-dropped", "attribute-dropped"]
    assert (face.line, str(nine.repairs[0])) == (
        14,
        f"{file}:3: empty-box: 0 x 4 has no area; kept as ignored",
    )
    assert nine.faces[0].ignore


def test_the_scheme_is_known_by_the_names_of_its_points(file: Path) -> None:
    coco.write([RICH], file)
    text = json.loads(file.read_text())
    del text["categories"][0]["scheme"]
    file.write_text(json.dumps(text))
    assert list(coco.read(file)) == [RICH]


def lines(
    annotation: str = '"bbox": [1, 2, 3, 4]', image: str = '"width": 9, "height": 9', **more: str
) -> str:
    """A file whose image stands in line 2, annotation in line 4, category in line 6."""
    name = more.get("name", '"file_name": "a.jpg"')
    category = more.get("category", '"id": 1, "name": "face"')
    ids = more.get("ids", '"image_id": 1, "category_id": 1')
    return "\n".join(
        [
            '{"images": [',
            f'{{"id": 1, {name}, {image}}}],',
            '"annotations": [',
            f"{{{ids}, {annotation}}}],",
            '"categories": [',
            f"{{{category}}}",
            "]}",
        ]
    )


BOX = '"bbox": [1, 2, 3, 4], '
MALFORMED: dict[str, tuple[str, int | None, str]] = {
    "empty": ("", 1, "expected a JSON object or list"),
    "no JSON": ("images", 1, "expected a JSON object or list"),
    "cut off": (lines()[:40], 2, "not JSON"),
    "cut off after a list": (lines().rpartition("}")[0], 7, "expected , or }, got 'the end'"),
    "two files": (lines() + "{}", 7, "expected nothing after"),
    "a comma too many": (lines() + ",", 7, "expected nothing after"),
    "a key that is no text": ("{1: 2}", 1, "a key is a text"),
    "a key without a value": ('{"images"}', 1, "expected :"),
    "deep": ("[" + "[" * 200_000, 1, "not JSON"),
    "a huge number": (lines('"bbox": [1, 2, 3, ' + "9" * 5000 + "]"), 4, "not JSON"),
    "an empty object": ("{}", None, "there is no list 'images'"),
    "a list": ("[]", None, "there is no list 'images'"),
    "another object": ('{"a": 1}', None, "there is no list 'images'"),
    "no annotations": ('{"images": [], "categories": []}', None, "no list 'annotations'"),
    "no categories": ('{"images": [], "annotations": []}', None, "no list 'categories'"),
    "images are no list": ('{\n"images": {"id": 1}}', 2, "expected a list of objects in 'images'"),
    "an image is no object": ('{"images": [\n1]}', 2, "expected a list of objects in 'images'"),
    "an image without id": ('{"images": [\n{"id": "1"}]}', 2, "images[0]: id must be a whole"),
    "an image twice": ('{"images": [\n{"id": 1},\n{"id": 1}]}', 3, "the image id 1 is there twice"),
    "no file name": (lines(name='"a": 1'), 2, "file_name must be a name, got None"),
    "out of the folder": (lines(name='"file_name": "../a"'), 2, "would leave the dataset's folder"),
    "an absolute name": (lines(name='"file_name": "/a"'), 2, "would leave the dataset's folder"),
    "an empty name": (lines(name='"file_name": ""'), 2, "not a file name"),
    "half a size": (lines(image='"width": 9'), 2, "width and height must be whole"),
    "no width": (lines(image='"width": 0, "height": 9'), 2, "width and height must be whole"),
    "a fraction": (lines(image='"width": 9.5, "height": 9'), 2, "width and height must be whole"),
    "a text as size": (lines(image='"width": "9", "height": 9'), 2, "must be whole"),
    "a huge image": (lines(image='"width": 1e9, "height": 9'), 2, "must be whole"),
    "image attributes": (
        lines(image='"width": 9, "height": 9, "attributes": [1]'),
        2,
        "attributes must be an object",
    ),
    "an annotation of no image": (
        lines(ids='"image_id": 5, "category_id": 1'),
        4,
        "of the image id 5, which is not in 'images'",
    ),
    "no image id": (lines(ids='"category_id": 1'), 4, "image_id must be a whole number, got None"),
    "an unknown category": (
        lines(ids='"image_id": 1, "category_id": 5'),
        4,
        "category_id 5 is not in 'categories'",
    ),
    "no category": (lines(ids='"image_id": 1'), 4, "category_id None is not in"),
    "no box": (lines('"area": 1'), 4, "bbox must be 4 numbers, got None"),
    "three numbers": (lines('"bbox": [1, 2, 3]'), 4, "bbox must be 4 numbers, got [1, 2, 3]"),
    "texts in a box": (lines('"bbox": [1, 2, 3, "4"]'), 4, "bbox must be 4 numbers"),
    "null in a box": (lines('"bbox": [1, 2, 3, null]'), 4, "bbox must be 4 numbers"),
    "true in a box": (lines('"bbox": [1, 2, 3, true]'), 4, "bbox must be 4 numbers"),
    "NaN": (lines('"bbox": [1, 2, 3, NaN]'), 4, "NaN is no JSON"),
    "infinity": (lines('"bbox": [1, 2, 3, 1e999]'), 4, "bbox must be 4 numbers"),
    "beyond any image": (lines('"bbox": [1, 2, 3, 1e12]'), 4, "bbox must be 4 numbers"),
    "beyond after adding": (lines('"bbox": [9e8, 2, 9e8, 4]'), 4, "not a box"),
    "a crowd of two": (lines(BOX + '"iscrowd": 2'), 4, "iscrowd must be 0 or 1, got 2"),
    "ignore of a text": (lines(BOX + '"ignore": "no"'), 4, "ignore must be 0 or 1"),
    "a flat polygon": (lines(BOX + '"segmentation": [1, 2, 3, 4, 5, 6]'), 4, "a polygon must be"),
    "two corners": (lines(BOX + '"segmentation": [[1, 2, 3, 4]]'), 4, "at least three x, y pairs"),
    "odd numbers": (lines(BOX + '"segmentation": [[1, 2, 3, 4, 5, 6, 7]]'), 4, "got 7 numbers"),
    "a text as outline": (lines(BOX + '"segmentation": "no"'), 4, "segmentation must be a list"),
    "two numbers a point": (lines(BOX + '"keypoints": [1, 2]'), 4, "got 2 numbers"),
    "a visibility of 3": (lines(BOX + '"keypoints": [1, 2, 3]'), 4, "must be 0, 1 or 2"),
    "points of texts": (lines(BOX + '"keypoints": ["1", 2, 2]'), 4, "keypoints must be numbers"),
    "face attributes": (lines(BOX + '"attributes": 1'), 4, "attributes must be an object, got 1"),
    "a category without name": (lines(category='"id": 1'), 6, "a category has an id and a name"),
    "a category without id": (lines(category='"name": "a"'), 6, "id must be a whole number"),
    "a scheme of numbers": (
        lines(category='"id": 1, "name": "a", "scheme": 5'),
        6,
        "scheme is a name, got 5",
    ),
    "a category twice": (
        lines(category='"id": 1, "name": "a"},\n{"id": 1, "name": "b"'),
        7,
        "a category has an id and a name",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, file: Path) -> None:
    text, line, reason = MALFORMED[name]
    file.write_text(text)
    with pytest.raises(DatasetError) as caught:
        list(coco.read(file))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


def test_the_lines_of_the_table_are_otherwise_well_formed(file: Path) -> None:
    file.write_text(lines())
    (read,) = coco.read(file)
    assert (read.source, read.faces[0].line) == (datasets.Provenance(str(file), 2), 4)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        list(coco.read(tmp_path / "none.json"))
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DatasetError, match="not utf-8 text"):
        list(coco.read(tmp_path / "a.json"))


Require = Callable[[str], ModuleType]


# pycocotools 2.0 hands numpy 2 its arrays by an older protocol.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_loads_and_evaluates_boxes(file: Path, require: Require) -> None:
    loaded, evaluate = _pycocotools(file, [RICH, record(name="b.png")], require)
    assert loaded.getCatIds(catNms=["face"]) == [1]
    assert loaded.getImgIds() == [1, 2]
    assert loaded.annToMask(loaded.anns[2]).shape == (100, 200)
    assert loaded.annToMask(loaded.anns[2])[5:9, 5:9].any()
    # The two faces that count are found; what is found in the ignored one costs nothing.
    found = [
        {"image_id": 1, "category_id": 1, "bbox": [1.1, 2.2, 29.2, 38.2], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 90, 95], "score": 0.8},
        {"image_id": 1, "category_id": 1, "bbox": [5, 5, 4, 4], "score": 0.95},
        {"image_id": 1, "category_id": 2, "bbox": [3, 3, 5, 6], "score": 0.7},
    ]
    assert evaluate(found, "bbox")[0] == pytest.approx(1)
    # Without the crowd flag the third would have halved the precision at the top.
    assert evaluate([*found, {**found[3], "score": 0.9, "bbox": [50, 50, 5, 5]}], "bbox")[0] < 0.8


def test_pycocotools_evaluates_keypoints(file: Path, require: Require) -> None:
    _, evaluate = _pycocotools(file, [RICH], require)
    keypoints = [value for x, y in POINTS for value in (x, y, 2)]
    found = [
        {"image_id": 1, "category_id": 1, "keypoints": keypoints, "score": score}
        for score in (0.9, 0.8)
    ]
    assert evaluate(found, "keypoints")[0] == pytest.approx(1)
    shifted = [value + 30 * (i % 3 < 2) for i, value in enumerate(keypoints)]
    assert evaluate([{**one, "keypoints": shifted} for one in found], "keypoints")[0] < 0.1


def _pycocotools(
    file: Path, records: list[ImageRecord], require: Require
) -> tuple[Any, Callable[[list[dict[str, Any]], str], Any]]:
    """What pycocotools makes of records, and its evaluation: statistics of found objects."""
    datasets.write(records, f"coco:{file}")
    truth = require("pycocotools.coco").COCO(str(file))

    def evaluate(found: list[dict[str, Any]], kind: str) -> Any:
        evaluation = require("pycocotools.cocoeval").COCOeval(truth, truth.loadRes(found), kind)
        if kind == "keypoints":
            evaluation.params.catIds = [1]
            evaluation.params.kpt_oks_sigmas = np.full(68, 0.05)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return evaluation.stats

    return truth, evaluate
