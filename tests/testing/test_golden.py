"""Golden records: how they are made, read and missed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.errors import ConfigError
from facekit.testing import DetectorContract, golden
from facekit.testing.__main__ import main


class Suite(DetectorContract):
    name = "tiny_ssd"
    options: Mapping[str, Any] = {"score_threshold": 0.25}  # type: ignore[misc]


def test_one_command_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.json"
    command = golden.command("detector", "tiny_ssd", {"threads": 1}, file).split()
    assert command[:3] == ["python", "-m", "facekit.testing"]
    assert main(command[3:]) == 0
    assert f"{file}: look at it" in capsys.readouterr().out
    content = json.loads(file.read_text())
    assert (content["role"], content["name"]) == ("detector", "tiny_ssd")
    assert content["options"] == {"threads": 1}
    assert {"facekit", "python", "numpy", "onnxruntime"} <= set(content["versions"])
    assert set(golden.load(file)) == {"astronaut", "pair", "portrait"}
    for photo in content["photos"].values():
        assert np.shape(photo["boxes"]) == (len(photo["scores"]), 4)
        assert len(photo["pixels"]) == 64


def test_landmarks_are_recorded_too(tmp_path: Path) -> None:
    file = tmp_path / "points.json"
    assert main(["record", "landmarker", "resnet18", "-o", str(file)]) == 0
    assert np.shape(golden.load(file)["pair"]["points"]) == (2, 68, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detector", "tiny_sdd"], "error: unknown detector 'tiny_sdd': did you mean 'tiny_ssd'"),
        (["detector", "tiny_ssd", "--option", "threads"], "--option threads: expected NAME=VALUE"),
        (["detector", "tiny_ssd", "--option", "=1"], "expected NAME=VALUE"),
        (["detector", "tiny_ssd", "--option", "threads=["], "the value is not valid YAML"),
        (["detector", "tiny_ssd", "--option", "thread=1"], "unknown option 'thread'"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", *arguments, "-o", str(tmp_path / "out.json")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_folder_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no" / "where" / "out.json"
    assert main(["record", "detector", "tiny_ssd", "-o", str(file)]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_folder_of_records_is_made_for_the_first_one(tmp_path: Path) -> None:
    file = tmp_path / "golden" / "out.json"
    assert main(["record", "detector", "tiny_ssd", "-o", str(file)]) == 0
    assert set(golden.load(file)) == {"astronaut", "pair", "portrait"}


def test_the_command_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = golden.command("detector", "x", {"cascade": "my file.xml"}, tmp_path / "a b.json")
    assert shlex.split(command)[5:] == ["x", "--option=cascade=my file.xml", "-o", "a b.json"]


def suite_with(record: Path) -> Suite:
    class Recorded(Suite):
        golden = record

    return Recorded()


def test_a_missing_record_fails_with_the_command(tmp_path: Path) -> None:
    file = tmp_path / "none.json"
    with pytest.raises(pytest.fail.Exception) as caught:
        suite_with(file).test_golden_record()
    assert str(caught.value) == (
        "no golden record; make it with: python -m facekit.testing record detector tiny_ssd "
        f"--option=score_threshold=0.25 -o {file}"
    )


def test_the_record_lies_beside_the_test_by_default() -> None:
    assert Suite()._golden_path() == Path(__file__).parent / "golden" / "detector_tiny_ssd.json"


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"photos": 7}'])
def test_a_damaged_record_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.json: not a golden record; record it anew"):
        golden.load(file)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("record") / "tiny.json"
    golden.record("detector", "tiny_ssd", Suite.options, file)
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def changed(record: dict[str, Any], folder: Path, **numbers: Any) -> Suite:
    """A suite whose record has other numbers for the portrait."""
    content = json.loads(json.dumps(record))
    content["photos"]["portrait"].update(numbers)
    (folder / "changed.json").write_text(json.dumps(content))
    return suite_with(folder / "changed.json")


def test_an_unchanged_record_passes(record: dict[str, Any], tmp_path: Path) -> None:
    changed(record, tmp_path).test_golden_record()


def test_a_record_of_other_pixels_asks_to_be_renewed(
    record: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=r"portrait has other pixels .* renew it with"):
        changed(record, tmp_path, pixels="0" * 64).test_golden_record()


def test_a_record_of_other_photos_asks_to_be_renewed(
    record: dict[str, Any], tmp_path: Path
) -> None:
    content = {**record, "photos": {"astronaut": record["photos"]["astronaut"]}}
    (tmp_path / "few.json").write_text(json.dumps(content))
    with pytest.raises(AssertionError, match="the record is of other photos"):
        suite_with(tmp_path / "few.json").test_golden_record()


@pytest.mark.parametrize("amount", [0.4, -0.4])
def test_boxes_within_the_tolerance_pass(
    amount: float, record: dict[str, Any], tmp_path: Path
) -> None:
    boxes = np.add(record["photos"]["portrait"]["boxes"], amount).tolist()
    changed(record, tmp_path, boxes=boxes).test_golden_record()


def test_boxes_and_scores_beyond_the_tolerance_fail(record: dict[str, Any], tmp_path: Path) -> None:
    photo = record["photos"]["portrait"]
    boxes = np.add(photo["boxes"], 0.6).tolist()
    with pytest.raises(AssertionError, match="recorded, not found: box"):
        changed(record, tmp_path, boxes=boxes).test_golden_record()
    scores = np.subtract(photo["scores"], 0.002).tolist()
    with pytest.raises(AssertionError, match="recorded, not found: box"):
        changed(record, tmp_path, scores=scores).test_golden_record()


def test_a_face_that_the_record_lacks_is_new(record: dict[str, Any], tmp_path: Path) -> None:
    photo = record["photos"]["portrait"]
    fewer = {"boxes": photo["boxes"][1:], "scores": photo["scores"][1:]}
    with pytest.raises(AssertionError, match="new: box"):
        changed(record, tmp_path, **fewer).test_golden_record()


def test_faces_at_the_threshold_may_come_and_go(record: dict[str, Any]) -> None:
    photo = record["photos"]["portrait"]
    faint = float(photo["threshold"]) + 0.0005
    more = {
        "boxes": [*photo["boxes"][:3], [1.0, 2.0, 30.0, 40.0]],
        "scores": [*photo["scores"][:3], faint],
    }
    suite = Suite()
    suite.check_golden(
        {**photo, **more}, {**photo, "boxes": more["boxes"][:3], "scores": more["scores"][:3]}
    )


def test_photos_of_a_record_are_colourful() -> None:
    assert all(golden.colourfulness(photo) > golden.COLOURFUL for photo in golden.golden_photos())
