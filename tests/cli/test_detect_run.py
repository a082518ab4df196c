"""How a run ends, seen from inside; processes of their own are in test_detect.py."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from typer.testing import Result

from facekit.analyzer import FaceAnalyzer
from facekit.cli.detect import Request
from facekit.cli.detect_report import progress
from facekit.cli.detect_run import Failures, run
from facekit.errors import BackendError, ImageError, WeightsError
from facekit.media import expand, read_video, video_info

Facekit = Callable[..., Result]


def test_failures_name_their_input(capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures()
    failures.add(Path("a.jpg"), ImageError("a.jpg: is damaged"))
    failures.add(Path("b.jpg"), BackendError("out of memory"))
    failures.add(None, ImageError("camera 0: unplugged"))
    assert capsys.readouterr().err.splitlines() == [
        "error: a.jpg: is damaged",
        "error: b.jpg: out of memory",
        "error: camera 0: unplugged",
    ]
    assert [name for name, _ in failures.new()] == ["a.jpg", "b.jpg", "camera"]
    assert failures.new() == []


def test_what_fails_for_every_input_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures()
    with pytest.raises(WeightsError):
        failures.add(Path("a.jpg"), WeightsError("w.onnx", "of another network"))
    assert failures.found == []
    assert capsys.readouterr().err == ""


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C after the first image of a stream."""
    stream = FaceAnalyzer.stream

    def pressed(self: FaceAnalyzer, *arguments: object, **options: object) -> Iterator[object]:
        yield next(stream(self, *arguments, **options))  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(FaceAnalyzer, "stream", pressed)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("name", ["out.json", "out.jsonl"])
def test_ctrl_c_keeps_what_was_done(
    facekit: Facekit, photos: Path, tmp_path: Path, name: str
) -> None:
    data = tmp_path / name
    result = facekit("detect", photos, "--json", data, "--landmarker", "none")
    assert result.exit_code == 130
    assert result.stdout == f"1 face in 1 image; wrote {data}\n"
    assert result.stderr == "interrupted: stopped after 1 image\n"
    text = data.read_text()
    if name == "out.json":
        assert json.loads(text)["complete"] is False
    else:
        assert len(text.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == [data, photos]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_without_outputs(facekit: Facekit, photos: Path) -> None:
    assert facekit("detect", photos, "--landmarker", "none").exit_code == 130


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    """Let camera 0 show the clip: test machines have no camera."""
    opened = cv2.VideoCapture
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda source: opened(str(clip) if source == 0 else source)
    )


@pytest.mark.usefixtures("camera")
def test_a_camera_films_into_a_video(facekit: Facekit, tmp_path: Path) -> None:
    out, data, crops = tmp_path / "out.mp4", tmp_path / "out.json", tmp_path / "crops"
    arguments = ("-o", out, "--json", data, "--crops", crops, "--max-frames", 3)
    result = facekit("detect", 0, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("3 faces in 3 frames; wrote")
    assert len(list(read_video(out))) == 3
    assert video_info(out).fps == 12.5
    assert min(path.name for path in crops.iterdir()) == "camera_000000_0.jpg"
    document = json.loads(data.read_text())
    assert [record["frame"] for record in document["images"]] == [0, 1, 2]
    assert document["images"][0]["image"] is None


@pytest.mark.usefixtures("camera", "ctrl_c")
def test_ctrl_c_is_how_a_camera_ends(facekit: Facekit, tmp_path: Path) -> None:
    out, data = tmp_path / "out.mp4", tmp_path / "out.json"
    result = facekit("detect", 0, "-o", out, "--json", data, "--batch-size", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(list(read_video(out))) == 1
    assert json.loads(data.read_text())["complete"] is True


@pytest.mark.usefixtures("camera")
def test_a_camera_that_is_unplugged(facekit: Facekit, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = facekit("detect", 0, "-o", out, "--landmarker", "none")
    assert result.exit_code == 1
    assert "unplugged" in result.stderr
    assert len(list(read_video(out))) == 12


def test_a_run_in_a_thread_of_its_own(astronaut_path: Path, tmp_path: Path) -> None:
    # Signals are the main thread's alone.
    codes: list[int] = []
    request = Request(inputs=(str(astronaut_path),), json=tmp_path / "out.json", landmarker="none")
    thread = threading.Thread(target=lambda: codes.append(run(request)))
    thread.start()
    thread.join()
    assert codes == [0]


def test_signals_are_as_they_were(facekit: Facekit, astronaut_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    facekit("detect", astronaut_path, "--landmarker", "none")
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_counts_images_and_frames(
    photos: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = expand([photos, clip])
    with progress(sources, None, wanted=True) as advance:
        advance(15)
    assert "15/15" in capsys.readouterr().err
    with progress(sources, 2, wanted=True) as advance:
        advance(5)
    assert "5/5" in capsys.readouterr().err


def test_progress_of_a_camera_has_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(expand("0"), None, wanted=True) as advance:
        advance(7)
    assert "7/?" in capsys.readouterr().err
    with progress(expand("0"), 9, wanted=True) as advance:
        advance(7)
    assert "7/9" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", [True, False])
def test_progress_of_one_photo_is_silent(
    astronaut_path: Path, capsys: pytest.CaptureFixture[str], wanted: bool
) -> None:
    with progress(expand(astronaut_path), None, wanted=wanted) as advance:
        advance(1)
    assert capsys.readouterr().err == ""
