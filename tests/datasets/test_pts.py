"""300-W's .pts files."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit import datasets
from facekit.datasets import pts
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, DatasetError, OutputError

POINTS = [f"{n + 1}.500 {2 * n + 1}.250" for n in range(68)]


def lines(*points: str, version: str = "version: 1", count: str = "n_points:  68") -> str:
    return "\n".join([version, count, "{", *points, "}", ""])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "face_1.pts"


def test_the_first_pixel_is_number_1_unless_told_otherwise(file: Path) -> None:
    file.write_text(lines(*POINTS))
    (record,) = pts.read(file)
    (face,) = record.faces
    assert (face.landmarks or ())[:2] == ((0.5, 0.25), (1.5, 2.25))
    assert (face.box, face.scheme) == ((0.5, 0.25, 67.5, 134.25), "ibug68")
    (record,) = pts.read(file, origin=0)
    assert (record.faces[0].landmarks or ())[0] == (1.5, 1.25)
    with pytest.raises(ConfigError, match="origin"):
        list(pts.read(file, origin=2))


def test_a_folder_of_pairs_is_read_by_both_names(tmp_path: Path) -> None:
    for name in ("b/two", "a/one", "three"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.pts").write_text(lines(*POINTS))
    (tmp_path / "a" / "one.png").touch()
    (tmp_path / "b" / "two.jpg").touch()
    records = list(datasets.read(f"pts:{tmp_path}"))
    assert [record.name for record in records] == ["a/one.png", "b/two.jpg", "three.jpg"]
    assert [[repair.code for repair in record.repairs] for record in records] == [
        [],
        [],
        ["no-image"],
    ]
    assert list(datasets.read(f"ibug300w:{tmp_path}")) == records


MALFORMED = {
    "67 points": (lines(*POINTS[:-1]), None, "the header says 68 points, got 67"),
    "69 points": (lines(*POINTS, "1 1"), None, "the header says 68 points, got 69"),
    "another count": (lines(count="n_points: 5"), 3, "n_points must be 68, got 5"),
    "no count": (lines(count=""), 3, "n_points must be 68, got nothing"),
    "another version": (lines(version="version: 2"), 3, "version 1 is known, got 2"),
    "another header": (lines(version="points of a face"), 1, "expected version"),
    "no points": ("version: 1\nn_points: 68\n", 2, "ends before its points"),
    "no brace": ("version: 1\nn_points: 68\n{\n1 1\n", 4, "before the closing brace"),
    "only a brace": ("version: 1\nn_points: 68\n{", None, "before the closing brace"),
    "one number": (lines("1.0"), 4, "expected x and y, got '1.0'"),
    "three numbers": (lines("1 2 3"), 4, "expected x and y"),
    "a word": (lines("1 nose"), 4, "expected x and y"),
    "no number": (lines("1 nan"), 4, "not a point"),
    "infinite": (lines("1 -inf"), 4, "not a point"),
    "more after the points": (lines(*POINTS) + "more\n", 73, "expected nothing after"),
    "an empty file": ("", 1, "ends before its points"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(file: Path, name: str) -> None:
    text, line, reason = MALFORMED[name]
    file.write_text(text)
    with pytest.raises(DatasetError) as caught:
        list(pts.read(file))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


def test_other_bytes_and_an_empty_folder(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not utf-8 text"):
        list(pts.read(file))
    file.unlink()
    with pytest.raises(DatasetError, match=r"has no \.pts files"):
        list(pts.read(file.parent))
    with pytest.raises(DatasetError, match="no such file"):
        list(pts.read(file))


def _face(shift: float = 0.123) -> FaceRecord:
    points = tuple((n + shift, 2 * n + shift) for n in range(68))
    return FaceRecord(
        box=(shift, shift, 67 + shift, 134 + shift), landmarks=points, scheme="ibug68"
    )


@pytest.mark.parametrize("origin", [0, 1])
def test_round_trip(tmp_path: Path, origin: int) -> None:
    written = [
        ImageRecord(name=name, faces=(_face(),)) for name in ("a.jpg", "b/a.jpg", "b/c/d.jpg")
    ]
    losses = datasets.write(written, f"pts:{tmp_path}/out", origin=origin)
    assert list(datasets.read(f"pts:{tmp_path}/out", origin=origin)) == written
    assert (losses.faces, losses.lost) == (3, {})


def test_what_pts_cannot_hold_is_reported(tmp_path: Path) -> None:
    wide = FaceRecord(box=(0, 0, 200, 200), landmarks=_face().landmarks, scheme="ibug68")
    bare = FaceRecord(box=(0, 0, 200, 200))
    written = [
        ImageRecord(name="a.png", faces=(bare, wide, _face())),
        ImageRecord(name="b.jpg", faces=(bare,)),
    ]
    losses = datasets.write(written, f"pts:{tmp_path}")
    assert losses.lost == {
        "faces without landmarks": 2,
        "faces after the first of an image": 1,
        "box": 1,
        "image suffix": 1,
        "images without faces": 1,
    }
    assert (losses.images, losses.faces) == (1, 1)
    (record,) = datasets.read(f"pts:{tmp_path}")
    assert record.faces[0].landmarks == wide.landmarks


def test_what_cannot_be_written(tmp_path: Path) -> None:
    twice = [ImageRecord(name=name, faces=(_face(),)) for name in ("a.jpg", "a.png")]
    with pytest.raises(DatasetError, match=r"two images would both be written as a\.pts"):
        pts.write(twice, tmp_path)
    with pytest.raises(DatasetError, match="one face"):
        pts.write([ImageRecord(name="a.jpg")], tmp_path)
    with pytest.raises(DatasetError, match="would leave"):
        pts.write([ImageRecord(name="../a.jpg", faces=(_face(),))], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        pts.write(twice, tmp_path / "file" / "folder")
