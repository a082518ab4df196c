"""Folders of predictions: whose they are, and places where none can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit.errors import DatasetError, OutputError
from facekit.evaluation.store import detection_store, json_file_of, made_by, make_parent
from facekit.types import Detections

SETTING = {"scale": "300 x 300 px"}


def test_a_folder_says_what_made_it(tmp_path: Path) -> None:
    kept = detection_store(tmp_path / "a" / "b", fingerprint={"x": [1]}, setting=SETTING)
    head = made_by(tmp_path / "a" / "b")
    assert head is not None
    assert (head.fingerprint, head.setting) == ({"x": [1]}, SETTING)
    assert not kept.has("e/1.jpg")
    with pytest.raises(DatasetError, match="no such file"):
        kept.load("e/1.jpg", (1, 1))
    kept.save("e/1.jpg", Detections.empty((3, 4)))
    assert kept.load("e/1.jpg", (3, 4)) == Detections.empty((3, 4))
    # The same fingerprint opens it again, tuples being lists in JSON.
    assert detection_store(kept.folder, fingerprint={"x": (1,)}, setting={}).has("e/1.jpg")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fingerprint": 1, "setting": {}}'])
def test_a_damaged_head_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / "facekit.json").write_text(text)
    assert made_by(tmp_path) is None


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file; predictions need a folder"):
        detection_store(tmp_path / "file", fingerprint={}, setting={})
    with pytest.raises(OutputError, match="cannot be made"):
        detection_store(tmp_path / "file" / "x", fingerprint={}, setting={})
    with pytest.raises(OutputError, match="cannot be made"):
        make_parent(tmp_path / "file" / json_file_of("x/y.jpg"))
