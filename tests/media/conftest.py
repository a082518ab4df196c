"""Real videos: the astronaut, moving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.media import VideoWriter

Rgb = npt.NDArray[np.uint8]
MakeVideo = Callable[..., Path]

STEP = 12
"""How far the astronaut moves to the right from frame to frame, pixels."""


@pytest.fixture
def make_video(astronaut: Rgb, tmp_path: Path) -> MakeVideo:
    """Write a video in which the astronaut moves right by 12 pixels a frame."""

    def make(name: str, count: int = 10, size: tuple[int, int] = (256, 320)) -> Path:
        path = tmp_path / name
        with VideoWriter(path, fps=10) as writer:
            for i in range(count):
                moved = np.roll(astronaut, STEP * i, axis=1)
                writer.write(np.ascontiguousarray(moved[: size[0], : size[1]]))
        return path

    return make
