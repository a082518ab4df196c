"""The linter: each quirk by its name, with file and line."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit.datasets.check import check
from facekit.datasets.check_faces import duplicates
from facekit.datasets.findings import CODES, Severity
from facekit.datasets.formats import formats
from facekit.datasets.records import FaceRecord, ImageRecord, Provenance, Repair
from facekit.errors import DatasetError, UnknownNameError

SIZE = (100, 200)
NOSE = tuple((20.0 + n / 10, 20.0) for n in range(68))


def record(*faces: FaceRecord, name: str = "a.jpg", **more: Any) -> ImageRecord:
    return ImageRecord(
        name=name, faces=faces, source=Provenance("list.txt", 7), **{"size": SIZE, **more}
    )


def face(*box: float, line: int | None = 8, **more: Any) -> FaceRecord:
    x1, y1, x2, y2 = box
    return FaceRecord(box=(x1, y1, x2, y2), line=line, **more)


GOOD = face(10, 10, 40, 50)


def found(*records: ImageRecord, **options: Any) -> list[tuple[str, int | None]]:
    findings = list(check(records, **{"look_at_images": False, **options}))
    assert all(one.where.file in {"list.txt", one.image} for one in findings)
    return [(one.code, one.where.line) for one in findings]


def test_a_clean_record_has_no_findings() -> None:
    assert found(record(GOOD, face(60, 10, 90, 50, landmarks=((70, 30),), scheme="nose"))) == []


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (face(math.nan, 10, 40, 50), "not-finite"),
        (face(10, 10, math.inf, 50), "not-finite"),
        (face(10, 10, 10, 50), "empty-box"),
        (face(10, 50, 40, 10), "empty-box"),
        (face(200, 10, 240, 50), "box-outside"),
        (face(-40, 10, 0, 50), "box-outside"),
        (face(180, 10, 201, 50), "box-leaves-image"),
        (face(-1, 10, 40, 50), "box-leaves-image"),
        (face(10, 70, 40, 100.5), "box-leaves-image"),
        (face(10, 10, 16, 26), "tiny-face"),
        (face(10, 10, 22, 60), "elongated-box"),
        (face(10, 10, 40, 50, landmarks=((math.nan, 1),), scheme="nose"), "not-finite"),
        (face(50, 50, 90, 90, landmarks=NOSE, scheme="ibug68"), "landmarks-outside-box"),
        (
            face(10, 10, 40, 50, landmarks=((20, 20), (20, 30), (20, -9))),
            "landmarks-outside-image",
        ),
        (face(10, 10, 40, 50, landmarks=NOSE[:67], scheme="ibug68"), "point-count"),
        (face(10, 10, 40, 50, landmarks=((20, 20),), visibility=(2, 2)), "point-count"),
    ],
)
def test_a_face_has_its_quirk_at_its_own_line(bad: FaceRecord, code: str) -> None:
    other = face(120, 10, 160, 50, line=9)
    assert found(record(other, bad)) == [(code, 8)]
    assert code in CODES


def test_what_is_not_annotated_is_not_outside() -> None:
    unseen = face(10, 10, 40, 50, landmarks=((0, 0), (0, 0), (20, 20)), visibility=(0, 0, 2))
    assert found(record(unseen)) == []


def test_rounding_is_no_quirk() -> None:
    assert found(record(face(-1e-4, 0, 200.0004, 100.0004))) == []


def test_an_ignored_face_may_be_small_but_not_impossible() -> None:
    assert found(record(face(10, 10, 12, 40, ignore=True))) == []
    assert found(record(face(10, 10, 10, 40, ignore=True))) == [("empty-box", 8)]


def test_without_a_size_nothing_is_outside() -> None:
    assert found(record(face(500, 500, 600, 600), size=None)) == []


def test_a_reader_s_repair_is_a_note_and_stands_for_the_quirk() -> None:
    repair = Repair("empty-box", Provenance("list.txt", 8), "kept as ignored")
    (note,) = check(
        [record(face(10, 10, 10, 40, ignore=True), repairs=(repair,))], look_at_images=False
    )
    assert (note.code, note.severity, note.where.line) == ("empty-box", Severity.NOTE, 8)
    assert str(note) == "list.txt:8: note: empty-box: kept as ignored"
    assert note.to_dict() == {
        "code": "empty-box",
        "severity": "note",
        "file": "list.txt",
        "line": 8,
        "image": "a.jpg",
        "message": "kept as ignored",
    }


def test_names() -> None:
    records = [record(GOOD, name=name) for name in ("a.jpg", "b.jpg", "a.jpg", "B.jpg", "../c.jpg")]
    assert found(*records) == [("duplicate-image", 7), ("name-case", 7), ("unsafe-name", 7)]
    (twice,) = check(
        [ImageRecord(name="a", faces=(GOOD,)), ImageRecord(name="a", faces=(GOOD,))],
        look_at_images=False,
    )
    assert str(twice) == "a: error: duplicate-image: a is there twice"


def test_labels_that_differ_by_case_are_told_once() -> None:
    one, two = face(10, 10, 40, 50, label="mask"), face(60, 10, 90, 50, label=" Mask")
    assert found(record(one, two), record(one, two, name="b")) == [("label-spelling", 8)]


def test_images_without_faces() -> None:
    assert found(record()) == [("no-faces", 7)]


def test_duplicate_faces() -> None:
    nearly = face(10, 10, 40, 51, line=9)
    other = face(10, 10, 40, 50, label="mask", line=10)
    assert found(record(GOOD, GOOD, nearly, other)) == [
        ("duplicate-face", 8),
        ("near-duplicate-face", 9),
    ]


def test_duplicates_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(5)
    corners = rng.integers(0, 20, (400, 2))
    sides = rng.integers(20, 26, (400, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).tolist()
    faces = [face(*box) for box in boxes]
    twins = {later: (earlier, overlap) for later, earlier, overlap in duplicates(faces)}
    expected = {}
    for later, one in enumerate(boxes):
        for earlier, two in enumerate(boxes[:later]):
            width = min(one[2], two[2]) - max(one[0], two[0])
            height = min(one[3], two[3]) - max(one[1], two[1])
            shared = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, two)]
            if shared / (sum(areas) - shared) >= 0.9:
                expected[later] = earlier
                break
    assert len(expected) > 5
    assert {later: earlier for later, (earlier, _) in twins.items()} == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.jpg")
    Image.new("RGB", (200, 100)).save(tmp_path / "same.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "size", "codes"),
    [
        ("a.jpg", (100, 200), []),
        ("a.jpg", None, []),
        ("a.jpg", (200, 100), ["size-swapped"]),
        ("a.jpg", (100, 201), ["size-differs"]),
        ("gone.jpg", None, ["image-missing"]),
        ("text.jpg", None, ["image-unreadable"]),
    ],
)
def test_image_files(folder: Path, name: str, size: tuple[int, int], codes: list[str]) -> None:
    looked = found(record(GOOD, name=name, size=size, root=folder), look_at_images=True)
    assert [code for code, _ in looked] == codes


def test_the_true_size_counts(folder: Path) -> None:
    outside = record(face(150, 10, 190, 50), size=(200, 100), root=folder)
    assert found(outside, look_at_images=True) == [("size-swapped", 7)]
    assert found(outside) == [("box-outside", 8)]


def test_images_that_are_not_at_hand_are_counted_at_the_end(folder: Path) -> None:
    data = (folder / "a.jpg").read_bytes()
    records = [record(GOOD, name=name) for name in "xyz"]
    findings = list(check([*records, record(GOOD, data=data)]))
    assert [(one.code, one.message.split()[0]) for one in findings] == [("images-not-at-hand", "3")]


def test_equal_images_under_two_names(folder: Path) -> None:
    data = (folder / "a.jpg").read_bytes()
    records = [
        record(GOOD, root=folder),
        record(GOOD, name="same.jpg", root=folder),
        record(GOOD, name="packed.jpg", data=data),
    ]
    assert found(*records, look_at_images=True) == []
    looked = found(*records, look_at_images=True, contents=True)
    assert looked == [("same-content", 7)] * 2


def test_a_malformed_line_is_a_finding(tmp_path: Path) -> None:
    text = tmp_path / "list.txt"
    text.write_text("a.jpg\n1\n1 1 30 30 0 0 0 0 0 0\nb.jpg\none\n")
    findings = list(check(f"wider_face:{text}"))
    assert [(one.code, one.where.line) for one in findings] == [
        ("malformed", 5),
        ("images-not-at-hand", None),
    ]
    with pytest.raises(UnknownNameError):
        list(check("wider:x"))
    with pytest.raises(DatasetError, match="no such file"):
        list(check(f"wider_face:{tmp_path / 'gone.txt'}"))


def test_the_documents_list_every_finding_and_every_format() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    rows = [
        f"| `{code}` | {kind.severity} | {kind.meaning} | {kind.remedy} |"
        for code, kind in CODES.items()
    ]
    assert [row for row in rows if row not in text] == []
    assert [one.name for one in formats() if f"| `{one.name}` |" not in text] == []


@pytest.mark.data
def test_the_published_text(data_root: Path) -> None:
    text = data_root / "wider" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    counts = Counter(one.code for one in check(f"wider_face:{text}", look_at_images=False))
    # Eleven boxes without area, and one face that is there twice.
    assert (counts["empty-box"], counts["duplicate-face"]) == (11, 1)
    assert not {code for code in counts if code in CODES and CODES[code].severity == "error"} - {
        "empty-box"
    }


@pytest.mark.data
def test_published_sizes_are_true(data_root: Path) -> None:
    xml = data_root / "dlib_faces" / "training_with_face_landmarks.xml"
    assert list(check(f"ibug300w:{xml}", contents=True)) == []
