from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import ImageError, OutputError
from facekit.media import (
    WRITABLE_VIDEO_SUFFIXES,
    Source,
    VideoInfo,
    VideoWriter,
    count_frames,
    expand,
    read_video,
    video_info,
)
from facekit.media.video import _check_end

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


def test_odd_sides_lose_nothing(make_video: MakeVideo, astronaut: Rgb) -> None:
    (frame,) = read_video(make_video("odd.avi", count=1, size=(201, 151)))
    assert frame.shape == (202, 152, 3)
    assert difference(frame[:201, :151], astronaut[:201, :151]) < 6


def test_a_rotated_video_is_turned_upright(make_video: MakeVideo) -> None:
    path = make_video("phone.mp4", count=2)
    before = next(read_video(path))
    data = bytearray(path.read_bytes())
    # The track header's matrix (ISO/IEC 14496-12, 8.3.2) follows 40 bytes of version 0.
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    assert video_info(path).size == (320, 256)
    assert difference(next(read_video(path)), np.rot90(before, -1)) < 2


def test_only_so_many_frames_are_read(make_video: MakeVideo) -> None:
    assert len(list(read_video(make_video("clip.mp4"), max_frames=3))) == 3


def test_a_cut_video_gives_its_frames_and_then_says_so(make_video: MakeVideo) -> None:
    path = make_video("cut.avi")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames: list[Rgb] = []
    with pytest.raises(ImageError, match=r"cut\.avi: the video is truncated: it ends after \d"):
        frames.extend(read_video(path))
    # ``extend`` keeps what came before the error.
    assert 1 <= len(frames) < 10


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("no video"), "not a video that OpenCV reads"),
        (_cut, "not a video that OpenCV reads, or damaged or truncated"),
    ],
)
def test_an_unreadable_video_is_named_in_one_line(
    make_video: MakeVideo,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    reason: str,
) -> None:
    path = make_video("clip.mp4")
    spoil(path)
    for read in (video_info, lambda bad: next(read_video(bad))):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: {reason}")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_video_without_frames_is_an_error(make_video: MakeVideo) -> None:
    path = make_video("hollow.avi", count=1)
    data = bytearray(path.read_bytes())
    start = data.index(b"movi") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="holds no frame that can be read"):
        list(read_video(path))


def test_large_frames_are_refused(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEKIT_MAX_PIXELS", "1000")
    with pytest.raises(ImageError, match="320 x 256 px are over the limit of 1000 pixels"):
        next(read_video(make_video("clip.mp4")))


@pytest.mark.skipif(Path("/dev/video9").exists(), reason="this machine has ten cameras")
def test_an_absent_camera_is_one_clear_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match=r"^camera 9: cannot be opened; is it connected") as caught:
        next(read_video(9))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_frames_are_counted_for_a_progress_bar(
    make_video: MakeVideo, astronaut_path: Path, tmp_path: Path
) -> None:
    clip = make_video("clip.mp4", count=7)
    assert count_frames(expand([astronaut_path, clip, astronaut_path])) == 9
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    assert count_frames(expand([broken, clip])) == 7
    assert count_frames([Source("image", path=astronaut_path), Source("camera", camera=0)]) is None


def test_a_video_that_does_not_tell_its_length_has_no_count(make_video: MakeVideo) -> None:
    path = make_video("clip.mkv")
    # Matroska's Duration element becomes a Void element of the same length.
    path.write_bytes(path.read_bytes().replace(b"\x44\x89\x88", b"\xec\x89\x00", 1))
    assert video_info(path).frame_count is None
    assert count_frames(expand(path)) is None
    assert len(list(read_video(path))) == 10


def test_a_camera_that_stops_is_an_error() -> None:
    # No test machine has a camera to unplug.
    with pytest.raises(ImageError, match="camera 0: gave no more frames after 7"):
        _check_end(Source("camera", camera=0), 7)


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
        assert child.stdout is not None
        assert child.stdout.readline() == b"six\n"
        assert not path.exists()
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == -signal.SIGINT
    assert len(list(read_video(path))) >= 6
    assert list(tmp_path.iterdir()) == [path]


def test_opencv_keeps_its_own_log_level(make_video: MakeVideo) -> None:
    import cv2

    room = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = room.getLogLevel()
    list(read_video(make_video("clip.mp4", count=1)))
    assert room.getLogLevel() == before > 0
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"]
