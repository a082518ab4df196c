"""Columns of faces are to the rest of facekit what the tuple of those faces is."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import datasets
from facekit.datasets import FaceColumns, FaceRecord, ImageRecord, wider_face_text
from facekit.datasets.filter import Rules, filtered
from facekit.datasets.formats import find, reduced
from facekit.datasets.stats import collect
from facekit.datasets.wider_face_columns import ATTRIBUTES, Chunk
from facekit.errors import DatasetError

NAMES = sorted(one.name for one in datasets.formats() if one.owner == "facekit")


def columns(
    rows: Sequence[Sequence[float]], ignore: list[bool] | None = None, **attributes: list[int]
) -> FaceColumns:
    count = len(rows)
    return FaceColumns(
        np.array(rows, dtype=np.float64).reshape(-1, 4),
        np.array(ignore or [False] * count, dtype=bool),
        tuple(attributes),
        np.array([*attributes.values()], dtype=np.uint8).T.reshape(count, len(attributes)),
        np.arange(3, 3 + count),
    )


@pytest.fixture
def three() -> FaceColumns:
    boxes: list[list[float]] = [[1, 2, 3, 4.5], [5, 6, 7, 8], [0, 0, 0, 9]]
    return columns(boxes, [False, True, True], blur=[0, 1, 2], pose=[1, 0, 0])


def test_a_face_is_made_when_it_is_asked_for(three: FaceColumns) -> None:
    face = FaceRecord(box=(1, 2, 3, 4.5), attributes={"blur": 0, "pose": 1})
    assert three[0] == face
    assert (three[0].line, three[-1].line) == (3, 5)
    assert [type(value) for value in (*three[0].box, three[0].attributes["blur"])] == [
        *[float] * 4,
        int,
    ]
    assert [one.ignore for one in three] == [False, True, True]
    assert face in three
    assert three.index(three[1]) == 1
    assert list(reversed(three)) == [three[2], three[1], three[0]]
    for index in (3, -4):
        with pytest.raises(IndexError):
            three[index]


def test_columns_equal_the_tuple_of_their_faces(three: FaceColumns) -> None:
    faces = tuple(three)
    for one, other in ((three, faces), (faces, three), (three, copy.deepcopy(three))):
        assert one == other
        assert ImageRecord(name="a.jpg", faces=one) == ImageRecord(name="a.jpg", faces=other)
    assert three != faces[:2]
    assert three != list(faces)
    assert three != three[1:]
    assert three != columns(three.boxes.tolist(), blur=[0, 1, 2], pose=[1, 0, 0])
    assert three == FaceColumns(
        three.boxes, three.ignore, ("pose", "blur"), three.values[:, ::-1], lines=None
    )
    assert columns([]) == ()
    assert not columns([])
    assert repr(three) == repr(faces)
    with pytest.raises(TypeError, match="unhashable"):
        hash(three)


def test_columns_pickle_without_what_they_were_cut_from(three: FaceColumns) -> None:
    many = columns([[0, 0, 1, 1]] * 10_000)
    data = pickle.dumps(many[5:7])
    assert len(data) < 2_000
    assert pickle.loads(data)[1].line == 9  # noqa: S301 - our own bytes
    assert pickle.loads(pickle.dumps(three)) == three  # noqa: S301 - our own bytes


def test_some_of_the_columns(three: FaceColumns) -> None:
    assert three[1:] == tuple(three)[1:]
    assert three[::2].take(np.array([False, True]))[0].line == 5
    assert three.take(np.array([2, 0])) == (three[2], three[0])
    assert {name: column.tolist() for name, column in three.attributes.items()} == {
        "blur": [0, 1, 2],
        "pose": [1, 0, 0],
    }


def test_every_record_gives_arrays(three: FaceColumns) -> None:
    for faces in (three, tuple(three)):
        record = ImageRecord(name="a.jpg", faces=faces)
        assert record.boxes.tolist() == three.boxes.tolist()
        assert record.ignored.tolist() == [False, True, True]
        assert record.column("blur").tolist() == [0, 1, 2]
        assert record.column("age", -1).tolist() == [-1, -1, -1]
    empty = ImageRecord(name="a.jpg")
    assert (empty.boxes.shape, empty.boxes.dtype.name) == ((0, 4), "float64")
    assert (empty.ignored.shape, empty.ignored.dtype.name) == ((0,), "bool")


@st.composite
def any_columns(draw: st.DrawFn) -> FaceColumns:
    coordinate = st.sampled_from([-1.0, 0.0, 0.25, 7.0, 1e-7, 63.0, 64.0, 70.0])
    boxes = draw(st.lists(st.lists(coordinate, min_size=4, max_size=4), min_size=1, max_size=3))
    names = draw(st.sampled_from([(), ("blur",), ATTRIBUTES, ("difficult", "truncated")]))
    count = len(boxes)
    flags = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    ignore = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return columns(boxes, ignore, **{name: draw(flags) for name in names})


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(faces=any_columns())
def test_formats_hold_of_columns_what_they_hold_of_objects(name: str, faces: FaceColumns) -> None:
    holds = find(name).load().HOLDS
    lost: list[Counter[str]] = [Counter(), Counter()]
    record = ImageRecord(name="a.jpg", size=(64, 64))
    one, other = (
        reduced(record.replace(faces=same), holds, counter)
        for same, counter in zip((faces, tuple(faces)), lost, strict=True)
    )
    assert one == other
    assert +lost[0] == +lost[1]


RULES = st.builds(
    Rules,
    min_width=st.sampled_from([0, 0.2, 7]),
    min_height=st.sampled_from([0, 0.2, 7]),
    invalid=st.booleans(),
    ignored=st.booleans(),
    max_blur=st.none() | st.integers(0, 2),
    max_occlusion=st.none() | st.integers(0, 2),
    labels=st.sampled_from([None, frozenset({"face"}), frozenset({"hat"})]),
    mark=st.booleans(),
    margin=st.sampled_from([None, None, 0.005]),
    empty_images=st.booleans(),
)


@settings(max_examples=200)
@given(faces=any_columns(), rules=RULES)
def test_filters_drop_of_columns_what_they_drop_of_objects(
    faces: FaceColumns, rules: Rules
) -> None:
    record = ImageRecord(name="a.jpg", size=(64, 64))
    dropped: list[Counter[str]] = [Counter(), Counter()]
    one, other = (
        list(filtered([record.replace(faces=same)], rules, counter))
        for same, counter in zip((faces, tuple(faces)), dropped, strict=True)
    )
    assert one == other
    assert +dropped[0] == +dropped[1]


@given(st.lists(any_columns(), max_size=3))
def test_columns_count_as_objects(many: list[FaceColumns]) -> None:
    one = collect(ImageRecord(name="a.jpg", faces=faces) for faces in many)
    other = collect(ImageRecord(name="a.jpg", faces=tuple(faces)) for faces in many)
    assert one.to_dict() == other.to_dict()


ODD = [
    "-0",
    "007",
    "-7",
    "1.5",
    "1e2",
    "+3",
    "-",
    "1-2",
    "-1",
    "9" * 12,
    "9" * 30,
    "1_0",
    "x",
    "٣",
    "3",
]
GAPS = ["  ", "\t", "\x0b", " - ", " 1 ", ""]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """An annotation text; and mostly one thing in it that is odd or wrong."""
    lines: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        count = draw(st.integers(0, 3))
        lines += [f"a/{number}.jpg", str(count)]
        for _ in range(count):
            box = draw(st.lists(st.integers(0, 20), min_size=4, max_size=4))
            lines.append(
                " ".join(map(str, [*box, draw(st.integers(0, 2)), 0, 1, number % 2, 0, 0]))
            )
        lines += [] if count else ["0 0 0 0 0 0 0 0 0 0"]
    at = draw(st.integers(0, len(lines) - 1))
    words = lines[at].split()
    kind = draw(st.sampled_from(["clean", "word", "word", "gap", "drop", "twice", "blank"]))
    if kind == "word":
        words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from([*ODD, "../a", "b c"]))
        lines[at] = " ".join(words)
    elif kind == "gap":
        cut = draw(st.integers(0, len(words)))
        lines[at] = " ".join(words[:cut]) + draw(st.sampled_from(GAPS)) + " ".join(words[cut:])
    elif kind != "clean":
        lines[at : at + 1] = {"drop": [], "twice": [lines[at]] * 2, "blank": ["", lines[at]]}[kind]
    end = draw(st.sampled_from(["\n", "\n", " \n", "\r\n", ""]))
    return (end or "\n").join(lines) + end


def outcome(text: str, file: Path) -> tuple[Any, ...]:
    """Everything that reading gives, and where it stops."""
    file.write_bytes(text.encode())
    found: list[object] = []
    try:
        for record in wider_face_text.read_text(file, None):
            found += [record, record.source, record.repairs, [face.line for face in record.faces]]
    except DatasetError as error:
        found.append(str(error))
    return tuple(found)


def both_ways(text: str, size: int, file: Path) -> list[tuple[Any, ...]]:
    """What is read in chunks of a size, and what line by line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wider_face_text, "_CHUNK", size)
        at_once = outcome(text, file)
        patch.setattr(Chunk, "faces", lambda _: None)
        return [at_once, outcome(text, file)]


@settings(max_examples=200)
@given(text=texts(), size=st.sampled_from([1, 30, 100, 1 << 18]))
def test_many_lines_at_once_are_read_as_one_by_one(
    text: str, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at_once, by_line = both_ways(text, size, tmp_path_factory.mktemp("wider") / "faces.txt")
    assert at_once == by_line


@pytest.mark.parametrize("column", range(10))
def test_odd_words_are_read_as_by_line(column: int, tmp_path: Path) -> None:
    clean = "5 6 7 8 0 0 0 0 0 0"
    for word in ODD:
        words = clean.split()
        words[column] = word
        for rows in ([" ".join(words), clean], [clean, " ".join(words)]):
            text = "\n".join(["a.jpg", "2", *rows, "b.jpg", "1", clean, ""])
            at_once, by_line = both_ways(text, 1 << 18, tmp_path / "faces.txt")
            assert at_once == by_line


@pytest.mark.parametrize("lengths", [(9, 11), (11, 9)])
def test_a_word_too_many_does_not_fill_another_line(
    lengths: tuple[int, int], tmp_path: Path
) -> None:
    rows = [" ".join("1" * length) for length in lengths]
    text = "\n".join(["a.jpg", "2", *rows, ""])
    at_once, by_line = both_ways(text, 1 << 18, tmp_path / "faces.txt")
    assert at_once == by_line
    assert "3: expected 10 numbers" in at_once[-1]


def test_clean_text_is_read_as_columns(tmp_path: Path) -> None:
    file = tmp_path / "faces.txt"
    file.write_text("a.jpg\n2\n1 2 3 4 0 0 0 1 2 0 \n-5 6 0 8 0 0 0 0 0 0\nb.jpg\n0\n0 0 0 0\n")
    first, second = wider_face_text.read_text(file, None)
    assert isinstance(first.faces, FaceColumns)
    assert first.boxes.tolist() == [[1, 2, 4, 6], [-5, 6, -5, 14]]
    assert first.ignored.tolist() == [True, True]
    assert not first.boxes.flags.writeable
    assert [face.line for face in first.faces] == [3, 4]
    assert second.faces == ()


@pytest.mark.data
def test_the_published_text_is_clean(data_root: Path) -> None:
    records = list(datasets.read(f"wider_face:{data_root}/wider/wider_face_split"))
    assert all(isinstance(one.faces, FaceColumns) or not one.faces for one in records)
    lines = {face.line for one in records[-50:] for face in one.faces}
    assert len(lines) == sum(len(one.faces) for one in records[-50:])
