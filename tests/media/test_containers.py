from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from facekit.media.containers import is_truncated


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.avi", "clip.mkv"])
def test_a_whole_video_is_not_truncated(make_video: Callable[..., Path], name: str) -> None:
    assert not is_truncated(make_video(name))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.avi"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_video_is_truncated(make_video: Callable[..., Path], name: str, keep: float) -> None:
    path = make_video(name)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    assert is_truncated(path)


def test_a_long_box_has_its_size_behind_its_name(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    long = struct.pack(">I4sQ", 1, b"mdat", 16 + 100)
    path.write_bytes(struct.pack(">I4s", 8, b"free") + long + bytes(100))
    assert not is_truncated(path)
    path.write_bytes(struct.pack(">I4s", 8, b"free") + long + bytes(99))
    assert is_truncated(path)


def test_a_last_box_may_be_open(tmp_path: Path) -> None:
    path = tmp_path / "open.mp4"
    path.write_bytes(struct.pack(">I4s", 0, b"mdat") + bytes(10))
    assert not is_truncated(path)


def test_every_chunk_of_a_long_avi_counts(tmp_path: Path) -> None:
    path = tmp_path / "long.avi"
    first = struct.pack("<4sI4s", b"RIFF", 5, b"AVI ") + b"x" + b"\0"
    second = struct.pack("<4sI4s", b"RIFF", 12, b"AVIX") + bytes(8)
    path.write_bytes(first + second)
    assert not is_truncated(path)
    path.write_bytes((first + second)[:-1])
    assert is_truncated(path)


def test_other_containers_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "clip.webm"
    path.write_bytes(b"anything")
    assert not is_truncated(path)
