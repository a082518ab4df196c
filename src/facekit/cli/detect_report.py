"""What ``facekit detect`` prints: faces, a progress bar, a summary."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from facekit.cli.exits import one_line
from facekit.media import Source, count_frames
from facekit.types import Faces

if TYPE_CHECKING:
    from facekit.cli.console import Cell

__all__ = ["Found", "progress"]

_SHOWN_SCORES = 5


def _counted(count: int, word: str) -> str:
    """Return ``1 face``, ``2 faces``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


class Found:
    """Counts what is found, and prints it where no file takes it.

    Attributes:
        images: Images and frames so far.
        faces: Faces so far.
    """

    def __init__(self, sources: Sequence[Source], *, quiet: bool) -> None:
        """Choose the form: a table of one image's faces, or a line an image.

        Args:
            sources: Everything that will be read.
            quiet: Whether only the summary is printed.
        """
        self.images = 0
        self.faces = 0
        self._quiet = quiet
        self._one = len(sources) == 1 and sources[0].kind == "image"
        self._frames = any(source.kind != "image" for source in sources)

    def put(self, faces: Faces) -> None:
        """Count and print what was found in one image or frame."""
        self.images += 1
        self.faces += len(faces)
        if self._quiet:
            return
        print(_line(faces))
        if self._one and len(faces):
            _print_faces(faces)

    def images_in_words(self) -> str:
        """Return how many images or frames there were."""
        return _counted(self.images, "frame" if self._frames else "image")

    def summary(self, paths: Sequence[str]) -> None:
        """Print how much was found, and what was written.

        Args:
            paths: The files and folders that were asked for.
        """
        if self.images and (paths or not self._one):
            wrote = f"; wrote {', '.join(paths)}" if paths else ""
            print(one_line(f"{_counted(self.faces, 'face')} in {self.images_in_words()}{wrote}"))


def _line(faces: Faces) -> str:
    """Return a line about one image or frame."""
    name = "camera" if faces.path is None else str(faces.path)
    if faces.frame is not None:
        name = f"{name}, frame {faces.frame}"
    scores = [f"{score:.2f}" for score in faces.scores[:_SHOWN_SCORES]]
    more = ["..."] if len(faces) > _SHOWN_SCORES else []
    listed = f" ({', '.join(scores + more)})" if scores else ""
    return one_line(f"{name}: {_counted(len(faces), 'face')}{listed}")


def _print_faces(faces: Faces) -> None:
    """Print a table of one image's faces."""
    from facekit.cli.console import print_table  # noqa: PLC0415 - rich, which most runs need not

    labels = list(faces.classifications)
    rows: list[list[Cell]] = []
    best = {name: part.best() for name, part in faces.classifications.items()}
    for i, (box, score) in enumerate(zip(faces.boxes, faces.scores, strict=True)):
        corners = [f"{value:.1f}" for value in box]
        points = "" if faces.landmarks is None else str(faces.landmarks.points.shape[1])
        rows.append([str(i), f"{score:.3f}", *corners, points, *(best[name][i] for name in labels)])
    print_table(
        [">face", ">score", ">x1", ">y1", ">x2", ">y2", ">landmarks", *labels],
        rows,
    )


@contextlib.contextmanager
def progress(
    sources: Sequence[Source], max_frames: int | None, *, wanted: bool
) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error.

    Args:
        sources: Everything that will be read.
        max_frames: The limit for each video and camera.
        wanted: Whether to show it at all; for a single image it never is.

    Yields:
        What takes the number of images and frames done.
    """
    total = _total(sources, max_frames) if wanted else 1
    if total == 1:
        yield lambda _done: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for many inputs on a terminal
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("detecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard output may go to a file, and is not the bar's to redirect.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("detecting", total=total)
        yield lambda done: bar.update(task, completed=done)


def _total(sources: Sequence[Source], max_frames: int | None) -> int | None:
    """Return how many images and frames there will be, or ``None`` where that is not known."""
    total = 0
    for source in sources:
        count = count_frames([source])
        if source.kind != "image" and max_frames is not None:
            count = max_frames if count is None else min(count, max_frames)
        if count is None:
            return None
        total += count
    return total
