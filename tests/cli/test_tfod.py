"""``facekit tfod`` as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facekit.cli.tfod import spread
from facekit.tfapi.pipeline import read_base

ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"


def facekit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "facekit", "tfod", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_options_of_several_values_are_spread() -> None:
    typed = ["out", "--classes", "a", "b", "--steps", "3", "x", "--scales", "0.1"]
    expected = ["out", "--classes", "a", "--classes", "b", "--steps", "3", "x", "--scales", "0.1"]
    assert list(spread(typed)) == expected


@pytest.fixture
def annotated(require: Any, astronaut_path: Path, tmp_path: Path) -> str:
    """One annotated photo, and its folder of images as the option says it."""
    require("google_crc32c")
    lines = (astronaut_path.name, "1", "180 60 95 130 0 0 0 0 0 0", "")
    (tmp_path / "faces.txt").write_text("\n".join(lines))
    return f"wider_face:{tmp_path / 'faces.txt'}"


def test_the_issues_command(annotated: str, astronaut_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    done = facekit(
        *("pipeline", out, "--train", annotated, "--images", astronaut_path.parent),
        *("--base", "tutorial", "--input-size", "224"),
        *("--aspect-ratios", "1.0", "2.0", "0.5", "--classes", "face"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["train: 1 images, 1 faces", str(out / "pipeline.config")]
    message = read_base(str(out / "pipeline.config"))
    assert message.all(f"{ANCHORS}.aspect_ratios") == ["1.0", "2.0", "0.5"]


def test_an_old_configuration_is_brought_on_and_that_is_said(
    annotated: str, astronaut_path: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.config"
    old.write_text("model { ssd { } } graph_rewriter { quantization { delay: 500000 } }")
    done = facekit(
        *("pipeline", tmp_path / "out", "--base", old),
        *("--train", annotated, "--images", astronaut_path.parent),
    )
    assert done.returncode == 0
    assert done.stderr.startswith("changed: graph_rewriter (quantisation-aware training)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pipeline", "out", "--base", "tutorail"), "did you mean"),
        (("export", "nowhere", "out"), "nowhere: holds no run of the recipe tfod"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = facekit(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_exports_suffix_and_photos_must_fit(tmp_path: Path) -> None:
    (tmp_path / "pipeline.config").write_text("model { ssd { } }")
    for out, more, message in (
        ("x.onnx", (), "expected a .tflite, a .pb, or a folder"),
        ("x.pb", ("--photos", "coco:x.json"), "--photos is for a .tflite"),
    ):
        done = facekit("export", tmp_path, out, *more)
        assert done.returncode == 2
        assert message in done.stderr
