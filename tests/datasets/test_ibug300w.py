"""dlib's XML: the real files, every malformed line, and the way back."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import datasets
from facekit.datasets import ibug300w
from facekit.datasets.records import FaceRecord, ImageRecord, Value
from facekit.datasets.xml_events import events
from facekit.errors import DatasetError, OutputError

PARTS = [f"<part name='{n:02}' x='{n}' y='{2 * n}'/>" for n in range(68)]
BOX = "<box top='1' left='2' width='30' height='40'>"


def xml(*lines: str) -> str:
    """A file whose image starts in line 3."""
    return "\n".join(["<?xml version='1.0'?>", "<dataset><images>", *lines, "</images></dataset>"])


def image(*lines: str) -> str:
    """A file with one image, whose elements start in line 4."""
    return xml("<image file='a.jpg'>", *lines, "</image>")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.xml"


def read(file: Path, text: str) -> list[ImageRecord]:
    file.write_text(text, encoding="utf-8")
    return list(ibug300w.read(file))


@pytest.mark.data
def test_dlibs_own_files_have_43_boxes_of_68_parts(data_root: Path) -> None:
    names = ("training_with_face_landmarks.xml", "testing_with_face_landmarks.xml")
    records = [
        one for name in names for one in datasets.read(f"ibug300w:{data_root}/dlib_faces/{name}")
    ]
    faces = [face for record in records for face in record.faces]
    assert (len(records), len(faces)) == (9, 43)
    assert {len(face.landmarks or ()) for face in faces} == {68}
    assert {face.scheme for face in faces} == {"ibug68"}
    assert all(record.path is not None and record.path.is_file() for record in records)
    # The first box of testing_with_face_landmarks.xml, as it stands there.
    first = records[4]
    assert (first.name, first.size) == ("2008_002470.jpg", (332, 500))
    assert first.faces[0].box == (274, 181, 326, 234)
    assert (first.faces[0].landmarks or ())[:2] == ((277, 194), (278, 200))
    assert (first.source, first.faces[0].line) == (
        datasets.Provenance(f"{data_root}/dlib_faces/{names[1]}", 10),
        11,
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count"), [("labels_ibug_300W_train.xml", 1207), ("labels_p1_train.xml", 3462)]
)
def test_the_68_point_sets(data_root: Path, name: str, count: int, tmp_path: Path) -> None:
    records = list(ibug300w.read(data_root / "landmarks68" / name))
    assert sum(len(face.landmarks or ()) == 68 for one in records for face in one.faces) == count
    assert sum(bool(record.repairs) for record in records) == 0
    losses = datasets.write(iter(records), f"ibug300w:{tmp_path}/again.xml")
    assert (losses.faces, losses.lost) == (count, {})
    assert list(ibug300w.read(tmp_path / "again.xml")) == records


@pytest.mark.data
def test_boxes_without_parts_have_no_landmarks(data_root: Path) -> None:
    records = list(ibug300w.read(data_root / "dlib_faces" / "training.xml"))
    assert {face.landmarks for record in records for face in record.faces} == {None}


def test_parts_are_ordered_by_number_and_found_by_tag(file: Path) -> None:
    backwards = [part.replace("name='0", "name='") for part in reversed(PARTS)]
    text = image("<note>none</note>", BOX, *backwards, "<label>man</label>", "</box>")
    (record,) = read(file, text)
    (face,) = record.faces
    assert face.landmarks == tuple((n, 2 * n) for n in range(68))
    assert face.label == "man"
    assert record.size is None


def test_several_boxes_and_one_that_leaves_the_image(file: Path) -> None:
    text = xml(
        "<image file='sub\\a.jpg' width='20' height='10'>",
        "<box top='-5' left='-4' width='100' height='50'/>",
        "<box top='1' left='2' width='3' height='4'/>",
        "</image>",
        "<image file='b.jpg'/>",
    )
    first, second = read(file, text)
    assert [face.box for face in first.faces] == [(-4, -5, 96, 45), (2, 1, 5, 5)]
    assert (first.name, first.size, first.root) == ("sub/a.jpg", (10, 20), file.parent)
    assert (second.name, second.faces) == ("b.jpg", ())


def test_an_ignored_box_needs_no_parts(file: Path) -> None:
    ignored = BOX.replace(">", " ignore='1'>")
    (record,) = read(file, image(ignored, "</box>", ignored, *PARTS[:5], "</box>"))
    assert [(face.ignore, face.landmarks) for face in record.faces] == [(True, None)] * 2
    assert [str(repair) for repair in record.repairs] == [
        f"{file}:6: ignored-parts: the 5 parts of an ignored box are left out"
    ]


def test_a_box_without_area_is_kept_as_ignored(file: Path) -> None:
    (record,) = read(file, image("<box top='1' left='2' width='0' height='4'/>"))
    assert (record.faces[0].box, record.faces[0].ignore) == ((2, 1, 2, 5), True)
    assert [repair.code for repair in record.repairs] == ["empty-box"]


def test_dlibs_attributes(file: Path) -> None:
    (record,) = read(
        file, image(BOX.replace(">", " occluded='1' angle='0.5' gender='male' pose='2'/>"))
    )
    assert record.faces[0].attributes == {
        "occluded": 1,
        "angle": 0.5,
        "gender": "male",
        "pose": "2",
    }


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-8", "UTF-16", "windows-1252"])
def test_the_declared_encoding_is_used(file: Path, encoding: str) -> None:
    text = f"<?xml version='1.0' encoding='{encoding}'?><dataset><image file='é.jpg'/></dataset>"
    file.write_bytes(text.encode(encoding))
    assert [record.name for record in ibug300w.read(file)] == ["é.jpg"]


MALFORMED = {
    "67 parts": (image(BOX, *PARTS[:-1], "</box>"), 4, "exactly 68 parts, got 67; without 67"),
    "a part twice": (image(BOX, *PARTS, PARTS[5], "</box>"), 73, "part 05 is there twice"),
    "part 68": (image(BOX, "<part name='68' x='1' y='1'/>", "</box>"), 5, "named 00 to 67"),
    "a part's name": (image(BOX, "<part name='nose' x='1' y='1'/>", "</box>"), 5, "'nose'"),
    "a negative part": (image(BOX, "<part name='-1' x='1' y='1'/>", "</box>"), 5, "'-1'"),
    "a part without x": (image(BOX, "<part name='1' y='1'/>", "</box>"), 5, "'x' is missing"),
    "a part without name": (image(BOX, "<part x='1' y='1'/>", "</box>"), 5, "'name' is missing"),
    "x is a word": (image(BOX, "<part name='1' x='a' y='1'/>", "</box>"), 5, "x must be a number"),
    "x is nan": (image(BOX, "<part name='1' x='nan' y='1'/>", "</box>"), 5, "x must be a number"),
    "a part outside a box": (image(PARTS[0]), 4, "<part> must stand in a <box>"),
    "no left": (image("<box top='1' width='3' height='4'/>"), 4, "'left' is missing"),
    "an empty top": (image("<box top='' left='1' width='3' height='4'/>"), 4, "top must be"),
    "infinite width": (image(BOX.replace("30", "inf"), "</box>"), 4, "width must be a number"),
    "ignore": (image(BOX.replace(">", " ignore='maybe'/>")), 4, "ignore must be 0 or 1"),
    "difficult": (image(BOX.replace(">", " difficult='very'/>")), 4, "difficult must be a number"),
    "a box in a box": (image(BOX, BOX, "</box></box>"), 5, "<box> must stand in an <image>"),
    "a box outside an image": (xml("<box/>"), 3, "<box> must stand in an <image>"),
    "an image in an image": (image("<image file='b.jpg'/>"), 4, "<image> inside <image>"),
    "no file": (xml("<image/>"), 3, "'file' is missing"),
    "an empty file": (xml("<image file=' '/>"), 3, "not a file name"),
    "a file above": (xml("<image file='../../etc/passwd'/>"), 3, "would leave"),
    "an absolute file": (xml("<image file='/etc/passwd'/>"), 3, "would leave"),
    "a drive": (xml("<image file='C:\\a.jpg'/>"), 3, "would leave"),
    "width without height": (xml("<image file='a.jpg' width='3'/>"), 3, "must be positive"),
    "a width of 0": (xml("<image file='a.jpg' width='0' height='1'/>"), 3, "must be positive"),
    "another root": ("<annotation/>", 1, "expected dlib's <dataset>, got <annotation>"),
    "an unclosed element": (xml("<image file='a.jpg'>"), 4, "not XML: mismatched tag"),
    "half a file": ("<dataset>\n<images>", 2, "not XML: no element found"),
    "no file at all": ("", 1, "not XML: no element found"),
    "no XML": ("a.jpg\n1\n1 2 3 4", 1, "not XML: syntax error"),
    "an unknown entity": (image("&nbsp;"), 4, "not XML: undefined entity"),
    "a multi-byte encoding": ("<?xml version='1.0' encoding='big5'?><dataset/>", 1, "encoding"),
    "an unknown encoding": ("<?xml version='1.0' encoding='klingon'?><dataset/>", 1, "encoding"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(file: Path, name: str) -> None:
    text, line, reason = MALFORMED[name]
    with pytest.raises(DatasetError) as caught:
        read(file, text)
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


BOMB = "<!DOCTYPE dataset [\n<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>\n]><dataset>&b;</dataset>"
OUTSIDE = "<!DOCTYPE dataset [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><dataset>&x;</dataset>"
ELSEWHERE = "<!DOCTYPE dataset SYSTEM 'http://127.0.0.1:9/dlib.dtd'><dataset/>"


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, ELSEWHERE])
def test_bombs_and_external_entities_are_refused(file: Path, text: str) -> None:
    with pytest.raises(DatasetError, match="refuses") as caught:
        read(file, text)
    assert caught.value.line == 1


def test_a_missing_file_and_endless_text(file: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        list(ibug300w.read(file))
    file.write_text(image(BOX, "<label>" + "a" * 2_000_000, "</label></box>"))
    with pytest.raises(DatasetError, match="text of more than"):
        list(ibug300w.read(file))


def test_reading_is_lazy(file: Path) -> None:
    good = "<image file='a.jpg'/>\n" * 20_000
    file.write_text(xml(good, "<image/>"))
    stream = ibug300w.read(file)
    assert len(list(itertools.islice(stream, 1000))) == 1000
    with pytest.raises(DatasetError) as caught:
        list(stream)
    assert caught.value.line == 20_004


def test_the_elements_of_a_file(file: Path) -> None:
    file.write_text("<a>\n<b c='d'>text</b>\n</a>")
    assert list(events(file)) == [
        ("a", {}, 1),
        ("b", {"c": "d"}, 2),
        ("b", "text", 2),
        ("a", "\n", 3),
    ]


numbers = st.integers(-10_000, 10_000)
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:."),
    min_size=1,
    max_size=8,
)


@st.composite
def faces(draw: st.DrawFn) -> FaceRecord:
    x, y = draw(numbers), draw(numbers)
    points = draw(st.none() | st.lists(st.tuples(numbers, numbers), min_size=68, max_size=68))
    return FaceRecord(
        box=(x, y, x + draw(st.integers(1, 999)), y + draw(st.integers(1, 999))),
        label=draw(names | st.just("a < b & c\r\n")),
        landmarks=None if points is None else tuple(points),
        scheme="" if points is None else "ibug68",
        attributes=draw(st.dictionaries(st.sampled_from(["difficult", "age"]), st.integers(0, 1))),
        ignore=draw(st.booleans()),
    )


records = st.builds(
    ImageRecord,
    name=names,
    size=st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    faces=st.lists(faces(), max_size=3).map(tuple),
)


@given(st.lists(records, max_size=3))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[ImageRecord]) -> None:
    file = tmp_path_factory.mktemp("xml") / "faces.xml"
    losses = datasets.write(written, f"ibug300w:{file}")
    assert list(datasets.read(f"ibug300w:{file}")) == written
    assert losses.lost == {}


def test_what_dlib_cannot_hold_is_reported(file: Path) -> None:
    odd: dict[str, Value] = {"occluded": "yes", "truncated": 0.5, "gender": 3, "age": 1.5}
    points = tuple((n + 0.25, n) for n in range(68))
    face = FaceRecord(
        box=(0.5, 1, 2, 3), landmarks=points, scheme="ibug68", attributes={"blur": 1, **odd}
    )
    other = FaceRecord(box=(0, 1, 2, 3), landmarks=((1, 2),), scheme="eye")
    losses = datasets.write([ImageRecord(name="a.jpg", faces=(face, other))], f"ibug300w:{file}")
    assert losses.lost == {
        "coordinate decimals": 1,
        "attributes.blur": 1,
        "attributes.occluded": 1,
        "attributes.truncated": 1,
        "attributes.gender": 1,
        "landmarks of the scheme 'eye'": 1,
    }


def test_a_killed_writer_leaves_the_old_file(file: Path) -> None:
    file.write_text("old")
    bad = FaceRecord(box=(0, 0, 1, 1), landmarks=((1, 1),), scheme="ibug68")
    stream = [ImageRecord(name="a.jpg"), ImageRecord(name="b.jpg", faces=(bad,))]
    with pytest.raises(DatasetError, match="has 68 points, got 1"):
        ibug300w.write(stream, file)
    with pytest.raises(DatasetError, match="XML cannot hold"):
        ibug300w.write([ImageRecord(name="\x01.jpg")], file)
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]
    with pytest.raises(OutputError, match="does not exist"):
        ibug300w.write([], file.parent / "missing" / "faces.xml")
