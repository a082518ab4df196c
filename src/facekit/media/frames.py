"""Frames in order, read ahead by background threads."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from facekit.errors import FacekitError
from facekit.images import RgbImage, as_rgb
from facekit.media.sources import Source
from facekit.media.video import read_video

__all__ = ["Frame", "frames"]

_READERS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One image on its way, or the reason why there is none.

    Attributes:
        source: Where it came from.
        index: The frame's number from 0, for a video or a camera; else ``None``.
        image: ``(H, W, 3)`` uint8 RGB, or ``None`` where reading failed.
        error: What was wrong, where reading failed.
    """

    source: Source
    index: int | None = None
    image: RgbImage | None = None
    error: FacekitError | None = None

    @property
    def path(self) -> Path | None:
        """The file that it came from, if any."""
        return self.source.path


def frames(
    sources: Iterable[Source], *, prefetch: int = 16, max_frames: int | None = None
) -> Generator[Frame, None, None]:
    """Read every frame of every source in order.

    Image files are decoded by a few threads, videos by one, at most ``prefetch`` frames ahead of
    the caller, so that memory stays constant. Closing the generator stops the threads and
    releases videos and cameras.

    Args:
        sources: From :func:`~facekit.media.expand`; read lazily.
        prefetch: The number of frames that may wait.
        max_frames: Of each video and camera, read at most so many frames.

    Yields:
        Frames in the order of the sources. What cannot be read is a frame with an ``error``; a
        truncated video gives its readable frames first.
    """
    ahead = _ReadAhead(sources, prefetch, max_frames)
    try:
        yield from ahead.take()
    finally:
        ahead.stop()


class _ReadAhead:
    """One thread that walks the sources, and a pool that decodes image files."""

    def __init__(self, sources: Iterable[Source], prefetch: int, max_frames: int | None) -> None:
        self._sources = sources
        self._max_frames = max_frames
        self._free = threading.Semaphore(max(1, prefetch))
        self._stopped = threading.Event()
        self._ready: queue.SimpleQueue[Future[Frame] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="facekit-read")
        self._walker = threading.Thread(target=self._walk, name="facekit-walk", daemon=True)
        # Also at the interpreter's end: a thread that is still reading then would crash it.
        self._halt = weakref.finalize(self, _halt, self._stopped, self._free, self._walker)
        self._walker.start()

    def take(self) -> Iterator[Frame]:
        """Yield the frames in order, freeing a place for each."""
        while (pending := self._ready.get()) is not None:
            frame = pending.result()
            self._free.release()
            yield frame

    def stop(self) -> None:
        """Stop the threads and wait for them, so that nothing stays open."""
        self._halt()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _walk(self) -> None:
        try:
            with contextlib.closing(self._futures()) as futures:
                for future in futures:
                    self._ready.put(future)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failed: Future[Frame] = Future()
            failed.set_exception(error)
            self._ready.put(failed)
        finally:
            self._ready.put(None)

    def _futures(self) -> Generator[Future[Frame], None, None]:
        for source in self._sources:
            if source.kind == "image":
                if not self._wait():
                    return
                yield self._pool.submit(_read_image, source)
            else:
                with contextlib.closing(_read_frames(source, self._max_frames)) as video:
                    while self._wait():
                        if (frame := next(video, None)) is None:
                            self._free.release()
                            break
                        yield _done(frame)
            if self._stopped.is_set():
                return

    def _wait(self) -> bool:
        """Wait for a free place; false once the caller has stopped."""
        self._free.acquire()
        return not self._stopped.is_set()


def _halt(stopped: threading.Event, free: threading.Semaphore, walker: threading.Thread) -> None:
    """Wake the walker, which then ends, and wait for it."""
    stopped.set()
    free.release()
    walker.join()


def _done(frame: Frame) -> Future[Frame]:
    """Wrap a frame that is already there."""
    future: Future[Frame] = Future()
    future.set_result(frame)
    return future


def _read_image(source: Source) -> Frame:
    """Read an image file or check an array."""
    try:
        given = source.path if source.image is None else source.image
        assert given is not None  # noqa: S101 - an image source has one or the other
        return Frame(source, image=as_rgb(given))
    except FacekitError as error:
        return Frame(source, error=error)


def _read_frames(source: Source, max_frames: int | None) -> Generator[Frame, None, None]:
    """Read the frames of a video or a camera; an error is the last frame."""
    index = -1
    try:
        with contextlib.closing(read_video(source, max_frames=max_frames)) as images:
            for index, image in enumerate(images):
                yield Frame(source, index=index, image=image)
    except FacekitError as error:
        yield Frame(source, index=index + 1, error=error)
