from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import ImageError
from facekit.media import (
    Source,
    count_frames,
    expand,
    read_video,
    video_info,
)
from facekit.media.video import _check_end

Rgb = npt.NDArray[np.uint8]
MakeVideo = Callable[..., Path]


def difference(one: Rgb, two: Rgb) -> float:
    return float(np.abs(one.astype(int) - two.astype(int)).mean())


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
