"""From datasets to records, label map and configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from facekit import datasets
from facekit.datasets import FaceRecord, ImageRecord
from facekit.datasets.label_map import read_label_map
from facekit.datasets.tf_example import decode, read_frames
from facekit.errors import ConfigError
from facekit.images import encode
from facekit.tfapi.pipeline import Changes, read_base, records_of
from facekit.training.tfod.pipeline import prepare


@pytest.fixture
def photos(require: Any, astronaut: npt.NDArray[Any]) -> list[ImageRecord]:
    """One photo with a face, a small one and one of another label; one without any."""
    require("google_crc32c")
    faces = (
        FaceRecord(box=(180.0, 60.0, 275.0, 190.0)),
        FaceRecord(box=(10.0, 10.0, 20.0, 22.0)),
        FaceRecord(box=(300.0, 300.0, 400.0, 400.0), label="rocket"),
    )
    data = encode(astronaut, ".png")
    return [
        ImageRecord(name="a.png", data=data, size=(512, 512), faces=faces),
        ImageRecord(name="b.png", data=data, size=(512, 512)),
    ]


def weights_in(path: Path) -> list[Any]:
    return [decode(frame).get("image/object/weight") for frame in read_frames(path)]


def test_a_folder_that_the_api_trains_on(photos: list[ImageRecord], tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    written = prepare(
        out, "tutorial", Changes(input_size=224), train=lambda: photos, min_height=20.0
    )
    assert sorted(one.name for one in out.iterdir()) == [
        "label_map.pbtxt",
        "pipeline.config",
        "train.record",
    ]
    assert read_label_map(out / "label_map.pbtxt") == {1: "face"}
    assert (written.losses["train"].images, written.losses["train"].faces) == (2, 2)
    assert written.ignored == {"train": 1}
    message = read_base(str(written.config))
    assert records_of(message, "train") == records_of(message, "eval") == out / "train.record"
    assert message.get("model.ssd.num_classes") == "1"
    assert weights_in(out / "train.record") == [[1.0, 0.0], None]


def test_parts_shards_classes_and_records_that_stay(
    photos: list[ImageRecord], tmp_path: Path
) -> None:
    classes = ("rocket", "face")
    prepare(
        tmp_path, "tuned", Changes(), classes=classes, train=lambda: photos, val=lambda: photos[:1]
    )
    prepare(tmp_path, "tuned", Changes(steps=7), classes=classes, train=lambda: photos, shards=2)
    message = read_base(str(tmp_path / "pipeline.config"))
    assert records_of(message, "train") == tmp_path / "train.record"
    assert records_of(message, "eval") == tmp_path / "val.record"
    assert not (tmp_path / "train.record").exists(), "those of one file are not mixed with shards"
    read: Iterator[ImageRecord] = datasets.read(f"tfrecord:{tmp_path / 'train.record'}")
    assert [len(record.faces) for record in read] == [3, 0]
    assert message.get("model.ssd.num_classes") == "2"
    again = prepare(tmp_path, "tutorial", Changes(), classes=classes)
    assert again.losses == {}


@pytest.mark.parametrize("classes", [(), ("face", "face")])
def test_classes_must_differ(classes: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="classes: expected different names"):
        prepare(tmp_path, "tuned", Changes(), classes=classes)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no train\.record"):
        prepare(tmp_path, "tuned", Changes())
    with pytest.raises(ConfigError, match="needs 33 px"):
        prepare(tmp_path / "new", "tuned", Changes(input_size=10))
    assert not (tmp_path / "new").exists()
