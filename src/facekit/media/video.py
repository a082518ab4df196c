"""Videos and cameras through OpenCV, frame by frame in RGB."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facekit.errors import ImageError
from facekit.images import MAX_PIXELS_VARIABLE, RgbImage, max_pixels
from facekit.media.containers import is_truncated
from facekit.media.quiet import silent_opencv
from facekit.media.sources import Source

__all__ = [
    "DEFAULT_FPS",
    "VideoInfo",
    "count_frames",
    "read_video",
    "video_info",
]

DEFAULT_FPS = 25.0
"""Taken where a camera or a file does not tell its frame rate."""

_HIGHEST_FPS = 1000.0


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video's header says.

    Attributes:
        size: Height and width as shown, after rotation, pixels.
        fps: Frames per second; 25 where the file does not say.
        frame_count: The number of frames as the header counts them; ``None`` where unknown.
    """

    size: tuple[int, int]
    fps: float
    frame_count: int | None


def read_video(
    source: Source | str | Path | int, *, max_frames: int | None = None
) -> Generator[RgbImage, None, None]:
    """Read a video or a camera frame by frame.

    Args:
        source: A video file or a camera's index.
        max_frames: Stop after so many frames.

    Yields:
        ``(H, W, 3)`` uint8 RGB, turned as the file's rotation says.

    Raises:
        ImageError: If it cannot be opened, holds no frame, or is cut off: the readable frames
            come first.
    """
    source = _as_source(source)
    with _opened(source) as capture:
        index = 0
        while max_frames is None or index < max_frames:
            read, frame = capture.read()
            if not read:
                _check_end(source, index)
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            index += 1


def video_info(source: Source | str | Path | int) -> VideoInfo:
    """Read a video's header.

    Args:
        source: A video file or a camera's index.

    Raises:
        ImageError: If it cannot be opened.
    """
    with _opened(_as_source(source)) as capture:
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return VideoInfo(
            size=_size(capture),
            fps=fps if 0 < fps <= _HIGHEST_FPS else DEFAULT_FPS,
            frame_count=int(count) if math.isfinite(count) and count > 0 else None,
        )


def count_frames(sources: Iterable[Source]) -> int | None:
    """Return how many frames the sources will give, for a progress bar.

    Args:
        sources: From :func:`~facekit.media.expand`.

    Returns:
        One an image plus what each video's header says; ``None`` where one does not say, as a
        camera never does.
    """
    total = 0
    for source in sources:
        count: int | None = 1
        if source.kind == "camera":
            return None
        if source.kind == "video":
            try:
                count = video_info(source).frame_count
            except ImageError:
                continue
        if count is None:
            return None
        total += count
    return total


def _as_source(source: Source | str | Path | int) -> Source:
    """Take a path for a video file and a number for a camera."""
    if isinstance(source, Source):
        return source
    if isinstance(source, int):
        return Source("camera", camera=source)
    return Source("video", path=Path(source))


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """Open a capture, check it, and release it at the end.

    Raises:
        ImageError: If it cannot be opened or its frames are over the pixel limit.
    """
    if source.path is not None:
        _check_file(source.path)
    with silent_opencv():
        capture = cv2.VideoCapture(
            source.camera if source.path is None else str(source.path)  # type: ignore[arg-type]
        )
    try:
        if not capture.isOpened():
            reason = (
                "cannot be opened; is it connected, and not in use by another program?"
                if source.path is None
                else "not a video that OpenCV reads, or damaged or truncated"
            )
            message = f"{source.name}: {reason}"
            raise ImageError(message)
        _check_pixels(source, _size(capture))
        yield capture
    finally:
        capture.release()


def _check_file(path: Path) -> None:
    """Say what OpenCV would not.

    Raises:
        ImageError: If the file is missing, empty, or may not be read.
    """
    try:
        with path.open("rb") as file:
            if not file.read(1):
                message = f"{path}: the file is empty"
                raise ImageError(message)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise ImageError(message) from error


def _check_pixels(source: Source, size: tuple[int, int]) -> None:
    """Refuse frames that would fill the memory.

    Raises:
        ImageError: If height times width is above the limit.
    """
    height, width = size
    if height * width > max_pixels():
        message = (
            f"{source.name}: frames of {width} x {height} px are over the limit of "
            f"{max_pixels()} pixels; raise it by {MAX_PIXELS_VARIABLE} if you trust the file"
        )
        raise ImageError(message)


def _size(capture: Any) -> tuple[int, int]:  # noqa: ANN401 - OpenCV's own type
    """Return height and width of a capture's frames."""
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return height, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))


def _check_end(source: Source, index: int) -> None:
    """Tell an end from a cut; OpenCV does not.

    Raises:
        ImageError: If there was no frame, or the file is shorter than its container says.
    """
    if source.path is None:
        message = f"{source.name}: gave no more frames after {index}; was it unplugged?"
        raise ImageError(message)
    if index == 0:
        message = f"{source.name}: holds no frame that can be read: damaged or truncated"
        raise ImageError(message)
    if is_truncated(source.path):
        message = f"{source.name}: the video is truncated: it ends after {index} frames"
        raise ImageError(message)
