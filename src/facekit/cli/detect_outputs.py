"""What a run of ``facekit detect`` writes: drawn pictures and videos, crops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from facekit import images
from facekit.align import align_faces
from facekit.cli.detect import Request
from facekit.cli.naming import Names, check_file, check_folder, stem_of
from facekit.draw import draw_faces
from facekit.errors import ImageError, OutputError
from facekit.images import RgbImage
from facekit.media import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    WRITABLE_VIDEO_SUFFIXES,
    Source,
    VideoWriter,
    video_info,
)
from facekit.media.video import DEFAULT_FPS
from facekit.types import Faces

__all__ = ["Crops", "Drawings", "plan_drawings"]

_KEPT_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""Pictures in a folder keep these; of any other format a drawn picture is a PNG."""

_ALIGNABLE = frozenset({"ibug68", "arcface5"})


class Drawings:
    """Faces drawn on pictures and videos.

    Used as a context: leaving it finishes the video that is being written.

    Attributes:
        class_names: The names of the detector's classes.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, target: Path, sources: list[Source], names: Names, *, named: bool) -> None:
        """Check at the door that everything can be written; nothing is written yet.

        Args:
            target: A picture, a video, or a folder.
            sources: Everything that will be read.
            names: What must not be overwritten.
            named: Whether the user named the one source itself, and so expects one file.

        Raises:
            OutputError: If the target does not fit the sources or cannot be written.
            ImageError: If a video or camera cannot be opened.
        """
        self.target = target
        self._names = names
        self._stack = contextlib.ExitStack()
        self._video: VideoWriter | None = None
        self._video_of: Path | None = None
        self._into_folder = not named or target.is_dir()
        if self._into_folder:
            _check_drawings_folder(target, sources)
        else:
            check_file(target, names, "-o")
            _check_suffix(target, sources[0])
        # Now, because a camera cannot be asked once it is being read.
        self._rates = {
            source.path: _rate(source, must_open=named)
            for source in sources
            if source.kind != "image"
        }

    def put(self, faces: Faces) -> None:
        """Draw the faces of one image or frame.

        Raises:
            OutputError: If the drawing cannot be written.
        """
        assert faces.image is not None  # noqa: S101 - a stream keeps the images
        drawn = draw_faces(faces.image, faces, class_names=self.class_names)
        if faces.frame is None:
            self._finish_video()
            images.write(self._place(faces.path), drawn)
        else:
            self._video_writer(faces.path).write(drawn)

    def _video_writer(self, path: Path | None) -> VideoWriter:
        """Return the writer for frames of a video; the one before is finished."""
        if self._video is None or self._video_of != path:
            self._finish_video()
            writer = VideoWriter(self._place(path, ".mp4"), fps=self._rates[path])
            self._video, self._video_of = self._stack.enter_context(writer), path
        return self._video

    def _finish_video(self) -> None:
        """Put the video that is being written in its place."""
        self._video = None
        self._stack.close()

    def _place(self, path: Path | None, suffix: str | None = None) -> Path:
        """Choose the file for the drawing of a source."""
        if not self._into_folder:
            return self.target
        self.target.mkdir(exist_ok=True)
        if suffix is None:
            given = path.suffix.lower() if path is not None else ""
            suffix = given if given in _KEPT_SUFFIXES else ".png"
        return self._names.claim(self.target, stem_of(path), suffix)

    def __enter__(self) -> Self:
        """Return the drawings."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish a video, or drop it after an error."""
        self._stack.__exit__(kind, error, traceback)


def _rate(source: Source, *, must_open: bool) -> float:
    """Return a video's frames per second; one of many that cannot be opened is reported later.

    Raises:
        ImageError: If it cannot be opened and must be.
    """
    try:
        return video_info(source).fps
    except ImageError:
        if must_open:
            raise
        return DEFAULT_FPS


def _check_drawings_folder(folder: Path, sources: list[Source]) -> None:
    """Check the folder of drawn pictures.

    Raises:
        OutputError: If it cannot be written, looks like a file, or holds inputs: drawings have
            the names of the inputs.
    """
    suffix = folder.suffix.lower()
    if not folder.is_dir() and suffix in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        message = (
            f"-o {folder}: is the name of one file, but the input is a folder, a pattern or many; "
            "give a folder"
        )
        raise OutputError(message)
    check_folder(folder)
    place = folder.resolve()
    if any(source.path.parent.resolve() == place for source in sources if source.path is not None):
        message = f"-o {folder}: holds the inputs, which would be overwritten; give another folder"
        raise OutputError(message)


def _check_suffix(target: Path, source: Source) -> None:
    """Check that a drawing of the source can have the target's suffix.

    Raises:
        OutputError: If no encoder has it.
    """
    if source.kind == "image":
        try:
            images.encode(np.zeros((16, 16, 3), np.uint8), target.suffix)
        except OutputError as error:
            message = f"-o {target}: {error}, or name a folder that exists"
            raise OutputError(message) from error
    elif target.suffix.lower() not in WRITABLE_VIDEO_SUFFIXES:
        known = ", ".join(sorted(WRITABLE_VIDEO_SUFFIXES))
        message = f"-o {target}: faces of {source.name} are drawn as a video: one of {known}"
        raise OutputError(message)


class Crops:
    """Each face as a picture of its own."""

    def __init__(self, folder: Path, names: Names) -> None:
        """Check at the door that the crops can be written.

        Args:
            folder: An existing folder, or one whose parent exists.
            names: What must not be overwritten.

        Raises:
            OutputError: If they cannot.
        """
        check_folder(folder)
        self._folder = folder
        self._names = names

    def put(self, faces: Faces) -> list[Path]:
        """Write the faces of one image or frame.

        Returns:
            Each face's file.

        Raises:
            OutputError: If one cannot be written.
        """
        self._folder.mkdir(exist_ok=True)
        stem = stem_of(faces.path, faces.frame)
        written = []
        for i, crop in enumerate(_crops(faces)):
            path = self._names.claim(self._folder, f"{stem}_{i}", ".jpg")
            images.write(path, crop)
            written.append(path)
        return written


def _crops(faces: Faces) -> Iterator[RgbImage]:
    """Cut the faces out: aligned by their landmarks, or by their boxes."""
    assert faces.image is not None  # noqa: S101 - a stream keeps the images
    landmarks = faces.landmarks
    for i, box in enumerate(faces.detections.clip().boxes):
        if landmarks is not None and landmarks.scheme in _ALIGNABLE:
            # Landmarks that are all in one place cannot be aligned.
            with contextlib.suppress(ImageError):
                yield align_faces(faces.image, landmarks[i])[0]
                continue
        yield images.crop(faces.image, box)


def plan_drawings(request: Request, sources: list[Source], names: Names) -> Drawings | None:
    """Return where faces are drawn, checked, if the user asked for it."""
    if request.output is None:
        return None
    only = sources[0]
    named = len(request.inputs) == 1 and (only.path is None or only.path == Path(request.inputs[0]))
    return Drawings(request.output, sources, names, named=named)
