"""A detector on real photos: scores, resume, folders of another model, boxes that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import create_detector, datasets
from facekit.datasets import ImageRecord
from facekit.errors import (
    BackendError,
    ConfigError,
    DatasetError,
    ImageError,
    MissingDependencyError,
    UnknownNameError,
)
from facekit.evaluation import evaluate_detector, evaluate_predictions, wider_truth
from facekit.evaluation.detection import score_detections
from facekit.evaluation.protocols import wider_truth_of
from facekit.images import ImageLike
from facekit.types import Detections

Record = Callable[..., ImageRecord]
Found = Callable[..., Detections]


class Counting:
    """The real detector, and how many images it saw."""

    def __init__(self, **options: Any) -> None:
        self._detector = create_detector(**options)
        self.seen = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        self.seen += len(images)
        return self._detector.detect(images)


@pytest.fixture
def records(album: Path) -> list[ImageRecord]:
    return list(datasets.read(f"wider_face:{album}"))


def test_a_detector_by_name(records: list[ImageRecord]) -> None:
    result = evaluate_detector(records, "tiny_ssd")
    assert result.values == {"AP50, 50 px": 1.0, "AP50, 30 px": 1.0, "AP50, 10 px": 1.0}
    assert (result.label, result.images, result.total, result.faces) == ("tiny_ssd", 3, 3, 2)
    assert result.setting["threshold"] == "0.02"
    assert result.setting["scale"].startswith("300 x 300 px")
    assert result.notes == ()
    assert result.groups["0--Parade"]["AP50, 50 px"] == 1.0
    assert np.isnan(result.groups["4--Dancing"]["AP50, 50 px"])
    assert result.seconds_per_image is not None


def test_a_ready_detector_above_its_evaluation_threshold_is_said(
    records: list[ImageRecord],
) -> None:
    result = evaluate_detector(records, create_detector(score_threshold=0.5))
    assert any("the curve is cut short" in note for note in result.notes)


def test_a_stopped_run_goes_on_where_it_was(records: list[ImageRecord], tmp_path: Path) -> None:
    folder = tmp_path / "kept"

    def stop(passing: Iterable[ImageRecord]) -> Iterable[ImageRecord]:
        for number, one in enumerate(passing):
            if number == 1:
                raise KeyboardInterrupt
            yield one

    with pytest.raises(KeyboardInterrupt):
        evaluate_detector(records, Counting(), folder=folder, batch_size=1, watch=stop)
    again = Counting()
    result = evaluate_detector(records, again, folder=folder, batch_size=1)
    assert again.seen == 2
    idle = Counting()
    assert evaluate_detector(records, idle, folder=folder).values == result.values
    assert idle.seen == 0
    fresh = evaluate_detector(records, Counting())
    assert result.values == fresh.values
    from_disk = evaluate_predictions(records, folder)
    assert (from_disk.values, from_disk.setting) == (fresh.values, fresh.setting)


def test_predictions_of_something_else_are_refused_or_replaced(
    records: list[ImageRecord], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    evaluate_detector(records, "tiny_ssd", folder=folder)
    other = {"backend": "tiny_ssd", "nms_threshold": 0.3}
    with pytest.raises(ConfigError, match=r"something else \(options differ\): --restart"):
        evaluate_detector(records, other, folder=folder)
    (folder / "0--Parade" / "stale.txt").write_text("stale")
    evaluate_detector(records, other, folder=folder, restart=True)
    assert not (folder / "0--Parade" / "stale.txt").exists()


def test_predictions_of_another_dataset_are_refused(
    album: Path, records: list[ImageRecord], tmp_path: Path
) -> None:
    evaluate_detector(records, "tiny_ssd", folder=tmp_path / "kept")
    elsewhere = tmp_path / "elsewhere"
    album.rename(elsewhere)
    moved = list(datasets.read(f"wider_face:{elsewhere}"))
    with pytest.raises(ConfigError, match=r"something else \(images differ: .*elsewhere"):
        evaluate_detector(moved, "tiny_ssd", folder=tmp_path / "kept")


def test_a_folder_that_facekit_did_not_write_is_never_removed(
    records: list[ImageRecord], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for restart in (False, True):
        with pytest.raises(ConfigError, match=r"has no facekit.json"):
            evaluate_detector(records, "tiny_ssd", folder=folder, restart=restart)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_damaged_prediction_is_named(records: list[ImageRecord], tmp_path: Path) -> None:
    evaluate_detector(records, "tiny_ssd", folder=tmp_path / "kept")
    (tmp_path / "kept" / "0--Parade" / "a.txt").write_text("a\n1\n1 2 3\n")
    with pytest.raises(DatasetError, match=r"a.txt:3: expected x y width height score"):
        evaluate_detector(records, "tiny_ssd", folder=tmp_path / "kept")


def test_an_image_that_is_none_is_named(album: Path, records: list[ImageRecord]) -> None:
    (album / "WIDER_val" / "images" / "0--Parade" / "b.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"b.jpg: not an image"):
        evaluate_detector(records, "tiny_ssd")


@pytest.mark.parametrize("box", [(5.0, 5.0, 4.0, 6.0), (0.0, float("nan"), 4.0, 6.0)])
def test_a_detector_that_gives_no_box_is_named(
    records: list[ImageRecord],
    box: tuple[float, ...],
    found: Found,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = Counting()
    monkeypatch.setattr(
        bad, "detect", lambda images: [found((*box, 0.5)) for _ in images], raising=False
    )
    with pytest.raises(BackendError, match=r"'tiny_ssd' gave a box that is none for 0--Parade/a"):
        evaluate_detector(records, bad)


def test_wider_faces_settings_by_height_where_there_is_no_list(
    records: list[ImageRecord],
) -> None:
    result = evaluate_detector(records, "tiny_ssd", protocols=["wider"])
    settings = ("easy", "medium", "hard")
    assert result.values == {f"WIDER {setting}, by height": 1.0 for setting in settings}
    assert any("easy above 50 px, medium above 30 px, hard above 10 px" in n for n in result.notes)


def test_protocols_and_heights_are_checked_before_anything_runs(
    records: list[ImageRecord],
) -> None:
    idle = Counting()
    with pytest.raises(UnknownNameError, match=r"unknown protocol 'ap5'.*did you mean 'ap50'"):
        evaluate_detector(records, idle, protocols=["ap5"])
    with pytest.raises(ConfigError, match="least heights of 0 or more"):
        evaluate_detector(records, idle, heights=[])
    assert idle.seen == 0


@pytest.mark.data
def test_images_without_official_truth_are_refused_before_anything_runs(
    records: list[ImageRecord], data_root: Path, require: Any
) -> None:
    require("scipy")
    idle, folder = Counting(), data_root / "wider" / "ground_truth"
    with pytest.raises(DatasetError, match=r"'0--Parade/a.jpg' is not in it"):
        evaluate_detector(records, idle, protocols=["wider"], ground_truth=folder)
    assert idle.seen == 0


def test_cocos_protocol(records: list[ImageRecord], require: Any) -> None:
    require("faster_coco_eval")
    result = evaluate_detector(records, "tiny_ssd", protocols=["coco"])
    assert result.values["COCO AP50"] == 1
    assert 0.3 < result.values["COCO AP"] < 1
    assert np.isnan(result.values["COCO small"])
    assert not result.curves


def test_coco_without_its_package(
    records: list[ImageRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = Counting()
    # pycocotools, which mmdet brings, is not what computes.
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "faster_coco_eval" else object()
    )
    with pytest.raises(MissingDependencyError, match=r'faster_coco_eval.*"facekit\[eval\]"'):
        evaluate_detector(records, idle, protocols=["coco"])
    assert idle.seen == 0


def test_scores_of_known_predictions(record: Record, found: Found) -> None:
    images = [
        record("x/a.jpg", (0, 0, 50, 60), (60, 0, 80, 20)),
        record("y/b.jpg", (0, 0, 30, 40)),
    ]
    predictions = {
        "x/a.jpg": found((0, 0, 50, 60, 0.9), (100, 50, 150, 90, 0.8), (60, 0, 80, 20, 0.3)),
    }
    scored = score_detections(images, predictions, heights=[50, 10])
    # 50 px: found at once. 10 px: 1 of 1, 1 of 2, 2 of 3, and the face of b is missed.
    assert scored.values == pytest.approx({"AP50, 50 px": 1.0, "AP50, 10 px": 1 / 3 + 2 / 9})
    assert scored.groups["y"]["AP50, 10 px"] == 0
    assert set(scored.curves) == {"AP50, 50 px", "AP50, 10 px"}


def test_scores_outside_0_to_1_and_equal_ones_are_said(record: Record, found: Found) -> None:
    images = [record("a.jpg", (0, 0, 50, 60))]
    odd = score_detections(images, {"a.jpg": found((0, 0, 50, 60, 7), (0, 0, 9, 9, -1))})
    assert any("2 scores lie outside [0, 1]" in note for note in odd.notes)
    same = score_detections(images, {"a.jpg": found((0, 0, 50, 60, 0.5), (0, 0, 9, 9, 0.5))})
    assert any("all 2 scores are 0.5" in note for note in same.notes)
    none = score_detections(images, {})
    assert none.values["AP50, 50 px"] == 0


@pytest.mark.data
def test_settings_by_height_are_the_official_ones_on_the_official_boxes(
    data_root: Path, require: Any
) -> None:
    require("scipy")
    folder = data_root / "wider" / "ground_truth"
    truths = wider_truth.read(folder)
    records = datasets.read(f"wider_face:{folder / 'wider_face_val.mat'}")
    for record in records:
        ours, official = wider_truth_of(record), truths[record.name]
        for setting in official.counted:
            assert ours.counted[setting].tolist() == official.counted[setting].tolist()


@pytest.mark.data
def test_wider_face_on_the_photos_at_hand(data_root: Path, tmp_path: Path) -> None:
    everything = list(datasets.read(f"wider_face:{data_root}/wider", split="val"))
    records = [one for one in everything if one.path is not None and one.path.is_file()][::10]
    result = evaluate_detector(
        records,
        "tiny_ssd",
        protocols=["wider", "ap50"],
        ground_truth=data_root / "wider" / "ground_truth",
        folder=tmp_path / "kept",
    )
    assert 0.6 < result.values["WIDER easy"] < 1
    assert result.values["WIDER easy"] > result.values["WIDER medium"] > result.values["WIDER hard"]
    # The official settings are nearly those of heights: 50, 30 and 10 pixels.
    for setting, height in (("easy", 50), ("medium", 30), ("hard", 10)):
        close = result.values[f"AP50, {height} px"]
        assert result.values[f"WIDER {setting}"] == pytest.approx(close, abs=0.1)
    assert any("not the official number" in note for note in result.notes)
    assert len(result.groups) == 5
    head = json.loads((tmp_path / "kept" / "facekit.json").read_text())
    assert head["fingerprint"]["backend"] == "tiny_ssd"
