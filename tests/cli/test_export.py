"""``facekit export NAME WEIGHTS OUT``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from typer.testing import Result

Facekit = Callable[..., Result]


def test_onnx_to_openvino(
    facekit: Facekit,
    require: Callable[[str], ModuleType],
    astronaut_path: Path,
    tmp_path: Path,
) -> None:
    require("openvino")
    out = tmp_path / "tiny_ssd.xml"
    result = facekit("export", "tiny_ssd", "tiny_ssd", out, "--photo", astronaut_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert str(out) in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny_ssd.bin", "tiny_ssd.xml"]

    boxes = []
    for weights in ("tiny_ssd", out):
        data = tmp_path / "out.json"
        arguments = ("--weights", weights, "--json", data, "--landmarker", "none")
        assert facekit("detect", astronaut_path, *arguments).exit_code == 0
        boxes.append(json.loads(data.read_text())["images"][0]["faces"][0]["box"])
    assert max(abs(a - b) for a, b in zip(*boxes, strict=True)) < 0.05


def test_a_difference_that_is_not_accepted(
    facekit: Facekit, require: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    require("openvino")
    arguments = ("--tolerance", "0", "--role", "detector")
    result = facekit("export", "tiny_ssd", "tiny_ssd", tmp_path / "a.xml", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not written" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_another_format(facekit: Facekit, tmp_path: Path) -> None:
    result = facekit("export", "tiny_ssd", "tiny_ssd", tmp_path / "a.pb")
    assert result.exit_code == 2
    assert ".onnx or .xml" in result.stderr


def test_an_unknown_role(facekit: Facekit, tmp_path: Path) -> None:
    result = facekit("export", "tiny_ssd", "tiny_ssd", tmp_path / "a.xml", "--role", "nose")
    assert result.exit_code == 2
    assert "unknown role 'nose'" in result.stderr


def test_8_bit_arithmetic_from_a_datasets_photos(
    facekit: Facekit,
    require: Callable[[str], ModuleType],
    astronaut_path: Path,
    tmp_path: Path,
) -> None:
    require("openvino")
    require("nncf")
    listing = tmp_path / "faces.txt"
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(astronaut_path.read_bytes())
    lines = [f"{name}.jpg\n1\n180 60 100 140 0 0 0 0 0 0\n" for name in "abc"]
    listing.write_text("".join([*lines, "gone.jpg\n1\n180 60 100 140 0 0 0 0 0 0\n"]))
    out = tmp_path / "tiny_ssd.xml"
    dataset = ("--int8", f"wider_face:{listing}", "--images", tmp_path, "--int8-photos", "2")
    result = facekit("export", "tiny_ssd", "tiny_ssd", out, *dataset)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "on 1 photo:" in result.stdout
    assert out.is_file()


def test_8_bit_arithmetic_without_photos(facekit: Facekit, tmp_path: Path) -> None:
    listing = tmp_path / "faces.txt"
    listing.write_text("gone.jpg\n1\n180 60 100 140 0 0 0 0 0 0\n")
    dataset = ("--int8", f"wider_face:{listing}", "--images", tmp_path)
    result = facekit("export", "tiny_ssd", "tiny_ssd", tmp_path / "a.xml", *dataset)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no image of it is at hand" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["faces.txt"]
