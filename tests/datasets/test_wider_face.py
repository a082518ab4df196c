"""WIDER FACE's text: the published files, every malformed line, and the way back."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import datasets
from facekit.datasets import wider_face
from facekit.datasets.formats import reduced
from facekit.datasets.records import FaceRecord, ImageRecord, Value, repairs_of
from facekit.errors import DatasetError, OutputError

FACE = "449 330 122 149 0 0 0 0 0 0"
ZEROS = "0 0 0 0 0 0 0 0 0 0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.txt"


def read(file: Path, *lines: str) -> list[ImageRecord]:
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return list(wider_face.read(file))


@pytest.mark.data
@pytest.mark.parametrize(
    ("split", "images", "faces", "empty"),
    [("train", 12_880, 159_420, 4), ("val", 3_226, 39_708, 0)],
)
def test_the_published_text(
    data_root: Path, split: str, images: int, faces: int, empty: int
) -> None:
    records = list(datasets.read(f"wider_face:{data_root}/wider/wider_face_split", split=split))
    assert len(records) == images
    assert sum(len(record.faces) for record in records) == faces
    assert sum(not record.faces for record in records) == empty
    codes = Counter(repair.code for repair in repairs_of(records))
    assert codes["zero-line"] == empty


@pytest.mark.data
def test_the_columns_of_val(data_root: Path) -> None:
    faces = [
        face
        for record in wider_face.read(data_root / "wider" / "wider_face_split", split="val")
        for face in record.faces
    ]
    values = {
        name: Counter(face.attributes[name] for face in faces) for name in wider_face.ATTRIBUTES
    }
    assert values["invalid"][1] == 585
    assert set(values["occlusion"]) == {0, 1, 2}
    assert set(values["blur"]) == {0, 1, 2}
    assert {frozenset(values[name]) for name in ("expression", "illumination", "pose")} == {
        frozenset({0, 1})
    }
    assert sum(face.width <= 0 or face.height <= 0 for face in faces) == 11
    assert sum(face.ignore for face in faces) >= 585


@pytest.mark.data
def test_the_folder_finds_its_images(data_root: Path) -> None:
    records = wider_face.read(data_root / "wider", split="val")
    record = next(one for one in records if one.name.startswith("0--Parade/0_Parade_Parade_0_12."))
    assert record.path is not None
    assert record.path.is_file()


def test_a_block(file: Path) -> None:
    (record,) = read(file, "0--Parade/a.jpg", "1", "449 330 122.5 149 2 1 1 0 2 1")
    (face,) = record.faces
    assert face.box == (449, 330, 571.5, 479)
    assert face.attributes == {
        "blur": 2,
        "expression": 1,
        "illumination": 1,
        "invalid": 0,
        "occlusion": 2,
        "pose": 1,
    }
    assert (face.ignore, face.line) == (False, 3)
    assert record.source == datasets.Provenance(str(file), 1)


def test_no_phantom_face_and_boxes_without_area(file: Path) -> None:
    first, second = read(file, "a.jpg", "0", ZEROS, "b.jpg", "2", FACE, "5 6 0 7 0 0 0 0 0 0")
    assert first.faces == ()
    assert [face.ignore for face in second.faces] == [False, True]
    assert [str(one) for one in repairs_of((first, second))] == [
        f"{file}:3: zero-line: the line of zeros is no face",
        f"{file}:7: empty-box: '5 6 0 7 0 0 0 0 0 0' has no area; kept as ignored",
    ]


def test_windows_line_ends_a_byte_order_mark_and_blank_lines(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf0--Parade\\a.jpg\r\n1\r\n" + FACE.encode() + b" \r\n\r\n")
    (record,) = wider_face.read(file)
    assert (record.name, len(record.faces)) == ("0--Parade/a.jpg", 1)


MALFORMED = {
    "no count": (("a.jpg",), 1, "the file ends where the number of faces"),
    "a word for a count": (("a.jpg", "one"), 2, "expected the number of faces"),
    "a negative count": (("a.jpg", "-1"), 2, "expected the number of faces"),
    "a count with a fraction": (("a.jpg", "1.0"), 2, "expected the number of faces"),
    "a boundless count": (("a.jpg", "9" * 5000), 2, "expected the number of faces"),
    "two names": (("a.jpg", "b.jpg"), 2, "expected the number of faces of a.jpg"),
    "too few faces": (("a.jpg", "2", FACE), 3, "the file ends where a face"),
    "a name for a face": (("a.jpg", "2", FACE, "b.jpg"), 4, "expected 10 numbers"),
    "no line of zeros": (("a.jpg", "0", "b.jpg"), 3, "expected a line of zeros"),
    "a face after 0": (("a.jpg", "0", FACE), 3, "expected a line of zeros"),
    "the end after 0": (("a.jpg", "0"), 2, "the file ends where the line of zeros"),
    "nine numbers": (("a.jpg", "1", "1 2 3 4 0 0 0 0 0"), 3, "expected 10 numbers"),
    "eleven numbers": (("a.jpg", "1", FACE + " 0"), 3, "expected 10 numbers"),
    "three numbers": (("a.jpg", "1", "1 2 3"), 3, "expected 10 numbers"),
    "a blank face": (("a.jpg", "1", ""), 3, "expected 10 numbers"),
    "a word": (("a.jpg", "1", "1 2 3 x 0 0 0 0 0 0"), 3, "expected 10 numbers"),
    "commas": (("a.jpg", "1", FACE.replace(" ", ",")), 3, "expected 10 numbers"),
    "underscores": (("a.jpg", "1", "1_0 2 3 4 0 0 0 0 0 0"), 3, "expected 10 numbers"),
    "nan": (("a.jpg", "1", "nan 2 3 4 0 0 0 0 0 0"), 3, "not a box"),
    "infinite": (("a.jpg", "1", "1 2 inf 4 0 0 0 0 0 0"), 3, "not a box"),
    "blur of 3": (("a.jpg", "1", "1 2 3 4 3 0 0 0 0 0"), 3, "blur must be 0 to 2, got 3"),
    "invalid of 2": (("a.jpg", "1", "1 2 3 4 0 0 0 2 0 0"), 3, "invalid must be 0 to 1, got 2"),
    "negative pose": (("a.jpg", "1", "1 2 3 4 0 0 0 0 0 -1"), 3, "pose must be 0 to 1, got -1"),
    "half a flag": (("a.jpg", "1", "1 2 3 4 0 0 0 0 0.5 0"), 3, "expected 10 numbers"),
    "a path above": (("a.jpg", "1", FACE, "../a.jpg", "0"), 4, "would leave"),
    "an absolute path": (("/etc/passwd", "1", FACE), 1, "would leave"),
    "a hidden way up": (("a/../../b.jpg", "1", FACE), 1, "would leave"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(file: Path, name: str) -> None:
    lines, line, reason = MALFORMED[name]
    with pytest.raises(DatasetError) as caught:
        read(file, *lines)
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


def test_missing_and_unreadable_files(file: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        list(wider_face.read(file))
    file.write_bytes(b"a.jpg\n1\n\xff\xff")
    with pytest.raises(DatasetError, match="not utf-8 text"):
        list(wider_face.read(file))
    with pytest.raises(DatasetError, match="no wider_face_train_bbx_gt"):
        list(wider_face.read(file.parent))


def test_reading_is_lazy(file: Path) -> None:
    file.write_text("\n".join(["a.jpg", "1", FACE] * 1000 + ["b.jpg", "none"]))
    stream = wider_face.read(file)
    assert len(list(itertools.islice(stream, 1000))) == 1000
    with pytest.raises(DatasetError):
        next(stream)


def flags() -> st.SearchStrategy[dict[str, int]]:
    largest = {name: wider_face.LARGEST.get(name, 1) for name in wider_face.ATTRIBUTES}
    return st.fixed_dictionaries({name: st.integers(0, n) for name, n in largest.items()})


@st.composite
def faces(draw: st.DrawFn) -> FaceRecord:
    x, y = draw(st.integers(-99, 9999)), draw(st.integers(-99, 9999))
    width, height = draw(st.integers(0, 999)), draw(st.integers(0, 999))
    values = draw(flags())
    ignore = values["invalid"] == 1 or not width or not height
    return FaceRecord(box=(x, y, x + width, y + height), attributes=values, ignore=ignore)


names = st.lists(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:."),
        min_size=1,
    ),
    min_size=1,
).map("/".join)
records = st.builds(ImageRecord, name=names, faces=st.lists(faces(), max_size=4).map(tuple))


@given(st.lists(records, max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[ImageRecord]) -> None:
    file = tmp_path_factory.mktemp("wider") / "faces.txt"
    losses = datasets.write(written, f"wider_face:{file}")
    assert list(datasets.read(f"wider_face:{file}")) == written
    assert losses.lost == {}


@pytest.mark.data
def test_the_published_text_comes_back(data_root: Path, file: Path) -> None:
    records = list(wider_face.read(data_root / "wider" / "wider_face_split", split="val"))
    losses = datasets.write(records, f"wider_face:{file}")
    assert list(wider_face.read(file)) == records
    assert losses.lost == {}


def test_what_the_text_cannot_hold_is_reported(file: Path) -> None:
    attributes: dict[str, Value] = {"age": 3, "pose": "Left", "blur": 7, "expression": True}
    face = FaceRecord(box=(0.4, 1, 2, 3), label="cat", attributes=attributes, ignore=True)
    losses = datasets.write([ImageRecord(name="a.jpg", faces=(face,))], f"wider_face:{file}")
    lost = ("coordinate decimals", "label", "attributes.age", "attributes.pose", "attributes.blur")
    assert losses.lost == dict.fromkeys(lost, 1)
    (record,) = wider_face.read(file)
    assert record.faces[0].ignore
    assert record.faces[0].attributes["invalid"] == 1


def test_what_cannot_be_written(file: Path) -> None:
    file.write_text("old")
    for name in ("a\nb.jpg", " a.jpg"):
        with pytest.raises(DatasetError, match="a line cannot hold the name"):
            wider_face.write([ImageRecord(name="good.jpg"), ImageRecord(name=name)], file)
    assert file.read_text() == "old"
    turned = FaceRecord(box=(0, 0, 1, 1), attributes={"pose": "Left"})
    with pytest.raises(DatasetError, match="pose must be 0 to 1, got 'Left'"):
        wider_face.write([ImageRecord(name="a.jpg", faces=(turned,))], file)
    with pytest.raises(DatasetError, match="only read"):
        wider_face.write([], file.with_suffix(".mat"))
    with pytest.raises(OutputError, match="does not exist"):
        wider_face.write([], file.parent / "missing" / "faces.txt")


def test_what_is_written_is_what_the_format_holds(file: Path) -> None:
    boxes = ((0, 0, 5, 5), (0, 0, 0.2, 5), (3.3, 4, 9, 9))
    faces = tuple(FaceRecord(box=box, ignore=ignore) for box in boxes for ignore in (False, True))
    record = ImageRecord(name="a.jpg", faces=faces)
    datasets.write([record], f"wider_face:{file}")
    assert list(wider_face.read(file)) == [reduced(record, wider_face.HOLDS)]
