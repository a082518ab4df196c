"""Videos that appear whole."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Any, Self

import cv2

from facekit import atomic
from facekit.errors import OutputError
from facekit.images import RgbImage
from facekit.media.quiet import silent_opencv
from facekit.media.video import DEFAULT_FPS

__all__ = ["WRITABLE_VIDEO_SUFFIXES", "VideoWriter"]

_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}

WRITABLE_VIDEO_SUFFIXES = frozenset(_CODECS)
"""MPEG-4 Part 2 and Motion JPEG are what the wheels of both OpenCV 4 and 5 write."""


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
        with silent_opencv():
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
