"""``facekit dataset``: formats, check, stats, preview, split, filter."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from facekit import datasets
from facekit.datasets.formats import Format

Facekit = Callable[..., Result]

COUNT = 20


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Twenty images of a face each, the first four at hand."""
    folder = tmp_path / "WIDER_val" / "images"
    folder.mkdir(parents=True)
    for n in range(4):
        Image.new("RGB", (200, 100)).save(folder / f"{n}.jpg")
    path = tmp_path / "wider_face_val_bbx_gt.txt"
    rows = [f"{n}.jpg\n1\n10 10 {n + 1} {n + 1} {n % 3} 0 0 0 0 0\n" for n in range(COUNT)]
    path.write_text("".join(rows))
    return path


def refused(result: Result, *words: str) -> None:
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


PLUG_IN = """
from facekit.datasets.records import ImageRecord

def read(path, **options):
    yield ImageRecord(name=f"{options['name']}.jpg")
"""


@pytest.fixture
def plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that is only read and takes any option, and one that cannot be imported."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "facekit_test_plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(folder)
    # The package has a function of the module's name.
    registry = sys.modules["facekit.datasets.formats"]
    added = (
        Format("source", "facekit_test_plug_in", "a plug-in", "someone"),
        Format("broken", "no_such_module_at_all", "a plug-in", "someone"),
    )
    monkeypatch.setattr(registry, "_BUILT_IN", registry._BUILT_IN + added)


@pytest.mark.usefixtures("plug_ins")
def test_formats(facekit: Facekit) -> None:
    rows = {row["name"]: row for row in json.loads(facekit("dataset", "formats", "--json").stdout)}
    assert {"coco", "ibug300w", "wider_face"} <= set(rows)
    assert (rows["wider_face"]["reads"], rows["wider_face"]["writes"]) == (True, True)
    assert rows["wider_face"]["holds"] == ["ignore", "6 attributes"]
    assert "any attribute" in rows["coco"]["holds"]
    assert (rows["source"]["reads"], rows["source"]["writes"]) == (True, False)
    assert "no_such_module_at_all" in rows["broken"]["error"]
    result = facekit("dataset", "formats")
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert names == sorted(rows)


@pytest.mark.usefixtures("plug_ins")
def test_a_plug_in_takes_options_of_its_own(facekit: Facekit, tmp_path: Path) -> None:
    target = f"wider_face:{tmp_path / 'out.txt'}"
    done = facekit("convert", "source:x", target, "--read", "name=a")
    assert (done.exit_code, done.stdout) == (0, f"{target}: 1 images, 0 faces\n")
    refused(facekit("convert", target, "source:x", "--write", "y=1"), "can only be read")


def test_check(facekit: Facekit, text: Path) -> None:
    result = facekit("dataset", "check", f"wider_face:{text}")
    assert result.exit_code == 1
    assert f"{text}:13: error: image-missing: " in result.stdout
    shown = [line for line in result.stdout.splitlines() if ": image-missing: " in line]
    assert len(shown) == 10
    assert "the first 10 of each kind are shown; --all shows every one" in result.stdout
    table = result.stdout.splitlines()[-4:-1]
    assert [line.split()[:3] for line in table] == [
        ["count", "severity", "code"],
        ["16", "error", "image-missing"],
        ["9", "note", "tiny-face"],
    ]
    every = facekit("dataset", "check", f"wider_face:{text}", "--all")
    assert every.stdout.count(": image-missing: ") == 16
    assert "--all" not in every.stdout


def test_check_without_findings(facekit: Facekit, text: Path) -> None:
    source = f"wider_face:{text}"
    result = facekit("dataset", "check", source, "--no-look", "--tiny", 0)
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")
    result = facekit("dataset", "check", source, "--no-look", "--tiny", 0, "--json")
    assert json.loads(result.stdout) == {"findings": [], "counts": {}}


def test_check_of_a_format_without_faces(facekit: Facekit, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("Image_Name,Gender\na.jpg,female\n")
    result = facekit("dataset", "check", f"labels:{tmp_path / 'labels.csv'}", "--no-look")
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")


def test_check_as_json(facekit: Facekit, text: Path) -> None:
    text.write_text(text.read_text() + "0.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n")
    result = facekit("dataset", "check", f"wider_face:{text}", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["counts"]["image-missing"] == 16
    assert sum(document["counts"].values()) == len(document["findings"])
    assert document["findings"][-1]["code"] == "no-faces"
    assert document["findings"][0]["file"] == str(text)
    table = facekit("dataset", "check", f"wider_face:{text}").stdout
    assert "mended by the reader" in table


def test_fix(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    target = f"wider_face:{tmp_path / 'fixed.txt'}"
    text.write_text(text.read_text().replace("10 10 2 2", "10 10 0 2"))
    result = facekit("dataset", "check", f"wider_face:{text}", "--fix", target)
    assert result.exit_code == 0
    listing = tmp_path / "fixed.txt.repairs.jsonl"
    assert result.stdout.splitlines() == [f"{target}: 20 images, 19 faces", f"{listing}: 1 repairs"]
    assert result.stderr == "repaired: empty-box (1 times)\n"
    assert json.loads(listing.read_text())["line"] == 6
    arguments = (f"wider_face:{text}", "--fix", target, "--drop-missing", "--json")
    document = json.loads(facekit("dataset", "check", *arguments).stdout)
    assert document["repairs"] == {"image-missing": 16, "empty-box": 1}
    assert (document["images"], document["report"]) == (4, str(listing))
    refused(
        facekit("dataset", "check", f"wider_face:{text}", "--fix", f"wider_face:{text}"),
        "would overwrite what is read",
    )


def test_stats(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    picture = tmp_path / "stats.png"
    result = facekit("dataset", "stats", f"wider_face:{text}", "-o", picture)
    assert result.exit_code == 0
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["images", "20"] in words
    assert ["heights", "1", "to", "20", "px"] in words
    assert ["2", "6", "▇" * 26] in words
    assert words[-1] == [str(picture)]
    with Image.open(picture) as image:
        assert image.size[0] == 1000
    document = json.loads(facekit("dataset", "stats", f"wider_face:{text}", "--json").stdout)
    assert (document["images"], document["attributes"]["blur"]["2"]) == (20, 6)


def test_stats_of_nothing(facekit: Facekit, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    result = facekit("dataset", "stats", f"wider_face:{empty}")
    assert result.exit_code == 0
    assert "heights" not in result.stdout


def test_preview(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    (tmp_path / "WIDER_val" / "images" / "3.jpg").write_text("no image")
    sheet = tmp_path / "sheet.jpg"
    arguments = (f"wider_face:{text}", "-o", sheet, "--cell", 60, "--columns", 2)
    result = facekit("dataset", "preview", *arguments)
    assert (result.exit_code, result.stdout) == (1, f"{sheet}: 3 images\n")
    failed, absent = result.stderr.splitlines()
    assert "3.jpg: not an image" in failed
    assert absent == "note: 16 images are not at hand"
    with Image.open(sheet) as image:
        assert image.size[0] == 120
    folder = tmp_path / "WIDER_val" / "images"
    (folder / "3.jpg").unlink()
    for n in range(3, COUNT):
        Image.new("RGB", (20, 10)).save(folder / f"{n}.jpg")
    result = facekit("dataset", "preview", *arguments, "--count", 5, "--seed", 3)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{sheet}: 5 images\n", "")


@pytest.mark.parametrize("command", ["stats", "preview"])
def test_pictures_that_cannot_be_written(
    facekit: Facekit, text: Path, tmp_path: Path, command: str
) -> None:
    spec = f"wider_face:{text}"
    refused(facekit("dataset", command, spec, "-o", tmp_path / "no" / "x.png"), "does not exist")
    refused(facekit("dataset", command, spec, "-o", tmp_path / "x.docx"), "'.docx'", ".png")


def test_split(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    targets = [f"wider_face:{tmp_path / name}" for name in ("a.txt", "b.txt", "c.txt")]
    result = facekit("dataset", "split", f"wider_face:{text}", *targets[:2])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{targets[0]}: 19 images, 19 faces",
        f"{targets[1]}: 1 images, 1 faces",
    ]
    fractions = ("--fraction", 0.5, "--fraction", 0.25, "--seed", 2, "--by", r"\d+")
    result = facekit("dataset", "split", f"wider_face:{text}", *targets, *fractions)
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["10", "5", "5"]
    names = {record.name for target in targets for record in datasets.read(target)}
    assert len(names) == COUNT
    refused(
        facekit("dataset", "split", f"wider_face:{text}", *targets[:2], "--by", "("),
        "neither photo, person, stem nor a regular expression",
    )
    refused(facekit("dataset", "split", f"wider_face:{text}", targets[0]), "fractions: 2 to")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--preset", "tfod"), (0, ["left out: small (20 times)"])),
        (("--preset", "tfod", "--min-size", 11), (10, ["left out: small (10 times)"])),
        (("--min-size", 11, "--min-height", 16), (5, ["left out: small (15 times)"])),
        (("--min-width", 11, "--mark"), (20, ["marked: small (10 times)"])),
        (("--max-blur", 1), (14, ["left out: blur (6 times)"])),
        (("--max-occlusion", 0, "--no-invalid", "--no-ignored"), (20, [])),
        (
            ("--label", "mask", "--drop-empty"),
            (0, ["left out: label face (20 times)", "left out: image without faces (20 times)"]),
        ),
    ],
)
def test_filter(
    facekit: Facekit,
    text: Path,
    tmp_path: Path,
    options: tuple[Any, ...],
    expected: tuple[int, list[str]],
) -> None:
    faces, told = expected
    target = f"wider_face:{tmp_path / 'out.txt'}"
    result = facekit("dataset", "filter", f"wider_face:{text}", target, *options)
    assert result.exit_code == 0
    images = 0 if "--drop-empty" in options else COUNT
    assert result.stdout == f"{target}: {images} images, {faces} faces\n"
    assert result.stderr.splitlines() == told


def test_filter_brings_boxes_into_the_image(facekit: Facekit, text: Path, tmp_path: Path) -> None:
    text.write_text("0.jpg\n1\n-9 50 49 70 0 0 0 0 0 0\n")
    target = f"wider_face:{tmp_path / 'out.txt'}"
    result = facekit("dataset", "filter", f"wider_face:{text}", target, "--clamp", 0.02)
    assert result.exit_code == 0
    (record,) = datasets.read(target)
    assert record.faces[0].box == (4, 50, 40, 98)
    source = f"wider_face:{text}"
    refused(facekit("dataset", "filter", source, target, "--clamp", 0.7), "margin must be")
    refused(facekit("dataset", "filter", source, target, "--preset", "tf"), "mean 'tfod'")


@pytest.mark.parametrize("command", ["check", "stats", "preview", "split", "filter"])
def test_wrong_readers_options(facekit: Facekit, text: Path, tmp_path: Path, command: str) -> None:
    more = {
        "preview": ("-o", tmp_path / "x.png"),
        "split": ("csv:a", "csv:b"),
        "filter": ("csv:a",),
    }.get(command, ())
    spec = f"wider_face:{text}"
    result = facekit("dataset", command, spec, *more, "--read", "depth=1")
    refused(result, "--read depth: no option of the format 'wider_face'; it has split, images")


def test_progress_is_on_standard_error_of_a_terminal(text: Path, tmp_path: Path) -> None:
    rows = [f"{n}.jpg\n1\n10 10 9 9 0 0 0 0 0 0\n" for n in range(300)]
    text.write_text("".join(rows))
    watcher, terminal = pty.openpty()
    command = ["convert", f"wider_face:{text}", f"wider_face:{tmp_path / 'out.txt'}", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "facekit", *command],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(terminal)
    shown = os.read(watcher, 100_000).decode()
    os.close(watcher)
    assert json.loads(done.stdout)["images"] == 300
    assert "converting" in shown
    assert "images" in shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_count_is_right_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from facekit.cli.console_progress import watched

    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    records = [datasets.ImageRecord(name=str(n)) for n in range(130)]
    assert list(watched(records, "reading")) == records
    assert "130 images" in terminal.getvalue()
    assert list(watched([], "reading")) == []


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from facekit.cli.app import app\n"
        "try: app(['dataset', 'check', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'cv2', 'onnxruntime', 'PIL', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_check_names_every_malformed_line(facekit: Facekit, tmp_path: Path) -> None:
    text = tmp_path / "faces.txt"
    text.write_text("a.jpg\n2\n1 1 x 9 0 0 0 0 0 0\n1 1 9 9 0 0 0 0 0 0\nb.jpg\n-1\n")
    result = facekit("dataset", "check", f"wider_face:{text}")
    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if "malformed: " in line]
    assert [line.removeprefix(f"{text}:")[0] for line in lines] == ["3", "6"]
    # What takes a function cannot be typed, and other commands stop.
    typed = facekit("dataset", "check", f"wider_face:{text}", "--read", "on_malformed=1")
    refused(typed, "on_malformed: no option of the format 'wider_face'")
    refused(facekit("convert", f"wider_face:{text}", f"csv:{tmp_path / 'o.csv'}"), f"{text}:3: ")
