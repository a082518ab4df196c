"""``facekit evaluate``: tables, files, resume, Ctrl-C, and one line for what is wrong."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import Result

from facekit import weights
from facekit.images import write

Facekit = Callable[..., Result]
Photo = npt.NDArray[np.uint8]


@pytest.fixture
def album(tmp_path: Path, astronaut: Photo) -> Path:
    """The photo and a part of it without a face, laid out as WIDER FACE is."""
    root = tmp_path / "WIDER"
    photos = root / "WIDER_val" / "images" / "0--Parade"
    photos.mkdir(parents=True)
    write(photos / "a.jpg", astronaut)
    write(photos / "b.jpg", astronaut[300:, :200])
    lines = ["0--Parade/a.jpg", "1", "176 60 96 112 0 0 0 0 0 0"]
    lines += ["0--Parade/b.jpg", "0", "0 0 0 0 0 0 0 0 0 0", ""]
    (root / "wider_face_val_bbx_gt.txt").write_text("\n".join(lines))
    return root


@pytest.fixture
def dataset(album: Path) -> tuple[str, str]:
    return "--dataset", f"wider_face:{album}"


def refused(result: Result, *words: str) -> None:
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


def test_a_table_with_the_scale(facekit: Facekit, dataset: tuple[str, str]) -> None:
    result = facekit("evaluate", "--detector", "tiny_ssd", *dataset)
    assert result.exit_code == 0, result.stderr
    head, _, columns, row = result.stdout.splitlines()
    assert head.endswith(": 2 images, 1 faces")
    assert columns.split()[:3] == ["backend", "scale", "threshold"]
    assert "300 x 300 px" in row
    assert row.split()[0] == "tiny_ssd"
    assert "1.000" in row


def test_several_backends_in_one_table_and_files(
    facekit: Facekit, dataset: tuple[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "strict.yaml"
    config.write_text("detector: {backend: tiny_ssd, nms_threshold: 0.3, score_threshold: 0.9}\n")
    out = tmp_path / "out"
    several = ("--detector", "tiny_ssd", "--detector", config)
    result = facekit("evaluate", *several, *dataset, "--out", out, "--no-plots", "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert [one["label"] for one in printed["results"]] == ["tiny_ssd", "tiny_ssd-strict"]
    assert {one["setting"]["threshold"] for one in printed["results"]} == {"0.02"}
    assert json.loads((out / "report.json").read_text()) == printed
    assert "| tiny_ssd-strict |" in (out / "report.md").read_text()
    assert (out / "predictions" / "tiny_ssd" / "0--Parade" / "a.txt").is_file()
    assert (out / "predictions" / "tiny_ssd.json").is_file()
    places = ("predictions/tiny_ssd", "predictions/tiny_ssd.json")
    words = [word for place in places for word in ("--predictions", out / place)]
    again = facekit("evaluate", *words, *dataset, "--json")
    assert again.exit_code == 0, again.stderr
    values = [one["values"] for one in json.loads(again.stdout)["results"]]
    assert values == [printed["results"][0]["values"]] * 2


def test_plots(facekit: Facekit, dataset: tuple[str, str], tmp_path: Path, require: Any) -> None:
    require("matplotlib")
    out = tmp_path / "out"
    result = facekit("evaluate", "--detector", "tiny_ssd", *dataset, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert f"wrote {out / 'curves.png'}" in result.stdout
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib(
    facekit: Facekit, dataset: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = ("evaluate", "--detector", "tiny_ssd", *dataset, "--out", tmp_path / "out")
    result = facekit(*words)
    assert result.exit_code == 0, result.stderr
    assert "no curves are drawn: plots needs 'matplotlib'" in result.stderr
    assert 'pip install "facekit[eval]"' in result.stderr
    assert not (tmp_path / "out" / "curves.png").exists()
    refused(facekit(*words, "--plots"), "matplotlib", 'pip install "facekit[eval]"')


def test_a_card(facekit: Facekit, dataset: tuple[str, str], tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    result = facekit("evaluate", "--detector", "tiny_ssd", *dataset, "--card", card)
    assert result.exit_code == 0, result.stderr
    assert f"wrote {card}" in result.stdout
    text = card.read_text()
    assert "| tiny_ssd |" in text
    assert "ms for one image of 512 x 512 px: median of 20 calls, one thread" in text
    two = ("--detector", "tiny_ssd", "--detector", f"tiny_ssd={_bundled()}")
    result = facekit("evaluate", *two, *dataset, "--card", tmp_path / "cards", "--json")
    assert result.exit_code == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "cards").iterdir())
    assert names == ["tiny_ssd-tiny_ssd.md", "tiny_ssd.md"]


def _bundled() -> Path:
    return weights.resolve("tiny_ssd", default="tiny_ssd")


def test_a_stopped_run_goes_on(
    start: Callable[..., Popen[str]],
    facekit: Facekit,
    album: Path,
    tmp_path: Path,
    astronaut: Photo,
) -> None:
    photos = album / "WIDER_val" / "images" / "0--Parade"
    lines = []
    for number in range(300):
        write(photos / f"{number}.jpg", astronaut[: 400 + number % 50])
        lines += [f"0--Parade/{number}.jpg", "1", "176 60 96 112 0 0 0 0 0 0"]
    text = album / "wider_face_val_bbx_gt.txt"
    text.write_text("\n".join([*lines, ""]))
    out = tmp_path / "out"
    words = ("evaluate", "--detector", "tiny_ssd", "--dataset", f"wider_face:{album}")
    running = start(*words, "--out", out, "--no-plots")
    kept = out / "predictions" / "tiny_ssd" / "0--Parade"
    deadline = time.monotonic() + 60
    while not (kept / "3.txt").exists() and time.monotonic() < deadline:
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.splitlines()[-1] == "interrupted: stopped by Ctrl-C"
    done = {file.name: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert 4 <= len(done) < 300
    assert not any(name.startswith(".part") for name in done)
    result = facekit(*words, "--out", out, "--no-plots")
    assert result.exit_code == 0, result.stderr
    now = {file.name: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert len(now) == 300
    assert {name: now[name] for name in done} == done


def test_landmarkers_in_the_annotated_boxes_and_in_a_detectors(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    import facekit as library

    detector, landmarker = library.create_detector(), library.create_landmarker()
    (found,) = landmarker.locate([astronaut_path], detector.detect([astronaut_path]))
    lines = ["version: 1", "n_points: 68", "{", *(f"{x} {y}" for x, y in found.points[0]), "}", ""]
    (tmp_path / "astronaut.png").write_bytes(astronaut_path.read_bytes())
    (tmp_path / "astronaut.pts").write_text("\n".join(lines))
    boxes = ("--boxes", "truth", "--boxes", "tiny_ssd")
    words = ("evaluate", "--landmarker", "resnet18", "--dataset", f"pts:{tmp_path}", *boxes)
    result = facekit(*words, "--out", tmp_path / "out", "--no-plots", "--json")
    assert result.exit_code == 0, result.stderr
    one, two = json.loads(result.stdout)["results"]
    assert two["label"] == "resnet18 in tiny_ssd's boxes"
    # The annotation is what the landmarker said in these boxes, a pixel off: .pts counts from 1.
    assert two["values"]["NME %"] < 3
    assert one["values"]["NME %"] < 8
    refused(facekit(*words, "--normalise", "pupils"), "pupils", "interpupil")
    card = tmp_path / "card.md"
    assert facekit(*words, "--card", card).exit_code == 0
    assert "jaw NME %" in card.read_text()
    assert "with 1 face:" in card.read_text()


BRIGHTNESS = """
import numpy as np
from facekit.images import as_rgb
from facekit.protocols import Options
from facekit.types import Classifications

class Brightness:
    Options = Options
    name = "brightness"
    labels = ("dark", "light")

    def __init__(self, options=None):
        pass

    def classify(self, images, detections):
        means = [as_rgb(image).mean() / 255 for image in images]
        return [
            Classifications(
                scores=[[1 - mean, mean]], labels=self.labels, image_size=found.image_size
            )
            for mean, found in zip(means, detections, strict=True)
        ]
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that a package registers."""
    site = tmp_path / "site"
    (site / "brightness-1.dist-info").mkdir(parents=True)
    (site / "facekit_brightness.py").write_text(BRIGHTNESS)
    (site / "brightness-1.dist-info" / "METADATA").write_text("Name: brightness\nVersion: 1\n")
    (site / "brightness-1.dist-info" / "entry_points.txt").write_text(
        "[facekit.classifiers]\nbrightness = facekit_brightness:Brightness\n"
    )
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("plug_in")
def test_classifiers_of_whole_images(facekit: Facekit, album: Path, tmp_path: Path) -> None:
    table = album / "WIDER_val" / "images" / "tone.csv"
    table.write_text("Image_Name,tone\n0--Parade/a.jpg,dark\n0--Parade/b.jpg,light\n")
    words = ("evaluate", "--classifier", "brightness", "--dataset", f"labels:{table}")
    result = facekit(*words, "--out", tmp_path / "out", "--no-plots")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"labels:{table}: 2 images, 2 labels")
    assert "0.500" in result.stdout
    text = (tmp_path / "out" / "report.md").read_text()
    assert "true labels down" in text
    (album / "WIDER_val" / "images" / "0--Parade" / "a.jpg").unlink()
    refused(facekit(*words, "--missing", "empty"), "one of error, skip")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("name what is measured", "--detector")),
        (("--detector", "tiny_ssd", "--landmarker", "resnet18"), ("one of the three",)),
        (("--detector", "tiny_sdd"), ("unknown detector 'tiny_sdd'", "'tiny_ssd'")),
        (("--detector", "tiny_ssd", "--protocol", "ap05"), ("unknown protocol 'ap05'", "ap50")),
        (("--detector", "tiny_ssd", "--heights", "50;30"), ("--heights '50;30'",)),
        (("--detector", "tiny_ssd", "--heights", "-1"), ("--heights '-1'",)),
        (("--detector", "tiny_ssd", "--missing", "drop"), ("'drop'", "skip")),
        (("--predictions", "nowhere"), ("nowhere: no such file or folder",)),
        (("--detector", "tiny_ssd", "--out", "a/b/c"), ("does not exist",)),
        (("--predictions", "x", "--card", "x.md"), ("--card is of backends",)),
        (("--detector", "tiny_ssd", "--card", "a/b/x.md"), ("does not exist",)),
        (
            ("--detector", "tiny_ssd", "--detector", "tiny_ssd", "--card", "x.md"),
            ("one file for 2 backends",),
        ),
    ],
)
def test_wrong_requests_are_one_line(
    facekit: Facekit, dataset: tuple[str, str], words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    refused(facekit("evaluate", *words, *dataset), *parts)


def test_missing_images_are_one_line(facekit: Facekit, album: Path) -> None:
    (album / "WIDER_val" / "images" / "0--Parade" / "b.jpg").unlink()
    words = ("evaluate", "--detector", "tiny_ssd", "--dataset", f"wider_face:{album}")
    refused(facekit(*words), "1 of 2 images are not at hand", "b.jpg", "--missing skip")
    result = facekit(*words, "--missing", "skip")
    assert result.exit_code == 0, result.stderr
    assert "1 of 2 images" in result.stdout
    assert result.stderr.startswith("note: a subset: 1 of the dataset's 2 images")


def test_malformed_predictions_are_one_line(
    facekit: Facekit, dataset: tuple[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "texts" / "0--Parade"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a\n1\n10 20 nan 5 0.5\n")
    words = ("evaluate", "--predictions", tmp_path / "texts", *dataset)
    refused(facekit(*words), "a.txt:3", "not finite")
    (folder / "a.txt").write_text("a\n1\n10 20 5 5 7\n")
    (folder / "z.txt").write_text("z\n0\n")
    refused(facekit(*words), "1 of 2 files are of no image", "0--Parade/z.txt")
    (folder / "z.txt").rename(folder / "b.txt")
    (folder / "b.txt").write_text("b\n0\n")
    result = facekit(*words)
    assert result.exit_code == 0
    assert "1 scores lie outside [0, 1]" in result.stderr


def test_predictions_of_other_options_are_refused_until_told(
    facekit: Facekit, dataset: tuple[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "tiny_ssd.yaml"
    config.write_text("detector: {backend: tiny_ssd}\n")
    words = ("evaluate", "--detector", config, *dataset, "--out", tmp_path / "out", "--no-plots")
    assert facekit(*words).exit_code == 0
    config.write_text("detector: {backend: tiny_ssd, nms_threshold: 0.2}\n")
    refused(facekit(*words), "something else (options differ)", "--restart")
    assert facekit(*words, "--restart").exit_code == 0
