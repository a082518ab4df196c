"""Videos and cameras through OpenCV: frames in RGB, and files that appear whole."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from facekit import atomic
from facekit.errors import ImageError, OutputError
from facekit.images import MAX_PIXELS_VARIABLE, RgbImage, max_pixels
from facekit.media.containers import is_truncated
from facekit.media.sources import Source

__all__ = [
    "DEFAULT_FPS",
    "WRITABLE_VIDEO_SUFFIXES",
    "VideoInfo",
    "VideoWriter",
    "count_frames",
    "read_video",
    "video_info",
]

DEFAULT_FPS = 25.0
"""Taken where a camera or a file does not tell its frame rate."""

_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}

WRITABLE_VIDEO_SUFFIXES = frozenset(_CODECS)
"""The wheels of OpenCV 4 and 5 write MPEG-4 Part 2 and Motion JPEG on every platform."""

_HIGHEST_FPS = 1000.0
_log_lock = threading.Lock()


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
    with _silent_opencv():
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


@contextlib.contextmanager
def _silent_opencv() -> Iterator[None]:
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


class VideoWriter:
    """Writes a video that appears whole.

    Frames go to a temporary file beside the target, which replaces it when the block ends, also
    by Ctrl-C: what was written until then plays. Any other exception leaves the target as it was.

    >>> with VideoWriter("out.mp4", fps=25) as writer:        # doctest: +SKIP
    ...     writer.write(image)
    """

    def __init__(self, path: str | os.PathLike[str], *, fps: float = DEFAULT_FPS) -> None:
        """Check at the door that the video can be written.

        Args:
            path: ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv`` (MPEG-4) or ``.avi`` (Motion JPEG).
            fps: Frames per second.

        Raises:
            OutputError: If the suffix is another or the place cannot be written.
        """
        self.path = atomic.check_writable(path)
        self.fps = float(fps)
        self._codec = _CODECS.get(self.path.suffix.lower(), "")
        self._size: tuple[int, int] | None = None
        self._stack = contextlib.ExitStack()
        self._writer: Any = None
        if not self._codec:
            known = ", ".join(sorted(_CODECS))
            message = f"{self.path}: a video is written as one of {known}"
            raise OutputError(message)

    def write(self, image: RgbImage) -> None:
        """Append a frame; the first one sets the video's size.

        Args:
            image: ``(H, W, 3)`` uint8 RGB. A last odd row or column is doubled, because the
                codecs need even sides.

        Raises:
            OutputError: If the frame has another size than the first, or cannot be encoded.
        """
        size = (image.shape[0], image.shape[1])
        if self._writer is None:
            self._open(size)
        if size != self._size:
            message = f"{self.path}: a frame of {size} px does not fit a video of {self._size}"
            raise OutputError(message)
        even = cv2.copyMakeBorder(image, 0, size[0] % 2, 0, size[1] % 2, cv2.BORDER_REPLICATE)
        self._writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

    def _open(self, size: tuple[int, int]) -> None:
        temporary = self._stack.enter_context(atomic.atomic_path(self.path))
        shape = (size[1] + size[1] % 2, size[0] + size[0] % 2)
        code = cv2.VideoWriter.fourcc(*self._codec)
        with _silent_opencv():
            writer = cv2.VideoWriter(str(temporary), code, self.fps, shape)
        # Before the temporary file is renamed or removed, whichever way the block ends.
        self._stack.callback(writer.release)
        if not writer.isOpened():
            message = f"{self.path}: OpenCV cannot write {self._codec} video of {size} px here"
            raise OutputError(message)
        self._size, self._writer = size, writer

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the file, or drop it after an error; Ctrl-C finishes it.

        Raises:
            OutputError: If the file cannot be put in its place.
        """
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            kind = error = traceback = None
        self._stack.__exit__(kind, error, traceback)
