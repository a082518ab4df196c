"""``facekit convert``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from facekit import datasets

Facekit = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]

TEXT = """a.jpg
2
10 10 30 30 2 0 0 0 0 0
50 10 0 30 0 0 0 0 0 0
b.jpg
0
0 0 0 0 0 0 0 0 0 0
"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "WIDER_val" / "images"
    folder.mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (200, 100)).save(folder / f"{name}.jpg")
    path = tmp_path / "wider_face_val_bbx_gt.txt"
    path.write_text(TEXT)
    return path


def test_there_and_back(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    coco, back = f"coco:{tmp_path / 'out.json'}", f"wider_face:{tmp_path / 'back.txt'}"
    result = facekit("convert", f"wider_face:{text}", coco)
    assert (result.exit_code, result.stdout) == (0, f"{coco}: 2 images, 2 faces\n")
    assert result.stderr.splitlines() == [
        "repaired: empty-box (1 times)",
        "repaired: zero-line (1 times)",
    ]
    # Sizes come from the images' headers.
    assert {record.size for record in datasets.read(coco)} == {(100, 200)}
    assert facekit("convert", coco, back).exit_code == 0
    assert list(datasets.read(back)) == list(datasets.read(f"wider_face:{text}"))


def test_what_is_lost_is_told(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    target = f"csv:{tmp_path / 'out.csv'}"
    result = facekit("convert", f"wider_face:{text}", target)
    assert result.exit_code == 0
    lost = [line for line in result.stderr.splitlines() if line.startswith("lost: ")]
    assert f"lost: {target} cannot hold: attributes.blur (1 times)" in lost
    assert f"lost: {target} cannot hold: ignored faces (1 times)" in lost
    report = json.loads(facekit("convert", f"wider_face:{text}", target, "--json").stdout)
    assert report["lost"]["attributes.blur"] == 1
    assert report["repairs"] == {"empty-box": 1, "zero-line": 1}
    assert (report["target"], report["faces"]) == (target, 1)


def test_a_missing_image_and_the_way_out(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    (text.parent / "WIDER_val" / "images" / "a.jpg").unlink()
    target = f"coco:{tmp_path / 'out.json'}"
    result = facekit("convert", f"wider_face:{text}", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a.jpg: its size is not known" in result.stderr
    assert "check SRC --fix DST --drop-missing" in result.stderr
    fixed = facekit("dataset", "check", f"wider_face:{text}", "--fix", target, "--drop-missing")
    assert fixed.exit_code == 0
    assert [record.name for record in datasets.read(target)] == ["b.jpg"]
    # Without a folder of images there is nothing to leave out.
    other = text.rename(tmp_path / "faces.txt")
    result = facekit("convert", f"wider_face:{other}", target)
    assert "images=DIR" in result.stderr
    assert "--drop-missing" not in result.stderr


def test_options_of_readers_and_writers(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    source, target = f"wider_face:{tmp_path}", f"coco:{tmp_path / 'out.json'}"
    folder = text.parent / "WIDER_val" / "images"
    done = facekit("convert", source, target, "--split", "val", "--images", folder)
    assert done.exit_code == 0
    back = f"pts:{tmp_path / 'points'}"
    points = tmp_path / "x.pts"
    rows = [f"{n}.0 1.0" for n in range(68)]
    points.write_text("\n".join(["version: 1", "n_points: 68", "{", *rows, "}", ""]))
    assert facekit("convert", f"pts:{points}", back, "--read", "origin=0").exit_code == 0
    assert " 2.0" in (tmp_path / "points" / "x.pts").read_text()
    done = facekit("convert", f"pts:{points}", back, "--read", "origin=0", "--write", "origin=0")
    assert done.exit_code == 0
    assert (tmp_path / "points" / "x.pts").read_text().count(" 1.0") == 68


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wider:{text}", "coco:{out}"), ("unknown dataset format 'wider'", "wider_face")),
        (("{text}", "coco:{out}"), ("write FORMAT:PATH",)),
        (("wider_face:{text}", "nope"), ("write FORMAT:PATH",)),
        (("wider_face:gone.txt", "coco:{out}"), ("gone.txt: no such file",)),
        (("wider_face:{text}", "csv:/no/such/out.csv"), ("does not exist",)),
        (("wider_face:{text}", "wider_face:{text}"), ("would overwrite what is read",)),
        (
            ("ibug300w:{text}", "coco:{out}", "--split", "val"),
            ("--split: no option of the format 'ibug300w'", "origin"),
        ),
        (
            ("wider_face:{text}", "wider_face:{out}", "--write", "depth=2"),
            ("--write depth: no option of the format 'wider_face'; it has none",),
        ),
        (("wider_face:{text}", "coco:{out}", "--read", "split"), ("write KEY=VALUE",)),
        (("wider_face:{text}", "coco:{out}", "--read", "split={{"), ("not valid YAML",)),
    ],
)
def test_wrong_usage_is_one_line(
    facekit: Facekit,
    text: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    before = sorted(tmp_path.iterdir())
    filled = [word.format(text=text, out=tmp_path / "out.json") for word in arguments]
    result = facekit("convert", *filled)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
    assert sorted(tmp_path.iterdir()) == before
    assert text.read_text() == TEXT


def test_a_malformed_line_leaves_the_old_file(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    text.write_text(TEXT + "c.jpg\nmany\n")
    target = tmp_path / "out.csv"
    target.write_text("old")
    result = facekit("convert", f"wider_face:{text}", f"csv:{target}")
    assert result.exit_code == 2
    assert f"{text}:9: expected the number of faces" in result.stderr
    assert target.read_text() == "old"


def test_ctrl_c_leaves_the_old_file(start: Start, tmp_path: Path) -> None:
    pipe, target = tmp_path / "endless.txt", tmp_path / "out.txt"
    os.mkfifo(pipe)
    target.write_text("old")
    process = start("convert", f"wider_face:{pipe}", f"wider_face:{target}")
    with pipe.open("w") as feed:
        feed.write(TEXT * 1000)
        feed.flush()
        until = time.monotonic() + 60
        while not list(tmp_path.glob(".part-*")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted: stopped by Ctrl-C\n")
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["endless.txt", "out.txt"]
