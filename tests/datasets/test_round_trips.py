"""A -> B -> A for every pair of formats: what both can hold comes back, what is lost is named."""

from __future__ import annotations

import dataclasses
import io
import itertools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facekit import datasets
from facekit.datasets.coco_objects import outline
from facekit.datasets.formats import Holds, find, reduced
from facekit.datasets.records import FACE, FaceRecord, ImageRecord

Require = Callable[[str], ModuleType]

# A new format is added here with the name of the file or folder that it is written to.
TARGETS = {
    "coco": "faces.json",
    "csv": "faces.csv",
    "dataturks": "faces.json",
    "detectron2": "faces.json",
    "ibug300w": "faces.xml",
    "labels": "labels.csv",
    "mmdet": "faces.json",
    "mmdet_voc": ".",
    "pts": ".",
    "tfrecord": "faces.record",
    "voc": ".",
    "wider_face": "wider_face_train_bbx_gt.txt",
    "yolo": ".",
}
NEEDS = {"tfrecord": "google_crc32c"}

# Images of these sizes are at hand. All are .jpg, because .pts files name no suffix.
SIZES = {"p/1 a.jpg": (120, 160), "p/2.jpg": (97, 61), "q/3.jpg": (200, 31), "4.jpg": (64, 64)}
BYTES: dict[str, bytes] = {}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for name, (height, width) in SIZES.items():
        buffer = io.BytesIO()
        Image.new("L", (width, height)).save(buffer, "JPEG")
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(buffer.getvalue())
        BYTES[name] = buffer.getvalue()
    return root


def eighths(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers that binary and decimal fractions both hold."""
    return st.integers(int(low * 8), int(high * 8)).map(lambda value: value / 8)


ATTRIBUTES: dict[str, st.SearchStrategy[Any]] = {
    "blur": st.integers(0, 2),
    "expression": st.integers(0, 1),
    "invalid": st.integers(0, 1),
    "occlusion": st.integers(0, 2),
    "pose": st.integers(0, 1),
    "truncated": st.integers(0, 1),
    "occluded": st.integers(0, 1),
    "difficult": st.integers(0, 1),
    "angle": eighths(-1, 1),
    "view": st.sampled_from(["Frontal", "Left <&>"]),
    "notes": st.sampled_from(["a note", "ärger"]),
    "sure": st.booleans(),
}


@st.composite
def landmarks(draw: st.DrawFn, size: tuple[int, int]) -> dict[str, Any]:
    """68 points that reach into the image, some of them not visible."""
    x, y = draw(eighths(-4, size[1] - 20)), draw(eighths(-4, size[0] - 20))
    step = draw(st.integers(2, 4))
    jitter = draw(st.lists(eighths(0, 1), min_size=68, max_size=68))
    points = tuple(
        (x + i % 9 * step + one, y + i // 9 * step + one) for i, one in enumerate(jitter)
    )
    seen = draw(st.none() | st.tuples(st.just(1), *[st.integers(0, 2)] * 67))
    return {"landmarks": points, "scheme": "ibug68", "visibility": seen}


@st.composite
def faces(draw: st.DrawFn, size: tuple[int, int]) -> FaceRecord:
    height, width = size
    x1, y1 = draw(eighths(-9, width - 6)), draw(eighths(-9, height - 6))
    x2 = draw(eighths(max(x1, 0) + 4, width + 9))
    y2 = draw(eighths(max(y1, 0) + 4, height + 9))
    polygon = st.tuples(*[eighths(0, 30)] * 6)
    polygons = draw(st.none() | st.lists(polygon, min_size=1, max_size=2).map(tuple))
    assert polygons != (tuple(outline((x1, y1, x2, y2))),)
    return FaceRecord(
        box=(x1, y1, x2, y2),
        label=draw(st.sampled_from([FACE, "mask", "hat <&> 'é'"])),
        polygons=polygons,
        attributes=draw(st.fixed_dictionaries({}, optional=ATTRIBUTES)),
        ignore=draw(st.booleans()),
        **draw(st.just({}) | landmarks(size)),
    )


@st.composite
def records(draw: st.DrawFn, least: int = 0) -> list[ImageRecord]:
    """Some images, at least so many, with at least as many faces each."""
    found = []
    names = st.lists(st.sampled_from(sorted(SIZES)), unique=True, min_size=least, max_size=3)
    for name in draw(names):
        attributes = st.fixed_dictionaries(
            {}, optional={"event": st.sampled_from(["Parade", "é, x"]), "Gender": st.just("F")}
        )
        found.append(
            ImageRecord(
                name=name,
                size=SIZES[name] if draw(st.booleans()) else None,
                faces=tuple(draw(st.lists(faces(SIZES[name]), min_size=least, max_size=3))),
                attributes=draw(attributes),
            )
        )
    return found


def holds_of(name: str) -> Holds:
    holds = find(name).load().HOLDS
    assert isinstance(holds, Holds)
    return holds


def passed_through(
    name: str, given_records: Iterable[ImageRecord], images: Path
) -> tuple[list[ImageRecord], datasets.Losses]:
    """Write records in a format, and read them back; sorted, because .pts has no order."""
    with tempfile.TemporaryDirectory() as folder:
        spec = f"{name}:{Path(folder) / TARGETS[name]}"
        at_hand = (one.replace(root=images) for one in given_records)
        losses = datasets.write(at_hand, spec)
        # A folder without any .pts file is taken for a mistake.
        nothing = name == "pts" and not losses.images
        found = [] if nothing else list(datasets.read(spec, images=images))
    assert [one.repairs for one in found if one.faces] == [()] * sum(bool(o.faces) for o in found)
    return sorted(found, key=lambda one: one.name), losses


def expected(name: str, given_records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """What a format can hold of records whose images are at hand."""
    holds = holds_of(name)
    found = []
    for record in given_records:
        known = record.replace(size=SIZES[record.name]) if holds.sized else record
        kept = reduced(known, holds)
        if "data" in holds.fields:
            kept = kept.replace(data=BYTES[record.name])
        if kept.faces or holds.empty_images:
            found.append(kept)
    return sorted(found, key=lambda one: one.name)


NAMES = sorted(one.name for one in datasets.formats() if one.owner == "facekit")


def test_every_format_is_here() -> None:
    assert list(TARGETS) == NAMES


def require_for(name: str, require: Require) -> None:
    if name in NEEDS:
        require(NEEDS[name])


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(name: str, images: Path, require: Require) -> None:
    require_for(name, require)

    @settings(max_examples=20)
    @given(records())
    def check(given_records: list[ImageRecord]) -> None:
        found, losses = passed_through(name, given_records, images)
        assert found == expected(name, given_records)
        assert (losses.images, losses.faces) == (len(found), sum(len(one.faces) for one in found))

    check()


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(NAMES, 2)), ids="-".join)
def test_what_both_hold_comes_back(first: str, second: str, images: Path, require: Require) -> None:
    require_for(first, require)
    require_for(second, require)

    @settings(max_examples=3)
    @given(records(least=1))
    def check(given_records: list[ImageRecord]) -> None:
        there, _ = passed_through(first, given_records, images)
        over, _ = passed_through(second, there, images)
        back, _ = passed_through(first, over, images)
        chain = expected(first, given_records)
        for name in (second, first):
            chain = expected(name, chain)
        assert back == chain

    check()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_without_a_name(name: str, images: Path, require: Require) -> None:
    require_for(name, require)
    holds = holds_of(name)

    @settings(max_examples=10)
    @given(records())
    def check(given_records: list[ImageRecord]) -> None:
        found, losses = passed_through(name, given_records, images)
        ordered = sorted(given_records, key=lambda one: one.name)
        if not losses.lost:
            assert [plain(one, holds) for one in found] == [plain(one, holds) for one in ordered]
        assert all(count > 0 for count in losses.lost.values())
        faces = [face for record in given_records for face in record.faces]
        if "ignore" not in holds.fields:
            assert losses.lost["ignored faces"] == holds.faces * sum(f.ignore for f in faces)
            faces = [face for face in faces if not face.ignore]
        if holds.faces and not holds.points_only and not holds.inside:
            names = {name for face in faces for name in face.attributes}
            for one in names - (holds.face_attributes or names):
                assert losses.lost[f"attributes.{one}"] == sum(one in f.attributes for f in faces)
            for field in {"polygons", "visibility"} - holds.fields:
                assert losses.lost[field] == sum(getattr(f, field) is not None for f in faces)

    check()


def plain(record: ImageRecord, holds: Holds) -> ImageRecord:
    """A record without what a file says although nobody asked: sizes, images and defaults."""
    return record.replace(
        size=None,
        data=None,
        faces=tuple(
            dataclasses.replace(
                face,
                ignore=face.ignore or face.attributes.get(holds.ignore_attribute) == 1,
                attributes={
                    name: value
                    for name, value in face.attributes.items()
                    if holds.face_defaults.get(name) != value and name != holds.ignore_attribute
                },
            )
            for face in record.faces
        ),
    )
