"""Splits: groups whole, shares right, order without effect."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import datasets
from facekit.datasets.records import FaceRecord, ImageRecord, Provenance
from facekit.datasets.split import group_key, plan, split
from facekit.errors import ConfigError, DatasetError


def record(name: str, *heights: float, **attributes: str) -> ImageRecord:
    faces = tuple(FaceRecord(box=(0, 0, 10, height)) for height in heights)
    return ImageRecord(name=name, faces=faces, source=Provenance("list", 3), attributes=attributes)


@pytest.mark.parametrize(
    ("by", "name", "key"),
    [
        ("photo", "a/b.jpg", "a/b"),
        ("photo", "a/b_mirror.jpg", "a/b"),
        ("photo", "a/b.v2.png", "a/b.v2"),
        ("photo", "_mirror.jpg", "_mirror"),
        ("stem", "c/b_mirror.jpg", "b"),
        ("person", "p1/Luis_Fonsi_21.jpg", "Luis_Fonsi"),
        ("person", "p1/Luis_Fonsi_21_mirror.jpg", "Luis_Fonsi"),
        ("person", "Ann-Lee 03.png", "Ann-Lee"),
        ("person", "Ann_Lee/0003.png", "Ann_Lee"),
        ("person", "0003.png", "0003"),
        (r"^(\d+)--", "12--Group/12_x.jpg", "12"),
        (r"(a)|(b)", "b.jpg", "b"),
        (r"[a-z]+", "abc1.jpg", "abc"),
    ],
)
def test_keys(by: str, name: str, key: str) -> None:
    assert group_key(by)(record(name)) == key


def test_a_stated_person_counts() -> None:
    assert group_key("person")(record("x_1.jpg", person="Ann")) == "Ann"


def test_wrong_rules() -> None:
    with pytest.raises(ConfigError, match="neither photo, person, stem nor a regular"):
        group_key("(")
    with pytest.raises(DatasetError, match=r"list:3: 'a\.jpg' does not match 'fhoto'"):
        group_key("fhoto")(record("a.jpg"))


RECORDS = st.lists(
    st.builds(
        record,
        st.builds(
            "{}_{}{}.jpg".format, *[st.integers(0, 30)] * 2, st.sampled_from(["", "_mirror"])
        ),
        st.floats(1, 1000),
    ),
    min_size=3,
    max_size=60,
)


@given(RECORDS, st.integers(0, 3), st.sampled_from(["photo", "person"]))
def test_groups_are_whole_and_the_order_has_no_effect(
    records: list[ImageRecord], seed: int, by: str
) -> None:
    key = group_key(by)
    groups = {key(one) for one in records}
    if len(groups) < 3:
        return
    decided = plan(records, (0.6, 0.3, 0.1), seed=seed, by=by)
    shuffled = random.Random(seed).sample(records, len(records))  # noqa: S311 - an order
    assert plan(shuffled, (0.6, 0.3, 0.1), seed=seed, by=by).parts == decided.parts
    assert set(decided.parts) == groups
    assert sum(decided.images) == len(records)
    counts = Counter(decided.part_of(one) for one in records)
    assert [counts[part] for part in range(3)] == list(decided.images)
    assert all(decided.images)


def test_shares_are_met_in_every_size() -> None:
    rng = random.Random(3)  # noqa: S311 - a synthetic dataset
    records = [record(f"{n}.jpg", 2.0 ** rng.uniform(2, 9)) for n in range(4000)]
    decided = plan(records, (0.95, 0.05))
    assert decided.images == (3800, 200)
    small = Counter(decided.part_of(one) for one in records if one.faces[0].height < 32)
    assert small[1] / small.total() == pytest.approx(0.05, abs=0.004)
    other = plan(records, (0.95, 0.05), seed=1)
    assert other.images == decided.images
    assert other.parts != decided.parts


def test_every_part_has_something() -> None:
    decided = plan([record(f"{n}.jpg", 9.0) for n in range(4)], (0.95, 0.05))
    assert decided.images == (3, 1)
    with pytest.raises(DatasetError, match="1 groups by photo cannot make 2 parts"):
        plan([record("a.jpg"), record("a_mirror.jpg")])


@pytest.mark.parametrize("fractions", [(1.0,), (0.5, 0.6), (1.5, -0.5), (0.01,) * 101])
def test_wrong_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="fractions"):
        plan([], fractions)


def test_a_record_that_comes_later_is_refused() -> None:
    decided = plan([record("a.jpg"), record("b.jpg")])
    with pytest.raises(DatasetError, match=r"c\.jpg was not there before"):
        decided.part_of(record("c.jpg"))


def lines(tmp_path: Path, count: int) -> str:
    text = tmp_path / "all.txt"
    text.write_text("".join(f"{n}.jpg\n1\n0 0 9 {n + 1} 0 0 0 0 0 0\n" for n in range(count)))
    return f"wider_face:{text}"


def test_parts_are_written(tmp_path: Path) -> None:
    source = lines(tmp_path, 40)
    targets = [f"wider_face:{tmp_path / name}" for name in ("a.txt", "b.txt", "c.txt")]
    losses = split(source, targets, (0.5, 0.25))
    names = [{one.name for one in datasets.read(target)} for target in targets]
    assert [one.images for one in losses] == [len(part) for part in names] == [20, 10, 10]
    assert len(set.union(*names)) == 40


def test_parts_from_a_function(tmp_path: Path) -> None:
    def start() -> Iterator[ImageRecord]:
        return (record(f"{n}.jpg", 9.0) for n in range(40))

    targets = [f"wider_face:{tmp_path / name}" for name in ("a.txt", "b.txt")]
    assert [one.images for one in split(start, targets)] == [38, 2]


def test_wrong_targets(tmp_path: Path) -> None:
    source = lines(tmp_path, 4)
    other = f"wider_face:{tmp_path / 'a.txt'}"
    with pytest.raises(ConfigError, match="to one place"):
        split(source, [other, other])
    with pytest.raises(ConfigError, match="2 parts need that many fractions, got 3"):
        split(source, [other, f"{other}2"], (0.5, 0.3, 0.2))
    with pytest.raises(ConfigError, match="would overwrite"):
        split(source, [other, source])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.data
def test_no_person_is_on_both_sides(data_root: Path) -> None:
    records = list(datasets.read(f"ibug300w:{data_root / 'landmarks68' / 'labels_p1_train.xml'}"))
    decided = plan(records, by="person")
    assert len(decided.parts) == 347
    people = [
        {one.name.rpartition("_")[0] for one in records if decided.part_of(one) == part}
        for part in range(2)
    ]
    assert not people[0] & people[1]
    assert decided.images[1] / len(records) == pytest.approx(0.05, abs=0.005)
