"""OpenCV without its own words on stderr."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import cv2

__all__ = ["silent_opencv"]

_log_lock = threading.Lock()


@contextlib.contextmanager
def silent_opencv() -> Iterator[None]:
    """Keep OpenCV's own warnings off stderr while a file is opened: the error says it better.

    The level is one for the whole process; the lock keeps the change short and whole. FFmpeg's
    level is read by OpenCV from the environment, once, before the first video is opened.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # OpenCV 5 moved the two functions.
    room: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    with _log_lock:
        level = room.getLogLevel()
        room.setLogLevel(0)
        try:
            yield
        finally:
            room.setLogLevel(level)
