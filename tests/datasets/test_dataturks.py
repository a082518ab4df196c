"""Dataturks' JSON lines: the real file, its kin's quirks, every malformed line."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import datasets, write_image
from facekit.datasets import dataturks
from facekit.datasets.formats import reduced
from facekit.datasets.records import FaceRecord, ImageRecord, repairs_of
from facekit.errors import ConfigError, DatasetError

URL = "http://host.example/set/a%20b.jpg?size=1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.json"


def annotation(*points: object, **changes: object) -> dict[str, Any]:
    known = {"label": ["Face"], "notes": "", "imageWidth": 200, "imageHeight": 100}
    corners = points or ({"x": 0.1, "y": 0.2}, {"x": 0.5, "y": 0.6})
    return {**known, "points": list(corners), **changes}


def line(*annotations: object, **changes: object) -> str:
    return json.dumps({"content": URL, "annotation": list(annotations), "extras": None, **changes})


def read(file: Path, *lines: str, **options: Any) -> list[ImageRecord]:
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return list(datasets.read(f"dataturks:{file}", **options))


def only(file: Path, *annotations: object) -> tuple[FaceRecord, list[str]]:
    """The face of one line, and the codes of its repairs."""
    (record,) = read(file, line(*annotations))
    return record.faces[0], [repair.code for repair in record.repairs]


@pytest.mark.data
def test_the_real_file(data_root: Path, file: Path) -> None:
    records = list(datasets.read(f"dataturks:{data_root}/dataturks/face_detection.json"))
    faces = [face for record in records for face in record.faces]
    assert (len(records), len(faces)) == (408, 1131)
    assert {face.label for face in faces} == {"face"}
    assert list(repairs_of(records)) == []
    first = records[0]
    assert (first.size, first.faces[0].box) == ((333, 650), (56, 102, 112, 151))
    losses = datasets.write(records, f"dataturks:{file}")
    assert list(dataturks.read(file)) == records
    assert losses.lost == {}


@pytest.mark.data
def test_the_real_file_as_the_tutorials_csv(data_root: Path, tmp_path: Path) -> None:
    source = f"dataturks:{data_root}/dataturks/face_detection.json"
    losses = datasets.write(datasets.read(source, names="number"), f"csv:{tmp_path}/faces.csv")
    assert (losses.images, losses.faces) == (408, 1131)
    with (tmp_path / "faces.csv").open(newline="") as rows:
        table = list(csv.reader(rows))
    # The tutorial's own arithmetic.
    text = (data_root / "dataturks" / "face_detection.json").read_text()
    expected = []
    for number, one in enumerate(map(json.loads, text.splitlines())):
        for face in one["annotation"]:
            width, height = face["imageWidth"], face["imageHeight"]
            (x1, y1), (x2, y2) = ((point["x"], point["y"]) for point in face["points"])
            box = [x1 * width, y1 * height, x2 * width, y2 * height]
            corners = [str(round(value)) for value in box]
            expected.append([f"face_{number}.jpeg", str(width), str(height), *corners, "face"])
    assert ",".join(table[0]) == "file_name,width,height,x_min,y_min,x_max,y_max,class_name"
    assert table[1:] == expected


def test_a_line(file: Path) -> None:
    (record,) = read(file, line(annotation(notes="blurred"), annotation(label="Cat")))
    assert (record.name, record.size, record.attributes) == ("a b.jpg", (100, 200), {"url": URL})
    assert [face.box for face in record.faces] == [(20, 20, 100, 60)] * 2
    assert [face.label for face in record.faces] == ["face", "Cat"]
    assert [dict(face.attributes) for face in record.faces] == [{"notes": "blurred"}, {}]
    assert record.source == datasets.Provenance(str(file), 1)
    assert record.repairs == ()


def test_null_is_no_faces(file: Path) -> None:
    first, second = read(file, line(annotation=None), "", line(content="b.jpg"))
    assert [first.faces, second.faces] == [(), ()]
    assert str(first.repairs[0]) == f"{file}:1: null-annotation: null; taken as no faces"
    assert (second.name, second.attributes, second.source) == (
        "b.jpg",
        {},
        datasets.Provenance(str(file), 3),
    )


@pytest.mark.parametrize(
    "corners",
    [
        ([0.5, 0.6], [0.1, 0.2]),
        ({"x": 0.1, "y": 0.6}, {"x": 0.5, "y": 0.2}),
        ({"x": 0.5, "y": 0.2}, [0.1, 0.6]),
    ],
)
def test_corners_in_any_order(file: Path, corners: tuple[object, object]) -> None:
    face, codes = only(file, annotation(*corners))
    assert (face.box, codes) == ((20, 20, 100, 60), ["swapped-corners"])


def test_pairs_and_polygons(file: Path) -> None:
    face, codes = only(file, annotation([0.1, 0.2], [0.5, 0.6]))
    assert (face.box, face.polygons, codes) == ((20, 20, 100, 60), None, [])
    face, codes = only(file, annotation([0.5, 0.2], [0.1, 0.4], [0.3, 0.6]))
    assert (face.box, codes) == ((20, 20, 100, 60), [])
    assert face.polygons == ((100, 20, 20, 40, 60, 60),)


@pytest.mark.parametrize(
    ("label", "expected", "codes"),
    [
        ("face", "face", []),
        (["FACE"], "face", []),
        (7, "7", []),
        (["Man", "Face"], "Man", ["several-labels"]),
        ([], "face", ["no-label"]),
        (None, "face", ["no-label"]),
        ([None, " "], "face", ["no-label"]),
    ],
)
def test_labels(file: Path, label: object, expected: str, codes: list[str]) -> None:
    face, found = only(file, annotation(label=label))
    assert (face.label, found) == (expected, codes)


def test_points_outside_the_image_and_boxes_without_area(file: Path) -> None:
    face, codes = only(file, annotation([-0.01, 0.2], [0.5, 1.5]))
    assert (face.box, codes) == ((0, 20, 100, 100), ["out-of-range"])
    face, codes = only(file, annotation([0.1, 0.2], [0.1, 0.6]))
    assert (face.box, face.ignore, codes) == ((20, 20, 20, 60), True, ["empty-box"])


def test_the_images_own_size_wins(file: Path) -> None:
    write_image(file.with_name("a b.jpg"), np.zeros((50, 80, 3), dtype=np.uint8))
    file.with_name("broken.jpg").write_bytes(b"no image")
    first, second = read(file, line(annotation()), line(annotation(), content="broken.jpg"))
    assert (first.size, first.faces[0].box) == ((50, 80), (8, 10, 40, 30))
    assert first.attributes == {"url": URL, "stated_width": 200, "stated_height": 100}
    assert [repair.message for repair in first.repairs] == [
        "states 200 x 100 pixels; the image has 80 x 50"
    ]
    assert (second.size, [repair.code for repair in second.repairs]) == (
        (100, 200),
        ["unreadable-image"],
    )


def test_several_sizes(file: Path) -> None:
    (record,) = read(file, line(annotation(), annotation(imageWidth=300)))
    assert (record.size, [repair.code for repair in record.repairs]) == (
        (100, 200),
        ["several-sizes"],
    )


def test_names_are_unique_or_numbered(file: Path) -> None:
    lines = [line(), line(), line(content="a b_2.jpg"), line(content="a b_2.jpg")]
    records = read(file, *lines)
    assert [record.name for record in records] == [
        "a b.jpg",
        "a b_2.jpg",
        "a b_2_3.jpg",
        "a b_2_4.jpg",
    ]
    codes = Counter(repair.code for repair in repairs_of(records))
    assert codes == {"duplicate-name": 3}
    records = read(file, *lines[:2], names="number")
    assert [record.name for record in records] == ["face_0.jpeg", "face_1.jpeg"]
    with pytest.raises(ConfigError, match="'url' or 'number'"):
        read(file, names="hash")


MALFORMED = {
    "no JSON": ("{'content': 1}", "not JSON"),
    "half a line": (line(annotation())[:50], "not JSON"),
    "two values": ("{} {}", "not JSON"),
    "deep nesting": ("[" * 200_000, "not JSON"),
    "a boundless number": ('{"content": ' + "9" * 5000 + "}", "not JSON"),
    "NaN": (line(annotation([float("nan"), 0], [1, 1])), "NaN is no JSON"),
    "half a pair": (line(annotation(label="\ud800")), "not JSON: 'utf-8' codec"),
    "a boundless name": (line(content="a" * 300), "longer than a file name can be"),
    "a list": ("[]", "a line is an object"),
    "no content": (json.dumps({"annotation": []}), "content must be"),
    "content of null": (line(content=None), "content must be"),
    "no annotation": (json.dumps({"content": URL}), "annotation must be a list or null"),
    "annotation is text": (line(annotation="[]"), "annotation must be a list or null"),
    "text for a face": (line("face"), "an annotation is an object, got str"),
    "null for a face": (line(None), "an annotation is an object, got NoneType"),
    "no width": (line(annotation(imageWidth=None)), "width and height must be whole"),
    "a width of 0": (line(annotation(imageWidth=0)), "width and height must be whole"),
    "a height of text": (line(annotation(imageHeight="100")), "width and height must be whole"),
    "no points": (line(annotation(points=None)), "points is a list of at least 2"),
    "one point": (line(annotation([0, 0])), "points is a list of at least 2"),
    "a point of one": (line(annotation([0], [1, 1])), "a point must be 2 numbers"),
    "a point without y": (line(annotation({"x": 0}, [1, 1])), "a point must be 2 numbers"),
    "a point of text": (line(annotation(["0", 0], [1, 1])), "a point must be 2 numbers"),
    "a point of flags": (line(annotation([True, 0], [1, 1])), "a point must be 2 numbers"),
    "a number for a point": (line(annotation(0, 1)), "a point must be 2 numbers"),
    "pixels": (line(annotation([20, 20], [100, 60])), "fractions of the image, 0 to 1"),
    "a label of objects": (line(annotation(label=[{}])), "a label is text or a list"),
    "a label of true": (line(annotation(label=True)), "a label is text or a list"),
    "notes of a number": (line(annotation(notes=3)), "notes are text"),
    "a URL without a name": (line(content="http://host.example/"), "not a file name"),
    "a malformed URL": (line(content="http://[host/a.jpg"), "not a URL"),
    "a hidden way up": (line(content="http://host.example/%2e%2e"), "would leave"),
    "a way up": (line(content="../a.jpg"), "would leave"),
    "an absolute name": (line(content="/etc/passwd"), "would leave"),
    "a way up in extras": (line(extras={"file_name": "../a.jpg"}), "would leave"),
    "half a size in extras": (line(extras={"imageWidth": 3}), "width and height must be whole"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(file: Path, name: str) -> None:
    text, reason = MALFORMED[name]
    with pytest.raises(DatasetError) as caught:
        read(file, line(annotation(), content="good.jpg"), text)
    assert (caught.value.file, caught.value.line) == (str(file), 2)
    assert reason in caught.value.reason


def test_other_bytes(file: Path) -> None:
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(DatasetError, match="not utf-8"):
        list(dataturks.read(file))
    with pytest.raises(DatasetError, match="no such file"):
        list(dataturks.read(file.with_name("missing.json")))


def test_lines_have_a_limit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataturks, "_LONGEST_LINE", 1000)
    with pytest.raises(DatasetError, match="1000 characters or more") as caught:
        read(file, line(), " " * 2000)
    assert caught.value.line == 2


def test_what_cannot_be_held_is_reported(file: Path) -> None:
    face = FaceRecord(
        box=(-5, 5, 10, 20),
        attributes={"blur": 1, "notes": 3},
        polygons=((1, 2, 3, 4, 5, 6),),
    )
    record = ImageRecord(
        name="c.jpg",
        size=(10, 20),
        faces=(face, dataclasses.replace(face, ignore=True)),
        attributes={"url": URL, "stated_width": 4},
    )
    losses = datasets.write([record], f"dataturks:{file}")
    assert losses.lost == {
        "attributes.blur": 1,
        "attributes.notes": 1,
        "ignored faces": 1,
        "polygons": 1,
        "parts of boxes outside the image": 1,
        "image attributes.stated_width": 1,
    }
    assert list(dataturks.read(file)) == [reduced(record, dataturks.HOLDS)]


def test_an_image_without_faces_stops_no_table(file: Path) -> None:
    file.write_text(f"{line(annotation=None)}\n{line(annotation())}\n")
    losses = datasets.write(datasets.read(f"dataturks:{file}"), f"csv:{file.with_suffix('.csv')}")
    assert (losses.images, losses.faces) == (1, 1)
    assert losses.lost["images without faces"] == 1


def test_a_killed_writer_leaves_the_old_file(file: Path) -> None:
    file.write_text("old")
    good = ImageRecord(name="c.jpg", size=(10, 20))
    with pytest.raises(DatasetError, match="size is not known"):
        dataturks.write([good, good.replace(size=None)], file)
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\:."),
    min_size=1,
    max_size=8,
)


@st.composite
def records(draw: st.DrawFn) -> ImageRecord:
    height, width = draw(st.integers(2, 5000)), draw(st.integers(2, 5000))
    starts, ends = st.floats(0, 0.5), st.floats(0.51, 1)
    faces = []
    for label in draw(st.lists(st.sampled_from(["face", "cat", "Ψ"]), max_size=3)):
        x1, x2 = (round(draw(place) * width, 6) for place in (starts, ends))
        y1, y2 = (round(draw(place) * height, 6) for place in (starts, ends))
        faces.append(FaceRecord(box=(x1, y1, x2, y2), label=label))
    attributes = draw(st.sampled_from([{}, {"url": URL}, {"url": "http://[oops/a.jpg"}]))
    return ImageRecord(
        name=draw(words), size=(height, width), faces=tuple(faces), attributes=attributes
    )


@given(st.lists(records(), max_size=3, unique_by=lambda record: record.name))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: list[ImageRecord]) -> None:
    file = tmp_path_factory.mktemp("dataturks") / "faces.json"
    assert datasets.write(written, f"dataturks:{file}").lost == {}
    assert list(datasets.read(f"dataturks:{file}")) == written
