from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import ImageError
from facekit.images import write
from facekit.media import Source, expand, frames

MakeVideo = Callable[..., Path]
Rgb = npt.NDArray[np.uint8]


@pytest.fixture
def numbered(tmp_path: Path, astronaut: Rgb) -> list[Path]:
    """Thirty photos of mixed sizes; the first pixel tells which."""
    paths = []
    for i in range(30):
        image = astronaut[: 40 + 13 * (i % 5), : 60 + 7 * (i % 3)].copy()
        image[0, 0] = i
        paths.append(tmp_path / f"{i:02d}.png")
        write(paths[-1], image)
    return paths


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("facekit")]


@pytest.mark.parametrize("prefetch", [1, 3, 64])
def test_images_come_in_order(numbered: list[Path], prefetch: int) -> None:
    found = list(frames(expand(numbered), prefetch=prefetch))
    assert [frame.path for frame in found] == numbered
    assert [int(frame.image[0, 0, 0]) for frame in found if frame.image is not None] == [*range(30)]
    assert all(frame.index is None and frame.error is None for frame in found)
    assert readers() == []


def test_videos_and_images_mix(numbered: list[Path], make_video: MakeVideo, astronaut: Rgb) -> None:
    clip = make_video("clip.mp4", count=4)
    sources = [*expand([numbered[0], clip]), Source("image", image=astronaut)]
    found = list(frames(sources, prefetch=2))
    assert [(frame.path, frame.index) for frame in found] == [
        (numbered[0], None),
        *[(clip, i) for i in range(4)],
        (None, None),
    ]
    assert found[-1].image is astronaut


def test_what_cannot_be_read_is_a_frame_with_the_reason(
    numbered: list[Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    cut = make_video("cut.avi")
    cut.write_bytes(cut.read_bytes()[:-20_000])
    gone = tmp_path / "gone.mp4"
    sources = [*expand([bad, cut]), Source("video", path=gone), *expand(numbered[:1])]
    found = list(frames(sources))
    assert found[0].image is None
    assert isinstance(found[0].error, ImageError)
    # The readable frames come first, then the error, numbered as the frame that is missing.
    clip = [frame for frame in found if frame.path == cut]
    assert [frame.index for frame in clip] == [*range(len(clip))]
    assert [frame.error is None for frame in clip] == [True] * (len(clip) - 1) + [False]
    assert "truncated" in str(clip[-1].error)
    assert [(frame.index, frame.error is None) for frame in found[-2:]] == [
        (0, False),
        (None, True),
    ]


def test_each_video_is_cut_at_max_frames(make_video: MakeVideo) -> None:
    sources = expand([make_video("a.mp4"), make_video("b.avi", count=2)])
    assert [frame.index for frame in frames(sources, max_frames=3)] == [0, 1, 2, 0, 1]


def test_the_sources_are_read_no_further_ahead_than_asked(numbered: list[Path]) -> None:
    taken = 0

    def lazily() -> Iterator[Source]:
        nonlocal taken
        while True:
            taken += 1
            yield Source("image", path=numbered[taken % 30])

    with contextlib.closing(frames(lazily(), prefetch=4)) as endless:
        for count in range(1, 50):
            next(endless)
            # Four wait, and one more source is in the walker's hand.
            assert taken <= count + 5
    assert readers() == []


@pytest.mark.parametrize("prefetch", [1, 8])
def test_closing_early_stops_threads_and_releases_the_video(
    make_video: MakeVideo, numbered: list[Path], prefetch: int
) -> None:
    clip = make_video("clip.mp4", count=40)
    for sources in (expand(clip), expand(numbered), expand([clip, *numbered])):
        reading = frames(sources, prefetch=prefetch)
        assert next(reading).image is not None
        assert readers() != []
        reading.close()
        assert readers() == []


def test_closing_before_the_first_frame_starts_nothing(numbered: list[Path]) -> None:
    frames(expand(numbered)).close()
    assert readers() == []


def test_an_error_of_the_caller_s_own_iterator_arrives(numbered: list[Path]) -> None:
    def failing() -> Iterator[Source]:
        yield from expand(numbered[0])
        message = "the caller's own"
        raise KeyError(message)

    reading = frames(failing())
    assert next(reading).path == numbered[0]
    with pytest.raises(KeyError, match="the caller's own"):
        next(reading)
    assert readers() == []


def test_a_program_may_end_in_the_middle_of_a_video(make_video: MakeVideo) -> None:
    clip = make_video("clip.mp4", count=60)
    program = (
        "import sys\n"
        "from facekit.media import expand, frames\n"
        "sys.left_open = frames(expand(sys.argv[1:]), prefetch=500)\n"
        "print(next(sys.left_open).index)\n"
    )
    command = [sys.executable, "-c", program, str(clip), *[str(clip)] * 3]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")
