"""A folder of images with a CSV of labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import datasets
from facekit.datasets import labels
from facekit.datasets.records import FaceRecord, ImageRecord, Value
from facekit.errors import DatasetError


def read(folder: Path, *lines: str) -> list[ImageRecord]:
    (folder / "labels.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return list(datasets.read(f"labels:{folder}"))


def test_a_folder_with_a_csv(tmp_path: Path) -> None:
    (tmp_path / "b.png").touch()
    first, second, third = read(
        tmp_path, "Image_Name, Gender, Age", "a.jpg, female, 30", "b, male,", "c,,007"
    )
    assert (first.name, first.attributes) == ("a.jpg", {"Gender": "female", "Age": 30})
    assert (second.name, second.attributes) == ("b.png", {"Gender": "male"})
    assert [repair.code for repair in second.repairs] == ["added-suffix"]
    assert (third.name, third.attributes, third.repairs) == ("c", {"Age": "007"}, ())
    assert second.path == tmp_path / "b.png"
    assert first.source == datasets.Provenance(str(tmp_path / "labels.csv"), 2)


def test_the_names_column_is_found(tmp_path: Path) -> None:
    (record,) = read(tmp_path, "Gender,FILE_NAME", "male,a.jpg")
    assert (record.name, record.attributes) == ("a.jpg", {"Gender": "male"})


MALFORMED = {
    "nothing": ((), 1, "the file is empty"),
    "no name": (("Gender", "male"), 1, "no column is named Image_Name or file_name"),
    "a column twice": (("Image_Name,A,A",), 1, "two columns are named 'A'"),
    "a cell too few": (("Image_Name,A", "a.jpg"), 2, "expected 2 cells"),
    "an image twice": (("Image_Name,A", "a.jpg,1", "a.jpg,2"), 3, "a.jpg is there twice"),
    "an empty name": (("Image_Name,A", ",1"), 2, "not a file name"),
    "a name above": (("Image_Name,A", "a/../../b.jpg,1"), 2, "would leave"),
    "an open quote": (("Image_Name,A", 'a.jpg,"1'), 2, "not CSV"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(tmp_path: Path, name: str) -> None:
    lines, line, reason = MALFORMED[name]
    with pytest.raises(DatasetError) as caught:
        read(tmp_path, *lines)
    assert caught.value.file == str(tmp_path / "labels.csv")
    assert reason in caught.value.reason
    # An open quote ends with the file, below the blank last line.
    assert caught.value.line in {line, line + (name == "an open quote")}


def test_a_folder_has_one_csv(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="one CSV, got none"):
        list(labels.read(tmp_path))
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(DatasetError, match=r"got a\.csv, b\.csv; name the file"):
        list(labels.read(tmp_path))


def test_columns_are_the_attributes_of_all_images(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    face = FaceRecord(box=(0, 0, 1, 1))
    written = [
        ImageRecord(name="a.jpg", attributes={"age": 3.5}, faces=(face,)),
        ImageRecord(name="b.jpg", attributes={"smiles": True, "age": 4}),
        ImageRecord(name="c.jpg", attributes={"age": "", "smiles": " no ", "image": 1}),
    ]
    losses = datasets.write(iter(written), f"labels:{file}")
    assert file.read_text() == "Image_Name,age,smiles\na.jpg,3.5,\nb.jpg,4,True\nc.jpg,,\n"
    assert losses.lost == {
        "faces": 1,
        "image attributes.age": 1,
        "image attributes.smiles": 1,
        "image attributes.image": 1,
    }
    again = list(datasets.read(f"labels:{file}"))
    assert [dict(record.attributes) for record in again] == [
        {"age": 3.5},
        {"smiles": True, "age": 4},
        {},
    ]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old")
    bad: tuple[dict[str, Value], ...] = ({"image": 1}, {"a": ""}, {"a": " b"}, {"": 1})
    for attributes in bad:
        with pytest.raises(DatasetError, match=r"a\.jpg: (an attribute|a cell)"):
            labels.write([ImageRecord(name="a.jpg", attributes=attributes)], file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z", "N"], exclude_characters="/\\:."),
    min_size=1,
    max_size=8,
).filter(lambda text: text.lower() not in {"image", "filename", "inf", "nan", "true", "false"})
values: st.SearchStrategy[Value] = (
    st.booleans()
    | words
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
)
records = st.builds(ImageRecord, name=words, attributes=st.dictionaries(words, values, max_size=3))


@given(st.lists(records, max_size=4, unique_by=lambda record: record.name))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[ImageRecord]) -> None:
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    assert datasets.write(written, f"labels:{file}").lost == {}
    assert list(datasets.read(f"labels:{file}")) == written
