"""Filters by size and quality."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from facekit import datasets
from facekit.datasets.filter import PRESETS, TFOD_MARGIN, Rules, filtered
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, DatasetError


def face(width: float = 30, height: float = 40, **more: Any) -> FaceRecord:
    return FaceRecord(box=(10, 10, 10 + width, 10 + height), **more)


def kept(rules: Rules, *faces: FaceRecord) -> tuple[list[FaceRecord], dict[str, int]]:
    counts: Counter[str] = Counter()
    record = ImageRecord(name="a.jpg", faces=faces, size=(100, 200))
    return [one for left in filtered([record], rules, counts) for one in left.faces], dict(counts)


@pytest.mark.parametrize(
    ("rules", "bad", "reason"),
    [
        (Rules(min_width=31), face(), "small"),
        (Rules(min_height=41), face(), "small"),
        (Rules(invalid=False), face(attributes={"invalid": 1}), "invalid"),
        (Rules(ignored=False), face(ignore=True), "ignored"),
        (Rules(max_blur=1), face(attributes={"blur": 2}), "blur"),
        (Rules(max_occlusion=0), face(attributes={"occlusion": 1}), "occlusion"),
        (Rules(labels=frozenset({"mask"})), face(), "label face"),
    ],
)
def test_each_rule(rules: Rules, bad: FaceRecord, reason: str) -> None:
    good = face(50, 60, label="mask", attributes={"blur": 0, "occlusion": "none", "invalid": 0})
    assert kept(rules, bad, good) == ([good], {reason: 1})
    assert kept(Rules(), bad, good) == ([bad, good], {})


def test_the_preset() -> None:
    faces = [face(25, 30), face(24.9, 90), face(90, 29.9), face(attributes={"invalid": 1})]
    assert kept(PRESETS["tfod"], *faces) == (faces[:1], {"small": 2, "invalid": 1})


def test_marked_instead_of_left_out() -> None:
    small = face(5, 5)
    assert kept(Rules(min_width=9, mark=True), small) == ([face(5, 5, ignore=True)], {"small": 1})


def test_images_left_without_faces() -> None:
    records = [ImageRecord(name="a", faces=(face(),)), ImageRecord(name="b", faces=(face(9, 9),))]
    assert len(list(filtered(records, Rules(min_width=20)))) == 2
    counts: Counter[str] = Counter()
    rules = Rules(min_width=20, empty_images=False)
    assert list(filtered(records, rules, counts)) == records[:1]
    assert counts == {"small": 1, "image without faces": 1}


def test_boxes_are_brought_into_the_image() -> None:
    faces = [FaceRecord(box=(-9, 50, 40, 120)), face(), FaceRecord(box=(-40, 0, 0, 40))]
    left, counts = kept(Rules(margin=TFOD_MARGIN), *faces)
    assert left == [FaceRecord(box=(1, 50, 40, 99.5)), face()]
    assert counts == {"brought into the image": 1, "outside the image": 1}
    with pytest.raises(DatasetError, match="size is not known"):
        list(filtered([ImageRecord(name="a", faces=(face(),))], Rules(margin=0.0)))
    with pytest.raises(DatasetError, match="not a box"):
        kept(Rules(margin=0.0), FaceRecord(box=(math.nan, 0, 1, 1)))


@pytest.mark.parametrize("bad", [{"min_width": -1}, {"min_height": math.nan}, {"margin": 0.5}])
def test_wrong_values(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Rules(**bad)  # type: ignore[arg-type]


@pytest.mark.data
def test_the_published_text(data_root: Path) -> None:
    text = data_root / "wider" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    rows = [words for line in text.read_text().splitlines() if len(words := line.split()) == 10]
    expected = sum(int(r[2]) >= 25 and int(r[3]) >= 30 and r[7] == "0" for r in rows)
    records = filtered(datasets.read(f"wider_face:{text}"), PRESETS["tfod"])
    assert sum(len(one.faces) for one in records) == expected == 12245
