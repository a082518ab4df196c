"""``facekit detect`` on real faces: what is printed, what is written, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import Result

import facekit as package
from facekit.boxes import iou
from facekit.images import read, write
from facekit.media import read_video, video_info

Facekit = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]
Photo = npt.NDArray[np.uint8]

# Hairline to chin, ear to ear, by hand.
FACE = (180.0, 66.0, 271.0, 178.0)


def records(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def overlap(box: list[float], other: tuple[float, ...] = FACE) -> float:
    return float(iou(np.array([box]), np.array([other]))[0, 0])


def succeeded(result: Result) -> None:
    assert (result.exit_code, result.stderr) == (0, ""), result.output


# --- what is printed


def test_one_photo_is_a_table(facekit: Facekit, astronaut_path: Path) -> None:
    result = facekit("detect", astronaut_path)
    succeeded(result)
    title, headers, row = result.stdout.splitlines()
    assert title.startswith(f"{astronaut_path}: 1 face (")
    assert headers.split() == ["face", "score", "x1", "y1", "x2", "y2", "landmarks"]
    face, score, *box, points = row.split()
    assert (face, points) == ("0", "68")
    assert 0.5 <= float(score) <= 1
    assert overlap([float(value) for value in box]) > 0.6


def test_no_face_is_no_error(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    bricks = astronaut_path.with_name("brick.png")
    result = facekit("detect", bricks, "--json", tmp_path / "out.json")
    succeeded(result)
    assert result.stdout.startswith("0 faces in 1 image; wrote")
    (record,) = json.loads((tmp_path / "out.json").read_text())["images"]
    assert record["faces"] == []
    assert facekit("detect", bricks).stdout == f"{bricks}: 0 faces\n"


def test_many_photos_are_a_line_each(facekit: Facekit, photos: Path) -> None:
    result = facekit("detect", photos)
    succeeded(result)
    *lines, last = result.stdout.splitlines()
    names = [line.partition(": ")[0] for line in lines]
    assert names == [str(photos / name) for name in ("a.png", "b.jpg", "more/a.png")]
    assert all(": 1 face (" in line for line in lines)
    assert last == "3 faces in 3 images"


def test_many_faces_are_cut_short(facekit: Facekit, astronaut: Photo, tmp_path: Path) -> None:
    head = astronaut[0:256, 100:356]
    write(tmp_path / "crowd.png", np.vstack([np.hstack([head] * 3)] * 2))
    result = facekit("detect", tmp_path / "crowd.png", "--landmarker", "none")
    succeeded(result)
    title, headers, *rows = result.stdout.splitlines()
    assert ": 6 faces (" in title
    assert title.endswith(", ...)")
    assert headers.split()[-1] == "landmarks"
    assert [row.split()[0] for row in rows] == list("012345")


# --- what is written


def test_one_photo_in_every_form(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    picture, data, crops = tmp_path / "out.png", tmp_path / "out.json", tmp_path / "crops"
    result = facekit("detect", astronaut_path, "-o", picture, "--json", data, "--crops", crops)
    succeeded(result)
    assert result.stdout == f"1 face in 1 image; wrote {picture}, {data}, {crops}\n"

    before, drawn = read(astronaut_path), read(picture)
    changed = np.abs(drawn.astype(int) - before).max(axis=2) > 0
    assert 300 < changed.sum() < 20_000
    rows, columns = np.nonzero(changed)
    assert 30 < rows.min() < 70
    assert rows.max() < 200
    assert 160 < columns.min() < 190
    assert columns.max() < 290

    document = json.loads(data.read_text())
    assert document["facekit"] == package.__version__
    assert (document["detector"], document["landmarker"]) == ("tiny_ssd", "resnet18")
    assert document["score_threshold"] == 0.5
    assert (document["complete"], document["failed"]) == (True, [])
    (record,) = document["images"]
    assert record["image"] == str(astronaut_path)
    assert (record["width"], record["height"]) == (512, 512)
    (face,) = record["faces"]
    assert overlap(face["box"]) > 0.6
    assert np.shape(face["landmarks"]) == (68, 2)

    assert [str(path) for path in crops.iterdir()] == [face["crop"]]
    assert face["crop"] == str(crops / "astronaut_0.jpg")
    assert read(crops / "astronaut_0.jpg").shape == (112, 112, 3)
    assert sorted(tmp_path.iterdir()) == [crops, data, picture]


def test_crops_without_landmarks_are_boxes(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    crops, data = tmp_path / "crops", tmp_path / "out.jsonl"
    crops.mkdir()
    result = facekit(
        "detect", astronaut_path, "--crops", crops, "--json", data, "--landmarker", "none"
    )
    succeeded(result)
    (record,) = records(data)
    assert record["landmarker"] is None
    x1, y1, x2, y2 = record["faces"][0]["box"]
    crop = read(crops / "astronaut_0.jpg")
    assert crop.shape == (round(y2 - y1), round(x2 - x1), 3)
    photo = read(astronaut_path)[round(y1) : round(y2), round(x1) : round(x2)]
    height, width = min(crop.shape[0], photo.shape[0]), min(crop.shape[1], photo.shape[1])
    difference = crop[:height, :width].astype(float) - photo[:height, :width]
    assert np.abs(difference).mean() < 12


def test_a_folder_of_photos(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    drawn, crops, data = tmp_path / "drawn", tmp_path / "crops", tmp_path / "out.jsonl"
    result = facekit("detect", photos, "-o", drawn, "--crops", crops, "--json", data)
    succeeded(result)
    # Two photos are called a.png: neither may be lost.
    assert sorted(path.name for path in drawn.iterdir()) == ["a.png", "a_2.png", "b.jpg"]
    assert sorted(path.name for path in crops.iterdir()) == ["a_0.jpg", "a_0_2.jpg", "b_0.jpg"]
    found = records(data)
    assert [Path(record["image"]).name for record in found] == ["a.png", "b.jpg", "a.png"]
    assert [Path(record["faces"][0]["crop"]).name for record in found] == [
        "a_0.jpg",
        "b_0.jpg",
        "a_0_2.jpg",
    ]
    assert all(record["facekit"] == package.__version__ for record in found)
    assert sorted(tmp_path.iterdir()) == [crops, drawn, data, photos]


def test_a_file_named_twice_is_read_once(facekit: Facekit, photos: Path) -> None:
    result = facekit("detect", photos / "a.png", photos, str(photos / "*.jpg"))
    succeeded(result)
    assert result.stdout.splitlines()[-1] == "3 faces in 3 images"


def test_one_photo_into_a_folder(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    succeeded(facekit("detect", astronaut_path, "-o", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["astronaut.png"]


def test_a_folder_of_one_photo_is_a_folder(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    succeeded(facekit("detect", photos / "more", "-o", drawn))
    assert [path.name for path in drawn.iterdir()] == ["a.png"]


def test_pictures_of_formats_that_draw_badly_become_png(
    facekit: Facekit, astronaut: Photo, tmp_path: Path
) -> None:
    write(tmp_path / "face.gif", astronaut[:256, 100:356])
    drawn = tmp_path / "drawn"
    succeeded(facekit("detect", str(tmp_path / "*.gif"), "-o", drawn))
    assert [path.name for path in drawn.iterdir()] == ["face.png"]


def test_crops_never_replace_an_input(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    shutil.copy(astronaut_path, tmp_path / "a.jpg")
    shutil.copy(astronaut_path, tmp_path / "a_0.jpg")
    before = (tmp_path / "a_0.jpg").read_bytes()
    succeeded(facekit("detect", str(tmp_path / "*.jpg"), "--crops", tmp_path))
    assert (tmp_path / "a_0.jpg").read_bytes() == before
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.jpg", "a_0.jpg", "a_0_2.jpg", "a_0_0.jpg"}


def test_names_that_are_no_unicode(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xc3\xa9.png")
    try:
        shutil.copy(astronaut_path, tmp_path / name)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    for data in (tmp_path / "out.json", tmp_path / "out.jsonl"):
        result = facekit("detect", tmp_path / name, "--json", data)
        succeeded(result)
    assert json.loads((tmp_path / "out.json").read_text())["images"][0]["image"] == str(
        tmp_path / name
    )
    assert records(tmp_path / "out.jsonl")[0]["image"] == str(tmp_path / name)
    assert "caf\\udce9 é.png: 1 face" in facekit("detect", tmp_path / name).stdout


# --- some inputs fail


def test_one_bad_photo_among_many(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    (photos / "aa.jpg").write_text("no photo")
    missing = tmp_path / "missing.jpg"
    data, lines = tmp_path / "out.json", tmp_path / "out.jsonl"
    result = facekit("detect", missing, photos, "--json", data)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first == f"error: {missing}: no such file"
    assert second.startswith(f"error: {photos / 'aa.jpg'}: not an image")
    assert result.stdout == f"3 faces in 3 images; wrote {data}\n"
    document = json.loads(data.read_text())
    assert [failure["image"] for failure in document["failed"]] == [
        str(missing),
        str(photos / "aa.jpg"),
    ]
    assert document["complete"] is True
    assert facekit("detect", missing, photos, "--json", lines, "--batch-size", 1).exit_code == 1
    assert [("error" in record, Path(record["image"]).name) for record in records(lines)] == [
        (True, "missing.jpg"),
        (False, "a.png"),
        (True, "aa.jpg"),
        (False, "b.jpg"),
        (False, "a.png"),
    ]


def test_the_last_failure_is_a_line_too(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    (photos / "more" / "z.jpg").write_text("no photo")
    lines = tmp_path / "out.jsonl"
    assert facekit("detect", photos, "--json", lines, "--batch-size", 1).exit_code == 1
    assert "error" in records(lines)[-1]


def test_all_photos_bad(facekit: Facekit, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_text("no photo")
    before = sorted(tmp_path.iterdir())
    for data in (tmp_path / "out.json", tmp_path / "out.jsonl"):
        result = facekit("detect", folder, "-o", tmp_path / "drawn", "--json", data)
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 2
        assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_truncated_video_gives_its_frames(
    facekit: Facekit, astronaut: Photo, tmp_path: Path
) -> None:
    from facekit.media import VideoWriter

    whole = tmp_path / "whole.avi"
    with VideoWriter(whole, fps=10) as video:
        for _ in range(8):
            video.write(astronaut[:256, 100:356])
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    out, data = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    result = facekit("detect", cut, "-o", out, "--json", data)
    assert result.exit_code == 1
    assert "truncated" in result.stderr
    assert 1 <= sum("frame" in record for record in records(data)) < 8
    assert 1 <= len(list(read_video(out))) < 8


# --- options


def test_the_command_line_overrides_the_config(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    config, data = tmp_path / "facekit.yaml", tmp_path / "out.json"
    config.write_text(
        "detector: {backend: tiny_ssd, score_threshold: 0.9, threads: 1}\nlandmarker: null\n"
    )

    def header(*arguments: object) -> dict[str, Any]:
        result = facekit("detect", astronaut_path, "--config", config, "--json", data, *arguments)
        succeeded(result)
        document: dict[str, Any] = json.loads(data.read_text())
        return document

    assert header()["score_threshold"] == 0.9
    assert header()["landmarker"] is None
    assert header("--score-threshold", 0.3)["score_threshold"] == 0.3
    assert header("--option", "score_threshold=0.4")["score_threshold"] == 0.4
    assert header("--landmarker", "resnet18")["landmarker"] == "resnet18"
    assert header("--detector", "tiny_ssd")["score_threshold"] == 0.9


def test_another_detector_drops_the_config_s_options(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    # `threads` is no option of the cascade: kept, it would be refused.
    config = tmp_path / "facekit.toml"
    config.write_text('[detector]\nbackend = "tiny_ssd"\nthreads = 1\n')
    result = facekit("detect", astronaut_path, "--config", config, "--detector", "haar")
    assert "threads" not in result.stderr


def test_options_reach_both_models(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    data = tmp_path / "out.json"
    result = facekit(
        "detect",
        astronaut_path,
        "--weights",
        "tiny_ssd",
        "--engine",
        "onnxruntime",
        "--option",
        "detector.max_detections=1",
        "--option",
        "landmarker.threads=1",
        "--score-threshold",
        "0.02",
        "--json",
        data,
    )
    succeeded(result)
    document = json.loads(data.read_text())
    assert document["score_threshold"] == 0.02
    assert len(document["images"][0]["faces"]) == 1


def test_batches_change_nothing(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    succeeded(facekit("detect", photos, "--json", one, "--batch-size", 1))
    succeeded(facekit("detect", photos, "--json", many, "--batch-size", 8))
    for single, batched in zip(records(one), records(many), strict=True):
        assert single["image"] == batched["image"]
        boxes = [[face["box"] for face in record["faces"]] for record in (single, batched)]
        np.testing.assert_allclose(boxes[0], boxes[1], atol=1e-2)


# --- videos


def test_a_video(facekit: Facekit, clip: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    result = facekit("detect", clip, "-o", out, "--json", data, "--crops", tmp_path / "crops")
    succeeded(result)
    assert result.stdout.startswith("12 faces in 12 frames; wrote")
    info = video_info(out)
    assert (info.size, info.fps) == ((320, 320), 12.5)
    drawn, plain = list(read_video(out)), list(read_video(clip))
    assert len(drawn) == len(plain) == 12
    assert all(np.abs(a.astype(int) - b).max() > 60 for a, b in zip(drawn, plain, strict=True))
    assert [record["frame"] for record in records(data)] == list(range(12))
    assert sorted(path.name for path in (tmp_path / "crops").iterdir())[:2] == [
        "clip_000000_0.jpg",
        "clip_000001_0.jpg",
    ]


def test_a_video_s_first_frames(facekit: Facekit, clip: Path) -> None:
    result = facekit("detect", clip, "--max-frames", 2, "--landmarker", "none")
    succeeded(result)
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        f"{clip}, frame 0",
        f"{clip}, frame 1",
        "2 faces in 2 frames",
    ]


def test_videos_and_photos_into_a_folder(
    facekit: Facekit, clip: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(clip, photos / "other.avi")
    (photos / "bad.mp4").write_text("no video")
    drawn = tmp_path / "drawn"
    result = facekit("detect", clip, photos / "bad.mp4", photos / "other.avi", photos, "-o", drawn)
    assert result.exit_code == 1
    assert "bad.mp4" in result.stderr
    names = sorted(path.name for path in drawn.iterdir())
    assert names == ["a.png", "a_2.png", "b.jpg", "clip.mp4", "other.mp4"]
    assert [len(list(read_video(drawn / name))) for name in ("clip.mp4", "other.mp4")] == [12, 12]


# --- ends


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for what a running process does; fail if it ends before."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def has_lines(path: Path, count: int) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_bytes().count(b"\n") >= count


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_keeps_what_it_did(
    start: Start, long_clip: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out, data = tmp_path / "out.avi", tmp_path / "out.jsonl"
    data.write_text("old\n")
    part = tmp_path / "out.jsonl.part"
    run = start("detect", long_clip, "-o", out, "--json", data, "--batch-size", 2)
    wait_for(has_lines(part, 3), run)
    assert data.read_text() == "old\n"
    run.send_signal(number)
    stdout, stderr = run.communicate()
    assert run.returncode == 130
    assert stderr.startswith("interrupted: stopped after ")
    assert len(stderr.splitlines()) == 1
    kept = records(data)
    assert 3 <= len(kept) < 1000
    assert 3 <= len(list(read_video(out))) <= len(kept) + 1
    assert f"in {len(kept)} frames; wrote" in stdout
    assert sorted(tmp_path.iterdir()) == [out, data]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_a_stopped_document_says_so(start: Start, long_clip: Path, tmp_path: Path) -> None:
    data, crops = tmp_path / "out.json", tmp_path / "crops"
    run = start("detect", long_clip, "--json", data, "--crops", crops, "--batch-size", 2)
    wait_for(lambda: crops.exists() and len(list(crops.iterdir())) > 2, run)
    run.send_signal(signal.SIGINT)
    run.communicate()
    assert run.returncode == 130
    document = json.loads(data.read_text())
    assert document["complete"] is False
    assert document["images"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_a_killed_run_keeps_its_lines(start: Start, long_clip: Path, tmp_path: Path) -> None:
    data, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    data.write_text("old\n")
    run = start("detect", long_clip, "--json", data, "--batch-size", 2)
    wait_for(has_lines(part, 3), run)
    run.kill()
    run.communicate()
    assert data.read_text() == "old\n"
    lines = part.read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines[:3]] == [0, 1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_stopped_while_it_prepares(start: Start, tmp_path: Path) -> None:
    # A config that is a named pipe: the run waits for it.
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)
    photo = tmp_path / "a.jpg"
    photo.touch()
    run = start("detect", photo, "--config", pipe)
    with pipe.open("w"):
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate()
    assert run.returncode == 130
    assert stderr == "interrupted: stopped by Ctrl-C\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are POSIX's")
def test_a_reader_that_goes_away(start: Start, photos: Path) -> None:
    reading, writing = os.pipe()
    run = start("detect", photos, "--landmarker", "none", stdout=writing)
    os.close(reading)
    os.close(writing)
    _, stderr = run.communicate()
    assert stderr == ""
    assert run.returncode == 141


def test_a_disk_that_is_full(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux's /dev/full")
    data = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").symlink_to("/dev/full")
    result = facekit("detect", photos, "--json", data)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {data}.part: cannot be written: No space left")
    assert len(result.stderr.splitlines()) == 1


# --- terminals


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
@pytest.mark.parametrize("kind", ["photos", "clip"])
def test_a_bar_on_a_terminal(
    start: Start, photos: Path, clip: Path, tmp_path: Path, kind: str
) -> None:
    source, total = (photos, 3) if kind == "photos" else (clip, 4)
    import pty

    main, terminal = pty.openpty()
    run = start(
        "detect",
        source,
        "--max-frames",
        4,
        "--json",
        tmp_path / "out.json",
        stderr=terminal,
        env={"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(terminal)
    shown = b""
    # An error is what Linux says when the other end has closed.
    with contextlib.suppress(OSError):
        while data := os.read(main, 4096):
            shown += data
    os.close(main)
    stdout, _ = run.communicate()
    assert run.returncode == 0
    assert f"{total}/{total}".encode() in shown
    assert b"detecting" in shown
    assert stdout.startswith(f"{total} faces in {total} ")


def test_no_bar_elsewhere(start: Start, photos: Path, tmp_path: Path) -> None:
    run = start("detect", photos, "--json", tmp_path / "out.json")
    _, stderr = run.communicate()
    assert (run.returncode, stderr) == (0, "")
