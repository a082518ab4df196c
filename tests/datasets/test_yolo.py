"""YOLO's files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from PIL import Image

from facekit import datasets
from facekit.datasets import yolo
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import DatasetError, OutputError

SIZES = {"a/1.jpg": (100, 200), "b.png": (37, 41), "c.webp": (9, 7)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset's folder with its images."""
    for name, (height, width) in SIZES.items():
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (width, height)).save(file)
    return tmp_path


FACE = FaceRecord(box=(10, 20, 60, 100))
RECORDS = [
    ImageRecord(name="c.webp", size=(9, 7)),
    ImageRecord(
        name="a/1.jpg",
        size=(100, 200),
        faces=(FACE, FaceRecord(box=(0, 0, 200, 100), label="mask")),
    ),
    ImageRecord(name="b.png", size=(37, 41), faces=(FaceRecord(box=(1.3, 2.7, 40.9, 36.1)),)),
]


def test_everything_comes_back_in_order(root: Path) -> None:
    assert datasets.write(iter(RECORDS), f"yolo:{root}").lost == {}
    records = list(datasets.read(f"yolo:{root}"))
    assert records == RECORDS
    assert all(record.path is not None and record.path.is_file() for record in records)


def test_the_files_are_yolos(root: Path) -> None:
    yolo.write(RECORDS, root)
    assert (root / "labels" / "a" / "1.txt").read_text() == "0 0.175 0.6 0.25 0.8\n1 0.5 0.5 1 1\n"
    assert (root / "labels" / "c.txt").read_text() == ""
    assert (root / "train.txt").read_text() == "./images/c.webp\n./images/a/1.jpg\n./images/b.png\n"
    settings = yaml.safe_load((root / "data.yaml").read_text())
    assert settings == {"train": "train.txt", "names": {0: "face", 1: "mask"}}


def test_a_second_split_keeps_the_numbers_of_the_first(root: Path) -> None:
    yolo.write(RECORDS[1:2], root)
    hat = FaceRecord(box=(0, 0, 5, 5), label="hat")
    mask = FaceRecord(box=(0, 0, 5, 5), label="mask")
    val = [ImageRecord(name="b.png", size=(37, 41), faces=(hat, mask))]
    yolo.write(val, root, split="val")
    settings = yaml.safe_load((root / "data.yaml").read_text())
    assert settings["names"] == {0: "face", 1: "mask", 2: "hat"}
    assert (settings["train"], settings["val"]) == ("train.txt", "val.txt")
    assert list(yolo.read(root, split="val")) == val
    assert list(yolo.read(root)) == [RECORDS[1], *val]
    with pytest.raises(DatasetError, match=r"has the labels face, mask, hat already"):
        yolo.write(val, root, split="val", labels=["face", "mask"])
    with pytest.raises(DatasetError, match="the label 'glasses' is not in labels"):
        yolo.write(
            [RECORDS[1].replace(faces=(FaceRecord(box=FACE.box, label="glasses"),))],
            root,
            labels=["face", "mask", "hat"],
        )


def test_boxes_are_cut_off_at_the_borders_and_counted(root: Path) -> None:
    outside = FaceRecord(box=(-5, 90, 50, 110))
    gone = FaceRecord(box=(300, 0, 310, 10))
    record = ImageRecord(name="a/1.jpg", root=root / "images", faces=(outside, gone, FACE))
    losses = datasets.write([record], f"yolo:{root}")
    assert losses.faces == 2
    assert losses.lost == {
        "parts of boxes outside the image": 2,
        "faces without area in the image": 1,
    }
    (read,) = yolo.read(root)
    assert [face.box for face in read.faces] == [(0, 90, 50, 100), FACE.box]


@pytest.mark.parametrize("layout", ["labels/{}", "val/labels/{}", "labels/val/{}", "{}"])
def test_folders_without_lists(layout: str, root: Path, tmp_path: Path) -> None:
    split = "val" if "val" in layout else None
    labels = tmp_path / "set" / layout.format("1.txt")
    labels.parent.mkdir(parents=True)
    labels.write_text("\n0 0.175 0.6 0.25 0.8\n\n")
    (tmp_path / "set" / "classes.txt").write_text("face\n\n")
    image = tmp_path / "set" / layout.replace("labels", "images").format("1.JPG")
    image.parent.mkdir(parents=True, exist_ok=True)
    (root / "images" / "a" / "1.jpg").rename(image)
    (read,) = yolo.read(tmp_path / "set", split=split)
    assert (read.name, read.path, read.size) == ("1.JPG", image, (100, 200))
    assert read.faces == (FACE,)
    assert read.faces[0].line == 2
    with pytest.raises(DatasetError, match=r"no test.txt and no labels/test"):
        list(yolo.read(tmp_path / "set", split="test"))


def test_an_outline_is_a_polygon_and_the_box_around_it(root: Path) -> None:
    yolo.write(RECORDS[1:2], root)
    (root / "labels" / "a" / "1.txt").write_text("0 0.1 0.2 0.5 0.2 0.3 0.9\n")
    (read,) = yolo.read(root)
    assert read.faces[0].polygons == ((20, 20, 100, 20, 60, 90),)
    assert read.faces[0].box == (20, 20, 100, 90)


def test_a_listed_image_without_a_file_of_labels_has_no_faces(root: Path) -> None:
    yolo.write(RECORDS, root)
    (root / "labels" / "b.txt").unlink()
    with (root / "train.txt").open("a") as lines:
        lines.write("\n")
    assert list(yolo.read(root))[2] == RECORDS[2].replace(faces=())


def test_a_box_without_area_is_named(root: Path) -> None:
    yolo.write(RECORDS[1:2], root)
    file = root / "labels" / "a" / "1.txt"
    file.write_text("0 0.5 0.5 0.5 0\n")
    (read,) = yolo.read(root)
    assert read.faces[0].ignore
    assert str(read.repairs[0]).startswith(f"{file}:1: empty-box")


def test_what_cannot_be_written(root: Path) -> None:
    twice = [ImageRecord(name=name, size=(9, 9)) for name in ("a.jpg", "a.png")]
    with pytest.raises(DatasetError, match=r"'a.txt' is taken"):
        yolo.write(twice, root)
    for name in ("../a.jpg", "a\nb.jpg"):
        with pytest.raises(DatasetError):
            yolo.write([ImageRecord(name=name, size=(9, 9))], root)
    with pytest.raises(DatasetError, match="its size is not known"):
        datasets.write([ImageRecord(name="x.jpg")], f"yolo:{root}")
    assert not (root / "train.txt").exists()
    (root / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        yolo.write([], root / "file")


MALFORMED = {
    "four numbers": ("0 0.5 0.5 0.5", "expected a class and 4 numbers"),
    "six numbers": ("0 0.5 0.5 0.5 0.5 0.9", "expected a class and 4 numbers"),
    "half a point": ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "expected a class and 4 numbers"),
    "a word": ("0 0.5 0.5 0.5 wide", "expected fractions of the image, 0 to 1, got 'wide'"),
    "pixels": ("0 50 50 20 20", "expected fractions of the image, 0 to 1, got '50'"),
    "negative": ("0 0.5 0.5 -0.5 0.5", "expected fractions"),
    "not a number": ("0 0.5 nan 0.5 0.5", "expected fractions"),
    "infinite": ("0 0.5 0.5 inf 0.5", "expected fractions"),
    "an unknown class": ("2 0.5 0.5 0.5 0.5", "expected a class, 0 to 1, got '2'"),
    "a name": ("face 0.5 0.5 0.5 0.5", "expected a class, 0 to 1, got 'face'"),
    "a negative class": ("-1 0.5 0.5 0.5 0.5", "expected a class"),
    "a fraction of a class": ("0.5 0.5 0.5 0.5 0.5", "expected a class"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, root: Path) -> None:
    line, reason = MALFORMED[name]
    yolo.write(RECORDS[1:2], root)
    file = root / "labels" / "a" / "1.txt"
    file.write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n")
    with pytest.raises(DatasetError) as caught:
        list(yolo.read(root))
    assert (caught.value.file, caught.value.line) == (str(file), 2)
    assert reason in caught.value.reason


SETTINGS = {
    "no YAML": ("names: [a\nb", 2, "not YAML"),
    "a control character": ("names: [\x01]", None, "not YAML"),
    "a date that is none": ("names: 2020-99-99", None, "not YAML"),
    "a list": ("- a", None, "expected names"),
    "no names": ("nc: 2", None, "names must be texts, numbered from 0, got None"),
    "an empty list": ("names: []", None, "names must be texts"),
    "a number": ("names: 5", None, "names must be texts"),
    "numbers": ("names: [1, 2]", None, "names must be texts"),
    "counted from 1": ("names: {1: a}", None, "numbered from 0"),
    "twice": ("names: [a, a]", None, "a name is there twice"),
    "key points": ("names: [a]\nkpt_shape: [5, 3]", None, "key points are not read"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_malformed_settings(name: str, root: Path) -> None:
    text, line, reason = SETTINGS[name]
    yolo.write(RECORDS, root)
    (root / "data.yaml").write_text(text)
    with pytest.raises(DatasetError) as caught:
        list(yolo.read(root))
    assert (caught.value.file, caught.value.line) == (str(root / "data.yaml"), line)
    assert reason in caught.value.reason
    with pytest.raises(DatasetError, match=r"data\.yaml"):  # nor is it written over
        yolo.write(RECORDS, root)


def test_malformed_lists_and_missing_files(root: Path) -> None:
    yolo.write(RECORDS, root)
    (root / "train.txt").write_text("./images/b.png\n./images/../../x.png\n")
    with pytest.raises(DatasetError, match="would leave") as caught:
        list(yolo.read(root))
    assert (caught.value.file, caught.value.line) == (str(root / "train.txt"), 2)
    (root / "train.txt").unlink()
    (root / "images" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"b.txt: no image b in .*images; its size is needed"):
        list(yolo.read(root))
    (root / "data.yaml").unlink()
    with pytest.raises(DatasetError, match=r"no data.yaml or classes.txt"):
        list(yolo.read(root))
    assert next(yolo.read(root, labels=["face", "mask"])).name == "a/1.jpg"


def test_ignored_faces_are_left_out_and_counted(root: Path) -> None:
    faces = (FACE, dataclasses.replace(FACE, ignore=True))
    losses = datasets.write([RECORDS[1].replace(faces=faces)], f"yolo:{root}")
    assert (losses.faces, losses.lost) == (1, {"ignored faces": 1})
    (read,) = yolo.read(root)
    assert read.faces == (FACE,)
