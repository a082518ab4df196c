from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from facekit.media import read_video

MakeVideo = Callable[..., Path]


def test_opencv_keeps_its_own_log_level(make_video: MakeVideo) -> None:
    import cv2

    room = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = room.getLogLevel()
    list(read_video(make_video("clip.mp4", count=1)))
    assert room.getLogLevel() == before > 0
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"]
