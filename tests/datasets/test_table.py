"""CSV with one face a row."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import datasets
from facekit.datasets import table
from facekit.datasets.formats import reduced
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import DatasetError

HEADER = "file_name,width,height,x_min,y_min,x_max,y_max,class_name"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.csv"


def read(file: Path, *lines: str) -> list[ImageRecord]:
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return list(datasets.read(f"csv:{file}"))


def test_the_tutorials_columns(file: Path) -> None:
    first, second = read(
        file,
        HEADER,
        "face_0.jpeg,650,333,56,102,112,151,face",
        "face_0.jpeg,650,333,379,97,428,156.5,cat",
        "sub/face_1.jpeg,20,10,0,0,20,10,face",
    )
    assert (first.name, first.size, first.root) == ("face_0.jpeg", (333, 650), file.parent)
    assert [face.box for face in first.faces] == [(56, 102, 112, 151), (379, 97, 428, 156.5)]
    assert [face.label for face in first.faces] == ["face", "cat"]
    assert [face.line for face in first.faces] == [2, 3]
    assert (second.name, second.source) == (
        "sub/face_1.jpeg",
        datasets.Provenance(str(file), 4),
    )


def test_tensorflows_columns_others_and_none(file: Path) -> None:
    header = "\ufefffilename, xmax, xmin, ymax, ymin, Pose"
    first, second = read(file, header, 'a.jpg,3,1,4,2,"left, up"', "", "b.jpg,,,,,")
    assert first.faces == (FaceRecord(box=(1, 2, 3, 4), attributes={"Pose": "left, up"}),)
    assert (first.size, second.faces) == (None, ())


def test_rows_of_an_image_may_stand_apart(file: Path) -> None:
    rows = [f"{name}.jpg,9,9,{n},0,9,9,face" for n, name in enumerate("abacb")]
    records = read(file, HEADER, *rows)
    assert [record.name for record in records] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [[face.box[0] for face in record.faces] for record in records] == [[0, 2], [1, 4], [3]]


def test_repairs(file: Path) -> None:
    (record,) = read(file, HEADER, "a.jpg,9,9,5,1,2,6,face", "a.jpg,9,9,5,1,5,6,face")
    assert [(face.box, face.ignore) for face in record.faces] == [
        ((2, 1, 5, 6), False),
        ((5, 1, 5, 6), True),
    ]
    assert [repair.code for repair in record.repairs] == ["swapped-corners", "empty-box"]
    assert str(record.repairs[1]).startswith(f"{file}:3: empty-box:")


MALFORMED = {
    "nothing": ((), 1, "the file is empty"),
    "no header": (("a.jpg,9,8,1,2,3,4,face",), 1, "without the columns file_name, x_min"),
    "a column twice": ((HEADER + ",width",), 1, "two columns are named 'width'"),
    "two names of a column": ((HEADER + ",class",), 1, "two columns mean the same"),
    "a column without a name": ((HEADER + ",",), 1, "column 9 has no name"),
    "a cell too few": ((HEADER, "a.jpg,9,9,1,2,3,4"), 2, "expected 8 cells as in the header"),
    "a cell too many": ((HEADER, "a.jpg,9,9,1,2,3,4,face,1"), 2, "got 9"),
    "semicolons": ((HEADER.replace(",", ";"),), 1, "without the columns"),
    "no name": ((HEADER, ",9,9,1,2,3,4,face"), 2, "not a file name"),
    "a name above": ((HEADER, "../a.jpg,9,9,1,2,3,4,face"), 2, "would leave"),
    "an absolute name": ((HEADER, "/a.jpg,9,9,1,2,3,4,face"), 2, "would leave"),
    "a word": ((HEADER, "a.jpg,9,9,one,2,3,4,face"), 2, "x_min must be numbers"),
    "an empty corner": ((HEADER, "a.jpg,9,9,1,2,3,,face"), 2, "y_max must be numbers"),
    "nan": ((HEADER, "a.jpg,9,9,nan,2,3,4,face"), 2, "not a box"),
    "infinite": ((HEADER, "a.jpg,9,9,1,2,inf,4,face"), 2, "not a box"),
    "no class": ((HEADER, "a.jpg,9,9,1,2,3,4,"), 2, "class_name is empty"),
    "a width of 0": ((HEADER, "a.jpg,0,9,1,2,3,4,face"), 2, "must be whole and positive"),
    "half a pixel": ((HEADER, "a.jpg,9.5,9,1,2,3,4,face"), 2, "must be whole and positive"),
    "no height": ((HEADER, "a.jpg,9,,1,2,3,4,face"), 2, "width and height must be numbers"),
    "another size": (
        (HEADER, "a.jpg,9,9,1,2,3,4,face", "b.jpg,8,8,1,2,3,4,face", "a.jpg,9,8,1,2,3,4,face"),
        4,
        "a.jpg has another size in line 2",
    ),
    "an open quote": ((HEADER, '"a.jpg,9,9,1,2,3,4,face'), 2, "not CSV"),
    "a boundless cell": ((HEADER, "a" * 200_000), 2, "not CSV: field larger"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(file: Path, name: str) -> None:
    lines, line, reason = MALFORMED[name]
    file.write_text("\n".join(lines))
    with pytest.raises(DatasetError) as caught:
        list(table.read(file))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


def test_missing_and_unreadable_files(file: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        list(table.read(file))
    with pytest.raises(DatasetError, match="is a folder"):
        list(table.read(file.parent))
    file.write_bytes(b"file_name\n\xff")
    with pytest.raises(DatasetError, match="not utf-8"):
        list(table.read(file))


def test_writing_takes_the_tutorials_columns(file: Path) -> None:
    faces = (FaceRecord(box=(0.6, 1, 2.4, 3)), FaceRecord(box=(1, 1, 5, 5), ignore=True))
    written = [ImageRecord(name="a.jpg", size=(10, 20), faces=faces)]
    written.append(ImageRecord(name="b.jpg", faces=faces))
    losses = datasets.write(written, f"csv:{file}", unsized="skip")
    assert file.read_text() == f"{HEADER}\na.jpg,20,10,1,1,2,3,face\n"
    assert losses.faces == 1
    assert losses.lost == {
        "coordinate decimals": 1,
        "ignored faces": 1,
        "images of unknown size": 1,
    }


def test_images_without_faces_are_left_out_and_counted(file: Path) -> None:
    losses = datasets.write([ImageRecord(name="b.jpg", size=(1, 1))], f"csv:{file}")
    assert (losses.images, losses.lost) == (0, {"images without faces": 1})
    assert file.read_text() == f"{HEADER}\n"


def test_what_cannot_be_written_leaves_the_old_file(file: Path) -> None:
    file.write_text("old")
    good = ImageRecord(name="a.jpg", size=(9, 9), faces=(FaceRecord(box=(1, 1, 5, 5)),))
    blank = (FaceRecord(box=(1, 1, 5, 5), label=" "),)
    for bad in (good.replace(size=None), good.replace(faces=blank), good.replace(name=" a.jpg")):
        with pytest.raises(DatasetError, match=r"size is not known|cannot hold"):
            table.write([good, bad], file)
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


numbers = st.integers(-999, 9999)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:."),
    min_size=1,
    max_size=8,
)
faces = st.builds(
    lambda x, y, w, h, label: FaceRecord(box=(x, y, x + w, y + h), label=label),
    numbers,
    numbers,
    st.integers(1, 999),
    st.integers(1, 999),
    words | st.just('a "quoted", word'),
)
records = st.builds(
    ImageRecord,
    name=words,
    size=st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    faces=st.lists(faces, min_size=1, max_size=3).map(tuple),
)


@given(st.lists(records, max_size=3, unique_by=lambda record: record.name))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[ImageRecord]) -> None:
    file = tmp_path_factory.mktemp("csv") / "faces.csv"
    losses = datasets.write(written, f"csv:{file}")
    assert list(datasets.read(f"csv:{file}")) == written
    assert losses.lost == {}


@pytest.mark.data
def test_dlibs_boxes_as_csv(data_root: Path, file: Path) -> None:
    source = f"ibug300w:{data_root}/dlib_faces/training_with_face_landmarks.xml"
    losses = datasets.write(datasets.read(source), f"csv:{file}")
    assert (losses.images, losses.faces) == (4, 18)
    assert losses.lost == {"landmarks": 18, "scheme": 18}
    expected = [reduced(record, table.HOLDS) for record in datasets.read(source)]
    assert list(datasets.read(f"csv:{file}")) == expected


def test_reading_is_lazy(file: Path) -> None:
    rows = (f"{n}.jpg,9,9,1,2,3,4,face\n" for n in range(1000))
    file.write_text(f"{HEADER}\n" + "".join(rows))
    assert len(list(itertools.islice(table.read(file), 10))) == 10
