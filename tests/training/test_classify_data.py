"""Labels as users write them: which face, which image, and what is wrong in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import DatasetError
from facekit.images import write

Image = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _training(require: Callable[[str], Any]) -> None:
    for package in ("torch", "lightning"):
        require(package)


@pytest.fixture
def photos(tmp_path: Path, astronaut: Image) -> Path:
    for name in ("a.jpg", "b.jpg", "c.png"):
        write(tmp_path / name, np.ascontiguousarray(astronaut[:128, 128:320]))
    return tmp_path


def samples(folder: Path, text: str, column: str = "label", **options: Any) -> Any:
    from facekit.training.classify.data import read_samples

    (folder / "labels.csv").write_text(text)
    return read_samples(str(folder / "labels.csv"), column=column, **options)


def test_a_row_an_image_with_any_column(photos: Path) -> None:
    read = samples(photos, "Age,Image_Name,Gender\n3,a.jpg,girl\n4,c,boy\n", "Gender")
    assert [(one.path.name, one.box, one.labels) for one in read] == [
        ("a.jpg", None, ("girl",)),
        ("c.png", None, ("boy",)),
    ]
    assert read[1].source.line == 3


@pytest.mark.parametrize(
    ("header", "row"), [("x,y,w,h", "10,20,30,40"), ("x_min,y_min,x_max,y_max", "10,20,40,60")]
)
def test_a_row_a_face(photos: Path, header: str, row: str) -> None:
    (one,) = samples(photos, f"Image_Name,{header},label\na.jpg,{row},happy\n")
    assert one.box == (10, 20, 40, 60)


def test_low_faces_are_left_out(photos: Path) -> None:
    text = "Image_Name,x,y,w,h,label\na.jpg,0,0,9,9,p\na.jpg,0,0,20,20,q\n"
    assert [one.labels for one in samples(photos, text, min_height=10)] == [("q",)]
    with pytest.raises(DatasetError, match=r"has no labelled face at least 30 px high"):
        samples(photos, text, min_height=30)


def test_labels_with_blanks_are_one_or_several(photos: Path) -> None:
    text = "Image_Name,label\na.jpg,hat  glasses hat\nb.jpg,\n"
    assert [one.labels for one in samples(photos, text, several=True)] == [("hat", "glasses"), ()]
    with pytest.raises(DatasetError, match=r"labels\.csv:3: b\.jpg: the label is empty"):
        samples(photos, text)
    (one,) = samples(photos, "Image_Name,label\na.jpg,two words\n")
    assert one.labels == ("two words",)


def test_names_without_a_suffix_get_the_users(photos: Path) -> None:
    (photos / "a.jpeg2").write_bytes((photos / "a.jpg").read_bytes())
    (one,) = samples(photos, "Image_Name,label\na,p\n", extension=".jpeg2")
    assert one.path.name == "a.jpeg2"


def test_images_may_be_elsewhere(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("labels")
    (one,) = samples(elsewhere, "Image_Name,label\na.jpg,p\n", images=photos)
    assert one.path == photos / "a.jpg"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Image_Name,lable\na.jpg,p\n", r"csv:1: has no column 'label', did you mean 'lable'\? .*"),
        ("Photo,label\na.jpg,p\n", r"csv:1: no column is named Image_Name"),
        (
            "Image_Name,label\na.jpg,p\nz.jpg,q\n",
            r"csv:3: names the image 'z\.jpg', which .* lacks",
        ),
        ("Image_Name,label\n../a.jpg,p\n", r"csv:2: .*would leave the dataset's folder"),
        ("Image_Name,x,y,w,h,label\na.jpg,1,2,no,4,p\n", r"csv:2: x, y, w, h must be numbers"),
        ("Image_Name,x,y,w,h,label\na.jpg,1,2,0,4,p\n", r"csv:2: the box 1, 2, 0, 4 has no area"),
        ("Image_Name,label\n", r"has no labelled face"),
    ],
)
def test_what_is_wrong_is_one_line(photos: Path, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason) as caught:
        samples(photos, text)
    assert "\n" not in str(caught.value)


def test_any_dataset_format(photos: Path) -> None:
    from facekit.training.classify.data import read_samples

    (photos / "faces.csv").write_text(
        "file_name,width,height,x_min,y_min,x_max,y_max,class_name,mood\n"
        "a.jpg,192,128,1,2,30,40,face,glad\nb.jpg,192,128,5,6,50,60,face,sad\n"
    )
    spec = f"csv:{photos / 'faces.csv'}"
    moods = read_samples(spec, column="mood")
    assert [(one.labels, one.box) for one in moods] == [
        (("glad",), (1, 2, 30, 40)),
        (("sad",), (5, 6, 50, 60)),
    ]
    assert {one.labels for one in read_samples(spec, column="label")} == {("face",)}
    with pytest.raises(DatasetError, match=r"has no column 'moods', did you mean 'mood'"):
        read_samples(spec, column="moods")


def test_a_group_is_never_divided(photos: Path) -> None:
    from facekit.training.classify.data import split_samples

    rows = "".join(
        f"{name},{i},0,9,9,p\n" for i in range(4) for name in ("a.jpg", "b.jpg", "c.png")
    )
    read = samples(photos, f"Image_Name,x,y,w,h,label\n{rows}")
    training, held_out = split_samples(read, 0.34, by="photo", seed=0)
    assert len(training) == 8
    assert len(held_out) == 4
    assert not {one.name for one in training} & {one.name for one in held_out}


def test_a_label_that_is_only_in_the_test_is_told(photos: Path) -> None:
    from facekit.training.classify.data import targets_of

    read = samples(photos, "Image_Name,label\na.jpg,cat\nb.jpg,dog\n")
    assert targets_of(read, ("cat", "dog")) == [[0], [1]]
    with pytest.raises(DatasetError, match=r"csv:3: the label 'dog' is in no row that is trained"):
        targets_of(read, ("cat", "cow"))
