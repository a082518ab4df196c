from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import OutputError
from facekit.media import WRITABLE_VIDEO_SUFFIXES, VideoInfo, VideoWriter, read_video, video_info

Rgb = npt.NDArray[np.uint8]
MakeVideo = Callable[..., Path]
STEP = 12


def difference(one: Rgb, two: Rgb) -> float:
    return float(np.abs(one.astype(int) - two.astype(int)).mean())


@pytest.mark.parametrize("suffix", sorted(WRITABLE_VIDEO_SUFFIXES))
def test_what_is_written_is_read_in_order_and_colour(
    make_video: MakeVideo, astronaut: Rgb, suffix: str
) -> None:
    path = make_video(f"clip{suffix}")
    assert video_info(path) == VideoInfo(size=(256, 320), fps=10.0, frame_count=10)
    frames = list(read_video(path))
    assert len(frames) == 10
    for i, frame in enumerate(frames):
        assert frame.dtype == np.uint8
        wanted = np.roll(astronaut, STEP * i, axis=1)[:256, :320]
        assert difference(frame, wanted) < 6
        # Another place, or red for blue, would be far off.
        assert difference(frame, np.roll(wanted, STEP, axis=1)) > 12
        assert difference(frame, wanted[:, :, ::-1]) > 12
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("out.gif", "a video is written as one of .avi, .m4v, .mkv, .mov, .mp4"),
        ("missing/out.mp4", "the folder .* does not exist"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(OutputError, match=reason):
        VideoWriter(tmp_path / name)


def test_a_size_that_no_codec_writes_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot write mp4v video"),
        VideoWriter(tmp_path / "out.mp4") as writer,
    ):
        writer.write(np.zeros((2, 70_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused_and_the_old_file_stays(
    make_video: MakeVideo, astronaut: Rgb
) -> None:
    path = make_video("clip.mp4")
    before = path.read_bytes()

    def write_two_sizes() -> None:
        with VideoWriter(path) as writer:
            writer.write(astronaut)
            writer.write(astronaut[:100])

    with pytest.raises(OutputError, match="does not fit"):
        write_two_sizes()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupt_is_passed_on_once_the_video_is_in_its_place(
    tmp_path: Path, astronaut: Rgb
) -> None:
    def write_one_and_stop() -> None:
        with VideoWriter(tmp_path / "out.mp4") as writer:
            writer.write(astronaut)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_one_and_stop()
    assert len(list(read_video(tmp_path / "out.mp4"))) == 1


def test_no_frame_leaves_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_ctrl_c_leaves_a_video_that_plays(
    tmp_path: Path, astronaut_path: Path, suffix: str
) -> None:
    path = tmp_path / f"live{suffix}"
    program = (
        "import itertools, sys, facekit\n"
        "from facekit.media import VideoWriter\n"
        "image = facekit.read_image(sys.argv[1])\n"
        "with VideoWriter(sys.argv[2]) as writer:\n"
        "    for i in itertools.count():\n"
        "        writer.write(image)\n"
        "        if i == 5: print('six', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(astronaut_path), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"six\n"
            assert not path.exists()
            child.send_signal(signal.SIGINT)
            assert child.wait(timeout=60) == -signal.SIGINT
        finally:
            child.kill()
    assert len(list(read_video(path))) >= 6
    assert list(tmp_path.iterdir()) == [path]
