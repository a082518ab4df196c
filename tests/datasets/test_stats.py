"""A dataset in numbers and as a picture."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from facekit import datasets
from facekit.datasets.records import FaceRecord, ImageRecord, Provenance, Repair
from facekit.datasets.stats import Stats, collect
from facekit.datasets.stats_picture import picture


def face(height: float, **more: object) -> FaceRecord:
    return FaceRecord(box=(0, 0, 10, height), **more)  # type: ignore[arg-type]


def image(*faces: FaceRecord, **more: object) -> ImageRecord:
    return ImageRecord(name="a", faces=faces, **more)  # type: ignore[arg-type]


def test_counts() -> None:
    stats = collect(
        [
            image(size=(9, 9), repairs=(Repair("zero-line", Provenance("f", 1), ""),)),
            image(face(16), face(64, ignore=True), face(0)),
            image(
                face(16, label="mask", attributes={"blur": 2}),
                face(16, landmarks=((1, 1),), attributes={"blur": 0}),
                *[face(20, landmarks=((1, 1),), scheme="nose")] * 3,
            ),
        ]
    )
    document = stats.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document == {
        "images": 3,
        "faces": 8,
        "ignored": 1,
        "empty_images": 1,
        "sized_images": 1,
        "empty_boxes": 1,
        "mean_faces": 2.6667,
        "most_faces": 5,
        "shortest": 16,
        "tallest": 64,
        "heights": [
            {"from": 16.0, "below": 22.63, "faces": 6},
            {"from": 22.63, "below": 32.0, "faces": 0},
            {"from": 32.0, "below": 45.25, "faces": 0},
            {"from": 45.25, "below": 64.0, "faces": 0},
            {"from": 64.0, "below": 90.51, "faces": 1},
        ],
        "faces_an_image": [
            {"faces": "0", "images": 1},
            {"faces": "1", "images": 0},
            {"faces": "2", "images": 0},
            {"faces": "3-4", "images": 1},
            {"faces": "5-8", "images": 1},
        ],
        "labels": {"face": 7, "mask": 1},
        "schemes": {"nose": 3, "1 points": 1},
        "attributes": {"blur": {"0": 1, "2": 1}},
        "repairs": {"zero-line": 1},
    }


def test_no_records() -> None:
    document = collect([]).to_dict()
    assert (document["mean_faces"], document["shortest"], document["heights"]) == (0, None, [])
    assert document["faces_an_image"] == []


def test_values_without_end_are_counted_together() -> None:
    faces = [face(9, attributes={"id": n}) for n in range(150)]
    values = collect([image(*faces)]).attributes["id"]
    assert (len(values), values["(other)"], values.total()) == (101, 50, 150)
    many = collect([image(face(9, attributes={f"name{n}": 1 for n in range(150)}))])
    assert len(many.attributes) == 100


def test_boxes_that_are_none_are_in_no_histogram() -> None:
    stats = collect([image(face(math.nan), face(math.inf), face(-3))])
    assert (stats.empty_boxes, stats.heights) == (3, {})


def columns_of(drawn: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Heights of the runs of a colour, left to right: one a bar."""
    tall = (drawn == colour).all(axis=2).sum(axis=0).tolist()
    return [high for before, high in zip([0, *tall], tall, strict=False) if high and not before]


def test_bars_are_as_long_as_their_counts() -> None:
    blue, orange, green = (86, 180, 233), (230, 159, 0), (0, 158, 115)
    faces = [face(16)] * 100 + [face(40)] * 50 + [face(70)]
    drawn = picture(collect([image(*faces), image()]), "made up")
    assert drawn.shape[1:] == (1000, 3)
    assert columns_of(drawn, blue) == [240, 120, 2]
    assert len(columns_of(drawn, orange)) == 2
    assert (drawn == green).all(axis=2).any()


def test_pictures_of_little_and_of_much() -> None:
    empty = picture(Stats())
    labels = [image(face(9, label=f"a label that is quite long, {n}")) for n in range(20)]
    full = picture(collect(labels), "a name " * 100)
    assert full.shape[0] > empty.shape[0]
    assert full.shape[1] == empty.shape[1] == 1000
    crowds = Stats(faces_an_image=Counter({0: 1_500_000, 4: 2500}))
    assert picture(crowds).shape == empty.shape


@pytest.mark.data
def test_the_published_text(data_root: Path) -> None:
    text = data_root / "wider" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    stats = collect(datasets.read(f"wider_face:{text}"))
    assert (stats.images, stats.faces, stats.ignored, stats.empty_boxes) == (3226, 39708, 596, 11)
    assert stats.attributes["invalid"]["1"] == 585
    assert sorted(stats.attributes["occlusion"]) == ["0", "1", "2"]
