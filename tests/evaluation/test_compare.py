"""Two detectors on real photos: the equal threshold, per-image differences, the worst cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekit import datasets
from facekit.datasets import ImageRecord
from facekit.errors import ConfigError
from facekit.evaluation import compare_detectors
from facekit.evaluation.compare import ONLY_A, worst_cases

STRICT = {"backend": "tiny_ssd", "input_size": 32}
"""The same network on an input in which the face is too small to be sure of."""


@pytest.fixture
def records(album: Path) -> list[ImageRecord]:
    return list(datasets.read(f"wider_face:{album}"))


def test_a_detector_and_itself_differ_in_nothing(records: list[ImageRecord]) -> None:
    same = compare_detectors(records, "tiny_ssd", "tiny_ssd")
    assert (same.a.label, same.b.label) == ("tiny_ssd", "tiny_ssd_2")
    assert same.a.chosen.threshold == 0.5
    assert same.b.chosen.per_image <= same.a.chosen.per_image
    assert same.b.chosen.recall == same.a.chosen.recall == 1
    assert {one.change for one in same.differences} == {0}
    assert worst_cases(same) is None


def test_what_a_swap_loses(records: list[ImageRecord], tmp_path: Path) -> None:
    worse = compare_detectors(records, "tiny_ssd", STRICT, threshold=0.9, folder=tmp_path / "p")
    assert worse.a.chosen.threshold == 0.9
    assert worse.b.scale.startswith("32 x 32 px")
    assert worse.b.chosen.per_image <= worse.a.chosen.per_image
    document = json.loads(json.dumps(worse.to_dict(), allow_nan=False))
    assert document["faces"] == 2
    assert f"at score_threshold {worse.b.chosen.threshold:g}" in document["advice"]
    lost = [one for one in worse.differences if one.only_a]
    assert lost, "a face of 96 px in 512 is 6 px of 32"
    assert worse.differences[0] == lost[0]
    sheet = worst_cases(worse, count=1)
    assert sheet is not None
    blue = np.abs(sheet.astype(int) - ONLY_A).sum(axis=2) < 40
    assert blue.sum() > 200
    kept = sorted(one.name for one in (tmp_path / "p").iterdir() if one.is_dir())
    assert kept == ["tiny_ssd", "tiny_ssd_2"]


def test_false_positives_are_dashed(records: list[ImageRecord]) -> None:
    # Of a photo without an annotated face every detection is false.
    bare = [records[0].replace(faces=()), records[1]]
    coarse = {"backend": "tiny_ssd", "input_size": 48}
    swap = compare_detectors(bare, coarse, "tiny_ssd", threshold=0.03)
    shown = next(one for one in swap.differences if one.name == records[0].name)
    assert shown.false_a > shown.faces == 0
    sheet = worst_cases(swap)
    assert sheet is not None
    assert (np.abs(sheet.astype(int) - ONLY_A).sum(axis=2) < 40).sum() > 200


def test_a_dataset_without_a_face_to_find(records: list[ImageRecord]) -> None:
    with pytest.raises(ConfigError, match="no face of at least 200 px"):
        compare_detectors(records, "tiny_ssd", "tiny_ssd", min_height=200)
