"""Repaired copies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facekit import datasets
from facekit.datasets.check import check
from facekit.datasets.fix import fix, mended, report_of
from facekit.datasets.records import FaceRecord, ImageRecord, Provenance
from facekit.errors import ConfigError, DatasetError, OutputError

TEXT = """a.jpg
5
10 10 30 30 0 0 0 0 0 0
10 10 30 30 0 0 0 0 0 0
180 80 30 30 0 0 0 0 0 0
50 10 0 30 0 0 0 0 0 0
300 10 30 30 0 0 0 0 0 0
gone.jpg
1
10 10 30 30 0 0 0 0 0 0
a.jpg
1
60 10 30 30 0 0 0 0 0 0
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    folder = tmp_path / "WIDER_val" / "images"
    folder.mkdir(parents=True)
    Image.new("RGB", (200, 100)).save(folder / "a.jpg")
    text = tmp_path / "wider_face_val_bbx_gt.txt"
    text.write_text(TEXT)
    return f"wider_face:{text}"


def test_a_repaired_copy_has_no_errors(source: str, tmp_path: Path) -> None:
    target = f"wider_face:{tmp_path / 'fixed_val_bbx.txt'}"
    before = Path(source.partition(":")[2]).read_bytes()
    fixed = fix(source, target, drop_missing=True)
    assert [one.code for one in check(target)] == []
    (record,) = datasets.read(target)
    assert [face.box for face in record.faces] == [
        (10, 10, 40, 40),
        (180, 80, 200, 100),
        (60, 10, 90, 40),
    ]
    assert Path(source.partition(":")[2]).read_bytes() == before
    assert (fixed.losses.images, fixed.losses.faces) == (1, 3)
    assert fixed.report == report_of(target) == tmp_path / "fixed_val_bbx.txt.repairs.jsonl"
    lines = [json.loads(line) for line in fixed.report.read_text().splitlines()]
    assert [(line["code"], line["line"]) for line in lines] == [
        ("box-leaves-image", 5),
        ("empty-box", 6),
        ("box-outside", 7),
        ("duplicate-face", 4),
        ("image-missing", 8),
        ("duplicate-image", 11),
    ]
    assert fixed.repairs.total() == len(lines)
    assert all(line["file"] == source.partition(":")[2] for line in lines)


def test_missing_images_stay_unless_told(source: str, tmp_path: Path) -> None:
    fixed = fix(source, f"wider_face:{tmp_path / 'out.txt'}", report=tmp_path / "list.jsonl")
    assert fixed.losses.images == 2
    assert fixed.report == tmp_path / "list.jsonl"
    assert "image-missing" not in fixed.report.read_text()


def test_the_source_is_never_written_over(source: str, tmp_path: Path) -> None:
    before = Path(source.partition(":")[2]).read_bytes()
    for target in (source, f"voc:{tmp_path}"):
        with pytest.raises(ConfigError, match="would overwrite what is read"):
            fix(source, target)
    assert Path(source.partition(":")[2]).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "WIDER_val",
        "wider_face_val_bbx_gt.txt",
    ]


def test_what_cannot_be_mended_leaves_nothing(source: str, tmp_path: Path) -> None:
    text = Path(source.partition(":")[2])
    text.write_text(TEXT + "b.jpg\nmany\n")
    with pytest.raises(DatasetError, match=":15: expected the number"):
        fix(source, f"wider_face:{tmp_path / 'out.txt'}")
    with pytest.raises(OutputError):
        fix(source, f"wider_face:{tmp_path / 'no' / 'out.txt'}")
    assert len(list(tmp_path.iterdir())) == 2


def one(*faces: FaceRecord, **more: Any) -> tuple[ImageRecord | None, list[str]]:
    record = ImageRecord(name="a", faces=faces, source=Provenance("f", 1), **more)
    ((kept, found),) = mended([record])
    return kept, [finding.code for finding in found]


def test_numbers_that_are_none() -> None:
    bad = FaceRecord(box=(math.nan, 0, 1, 1))
    points = FaceRecord(box=(0, 0, 9, 9), landmarks=((math.inf, 1),), scheme="nose")
    kept, codes = one(bad, points)
    assert kept is not None
    assert codes == ["not-finite", "not-finite"]
    assert kept.faces == (FaceRecord(box=(0, 0, 9, 9)),)


def test_a_box_with_landmarks_may_leave_the_image() -> None:
    face = FaceRecord(box=(-5, 0, 9, 9), landmarks=((1, 1),), scheme="nose")
    assert one(face, size=(50, 50)) == (ImageRecord(name="a", faces=(face,), size=(50, 50)), [])


def test_the_image_s_own_size_is_kept(source: str) -> None:
    root = Path(source.partition(":")[2]).parent / "WIDER_val" / "images"
    record = ImageRecord(name="a.jpg", root=root, size=(200, 100))
    ((kept, found),) = mended([record])
    assert kept is not None
    assert (kept.size, [finding.code for finding in found]) == ((100, 200), ["size-swapped"])
