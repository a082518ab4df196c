"""Images in, faces out: a detector, a landmarker and classifiers behind one call."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from PIL import Image

from facekit import config
from facekit.config import RunConfig
from facekit.errors import ConfigError, FacekitError
from facekit.images import ImageLike, RgbImage, read_all
from facekit.media import Frame, OnError, Source, expand, frames
from facekit.parts import Part, build, by_name, configured, one_each
from facekit.protocols import Classifier, Detector, Landmarker
from facekit.registry import DEFAULT_DETECTOR, DEFAULT_LANDMARKER
from facekit.types import Classifications, Faces

__all__ = ["FaceAnalyzer", "Streamable"]

Streamable = ImageLike | int | Source | Iterable[ImageLike | int | Source]
"""What :meth:`FaceAnalyzer.stream` takes: files, folders, globs, videos, cameras, arrays."""


class FaceAnalyzer:
    """Finds faces, places their landmarks, classifies them.

    >>> analyzer = FaceAnalyzer()                                # doctest: +SKIP
    >>> faces = analyzer("photo.jpg")                            # doctest: +SKIP
    >>> for faces in analyzer.stream("photos/"):                 # doctest: +SKIP
    ...     print(faces.path, len(faces))

    It remembers nothing between calls and may be called from several threads.

    Attributes:
        detector: The detector.
        landmarker: The landmarker, or ``None``.
        classifiers: The classifiers by name; the second of one name is ``name_2``, and so on.
    """

    def __init__(
        self,
        detector: Part | Detector | None = None,
        landmarker: Part | Landmarker | None = DEFAULT_LANDMARKER,
        classifiers: Iterable[Part | Classifier] = (),
    ) -> None:
        """Build the parts that are given by name.

        Args:
            detector: A name of ``facekit backends``, a mapping such as ``{"backend": "haar",
                "score_threshold": 0.5}``, or any object that satisfies
                :class:`~facekit.protocols.Detector`; ``None`` is the default detector.
            landmarker: The same for a landmarker; ``None`` for boxes alone.
            classifiers: The same for any number of classifiers.

        Raises:
            FacekitError: If a part cannot be built; see :func:`facekit.registry.create`.
            ConfigError: If an object lacks what its protocol asks for.
        """
        chosen = DEFAULT_DETECTOR if detector is None else detector
        self.detector: Detector = build("detector", chosen)
        self.landmarker: Landmarker | None = (
            None if landmarker is None else build("landmarker", landmarker)
        )
        self.classifiers: dict[str, Classifier] = by_name(
            build("classifier", classifier) for classifier in classifiers
        )

    @classmethod
    def from_config(
        cls,
        source: str | os.PathLike[str] | Mapping[str, Any] | RunConfig,
        *,
        name: str = "configuration",
    ) -> Self:
        """Build from a run configuration.

        Args:
            source: A ``.yaml``, ``.toml`` or ``.json`` file, its content as a mapping, or a
                :class:`~facekit.config.RunConfig`.
            name: What messages call it; a file is called by its path.

        Raises:
            ConfigError: If the configuration is wrong; the option's path is named.
            FacekitError: If a part cannot be built.
        """
        if isinstance(source, RunConfig):
            run = source
        elif isinstance(source, Mapping):
            run = RunConfig.from_mapping(source, name)
        else:
            run, name = config.load(source), str(source)
        return cls(
            configured("detector", run.detector, name, "detector"),
            run.landmarker and configured("landmarker", run.landmarker, name, "landmarker"),
            [
                configured("classifier", classifier, name, f"classifiers.{i}")
                for i, classifier in enumerate(run.classifiers)
            ],
        )

    def __call__(self, image: ImageLike) -> Faces:
        """Analyse one image.

        Args:
            image: A path, a Pillow image or an ``(H, W, 3)`` uint8 RGB array.

        Returns:
            Its faces, best first, with the image.

        Raises:
            ImageError: If the image cannot be read.
            BackendError: If a vendor's code fails.
        """
        return self.batch([image])[0]

    def batch(self, images: Sequence[ImageLike]) -> list[Faces]:
        """Analyse several images together; each is decoded once.

        Args:
            images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays, of any sizes.

        Returns:
            One :class:`~facekit.types.Faces` an image, in order, with path and image.

        Raises:
            ImageError: If an image cannot be read.
            BackendError: If a vendor's code fails.
        """
        arrays = read_all(images)
        paths = [Path(image) if isinstance(image, str | os.PathLike) else None for image in images]
        return [
            faces.replace(path=path)
            for faces, path in zip(self._analyse(arrays), paths, strict=True)
        ]

    def stream(
        self,
        source: Streamable,
        *,
        batch_size: int = 16,
        on_error: OnError | None = None,
        max_frames: int | None = None,
    ) -> Generator[Faces, None, None]:
        """Analyse images one after another, read ahead in the background, in constant memory.

        Args:
            source: An image file, folder, glob pattern, video file or camera index (see
                :func:`facekit.media.expand`), an image, or an iterable of any of these; an
                iterator is read as it is needed.
            batch_size: How many images the networks see together.
            on_error: Called with the path (``None`` for an array) and the error for whatever
                cannot be read or analysed, and the rest goes on; without it the error is raised.
            max_frames: Of each video and camera, at most so many frames.

        Yields:
            One :class:`~facekit.types.Faces` an image or frame, in order, with path, frame
            number and image. Closing the generator stops the reading and releases videos.

        Raises:
            FacekitError: If something cannot be read or analysed and there is no ``on_error``.
            ConfigError: If ``batch_size`` is not positive.
        """
        if batch_size < 1:
            message = f"batch_size must be at least 1, got {batch_size}"
            raise ConfigError(message)
        sources = _sources(source, on_error)
        return self._stream(sources, batch_size, on_error, max_frames)

    def _stream(
        self,
        sources: Iterable[Source],
        batch_size: int,
        on_error: OnError | None,
        max_frames: int | None,
    ) -> Generator[Faces, None, None]:
        reading = frames(sources, prefetch=batch_size, max_frames=max_frames)
        with contextlib.closing(reading):
            readable = _readable(reading, on_error)
            while batch := list(itertools.islice(readable, batch_size)):
                yield from self._frames(batch, on_error)

    def _frames(self, batch: list[Frame], on_error: OnError | None) -> Iterator[Faces]:
        """Analyse frames together; where that fails, one by one, so that one fails alone."""
        try:
            results = self._analyse([cast("RgbImage", frame.image) for frame in batch])
        except FacekitError as error:
            if on_error is None:
                raise
            if len(batch) > 1:
                for frame in batch:
                    yield from self._frames([frame], on_error)
                return
            on_error(batch[0].path, error)
            return
        for frame, faces in zip(batch, results, strict=True):
            yield faces.replace(path=frame.path, frame=frame.index)

    def _analyse(self, images: list[RgbImage]) -> list[Faces]:
        """Run every part on decoded images."""
        if not images:
            return []
        count = len(images)
        detections = one_each(self.detector, self.detector.detect(images), count)
        landmarks: Sequence[Any] = [None] * count
        if self.landmarker is not None:
            landmarks = one_each(self.landmarker, self.landmarker.locate(images, detections), count)
        answers: dict[str, list[Classifications]] = {
            name: one_each(classifier, classifier.classify(images, detections), count)
            for name, classifier in self.classifiers.items()
        }
        return [
            Faces(
                detections=detections[i],
                landmarks=landmarks[i],
                classifications={name: answer[i] for name, answer in answers.items()},
                image=images[i],
            )
            for i in range(count)
        ]


def _readable(reading: Iterator[Frame], on_error: OnError | None) -> Iterator[Frame]:
    """Leave out frames that could not be read, once they are reported."""
    for frame in reading:
        if frame.error is None:
            yield frame
        elif on_error is None:
            raise frame.error
        else:
            on_error(frame.path, frame.error)


def _sources(source: Streamable, on_error: OnError | None) -> Iterable[Source]:
    """Expand what the user named: at once, but an iterator as it is needed."""
    if isinstance(source, str | os.PathLike | int | Source | Image.Image) or (
        isinstance(source, np.ndarray) and source.ndim == 3  # noqa: PLR2004 - one image
    ):
        return _source(source, on_error)
    expanded = (one for item in source for one in _source(item, on_error))
    return expanded if isinstance(source, Iterator) else list(expanded)


def _source(item: Any, on_error: OnError | None) -> list[Source]:  # noqa: ANN401 - see Streamable
    """Expand one item."""
    if isinstance(item, Source):
        return [item]
    if isinstance(item, int):
        return expand(item, on_error=on_error)
    if isinstance(item, str | os.PathLike):
        return expand(os.fspath(item), on_error=on_error)
    return [Source("image", image=item)]
