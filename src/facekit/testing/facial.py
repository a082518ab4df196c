"""What landmarkers and classifiers have in common: they are told where the faces are."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest

from facekit.boxes import BoxTransform
from facekit.images import ImageLike
from facekit.testing import photos
from facekit.testing.contract import Contract, Model
from facekit.testing.photos import Photo
from facekit.types import Classifications, Detections, Landmarks

__all__ = ["FacialContract"]

Result = TypeVar("Result", Landmarks, Classifications)


class FacialContract(Contract[Result]):
    """The checks of adapters that answer about given faces."""

    @abc.abstractmethod
    def call(
        self,
        model: Model,
        images: Sequence[ImageLike],
        detections: Sequence[Detections],
    ) -> list[Result]:
        """Ask the model about the faces of images."""

    def run(
        self,
        model: Model,
        images: Sequence[ImageLike],
        shown: Sequence[Photo],
    ) -> list[Result]:
        """Ask about the true faces."""
        return self.call(model, images, [photo.detections for photo in shown])

    def test_several_faces_keep_their_order(self, model: Model) -> None:
        """Row ``i`` answers face ``i``, and a face's answer does not depend on its neighbours."""
        photo = photos.astronaut()
        # The face, the orange suit and the model of a rocket: three different answers.
        given = _given(photo, photo.squares[0], [150, 300, 250, 400], [390, 100, 470, 180])
        together = self.call(model, [photo.image], [given])[0]
        assert len(together) == len(given), f"{len(together)} answers about {len(given)} faces"
        order = [2, 0, 1]
        moved = self.call(model, [photo.image], [given[order]])[0]
        self.check_same(moved, together[order], pixels=self.batch_pixels, score=self.batch_score)
        for i in range(len(given)):
            alone = self.call(model, [photo.image], [given[i]])[0]
            self.check_same(alone, together[i], pixels=self.batch_pixels, score=self.batch_score)

    def test_faces_and_no_faces_in_one_batch(self, model: Model) -> None:
        """Images without faces keep their place among the others."""
        shown = [photos.blank(50, 60), photos.pair(), photos.blank(1, 1), photos.portrait()]
        found = self.ask(model, *shown)
        assert [len(result) for result in found] == [0, 2, 0, 1]
        for result, photo in zip(found, shown, strict=True):
            self.check_shape(model, result, photo)

    @pytest.mark.parametrize("count", [0, 2])
    def test_one_detections_an_image(self, model: Model, count: int) -> None:
        """More or fewer detections than images is an error, not a guess."""
        photo = photos.portrait()
        with pytest.raises(ValueError, match=r"\S"):
            self.call(model, [photo.image], [photo.detections] * count)

    def test_faces_at_the_edge(self, model: Model) -> None:
        """Boxes that leave the image, on one side or on all, are answered."""
        photo = photos.portrait()
        height, width = photo.size
        outside = _given(
            photo,
            [-40, -30, 60, 70],
            [-50, -50, width + 50, height + 50],
            [width - 56, height - 66, width + 64, height + 54],
        )
        found = self.call(model, [photo.image], [outside])[0]
        self._check_count(model, found, photo, len(outside))

    def test_faces_in_tiny_images(self, model: Model) -> None:
        """A face of one pixel is answered too."""
        for height, width in ((1, 1), (1, 400)):
            photo = photos.blank(height, width)
            whole = _given(photo, [0, 0, width, height])
            self._check_count(model, self.call(model, [photo.image], [whole])[0], photo, 1)

    def test_box_transform_is_honoured(self, model: Model) -> None:
        """A detector with other boxes, and the transform that says so, changes nothing."""
        photo = photos.astronaut()
        want = self.ask(model, photo)[0]
        left, top, right, _ = photo.squares[0]
        side = right - left
        # A box half as wide as the square and two thirds as high, above and to the left of it.
        box = [left - 1.5 * side, top - side / 2, left - side, top + side / 6]
        other = photo.detections.replace(
            boxes=np.array([box]), box_transform=BoxTransform(3.5, 1.0, 2.0, 1.5)
        )
        found = self.call(model, [photo.image], [other])[0]
        self.check_same(found, want, pixels=0.05, score=1e-3)

    def test_moving_the_image_moves_the_answer(self, model: Model) -> None:
        """The same pixels elsewhere in the image give the same answer, elsewhere."""
        photo = photos.astronaut()
        left, top = 37, 21
        want = self.ask(model, photo)[0]
        found = self.ask(model, photos.shifted(photo, left, top))[0]
        self.check_moved(found, want, (-left, -top))

    def check_moved(self, got: Result, want: Result, offset: tuple[int, int]) -> None:  # noqa: ARG002 - labels stay
        """Check that the answer about moved pixels is the same, moved by ``offset`` pixels."""
        self.check_same(
            got, want.replace(image_size=got.image_size), pixels=self.batch_pixels, score=1e-3
        )

    def _check_count(self, model: Model, found: Result, photo: Photo, count: int) -> None:
        """Check an answer about given boxes; subclasses check shapes by the photo's faces."""
        assert len(found) == count, f"{len(found)} answers about {count} faces"
        blank = photos.blank(*photo.size)
        self.check_shape(model, found[:0], blank)
        self.check_values(model, found)

    @abc.abstractmethod
    def check_values(self, model: Model, result: Result) -> None:
        """Check dtypes, shapes and ranges, whatever the image."""


def _given(photo: Photo, *boxes: Sequence[float]) -> Detections:
    """Return detections of the caller's boxes."""
    return Detections(
        boxes=np.array(boxes, np.float32),
        scores=np.linspace(1, 0.5, len(boxes), dtype=np.float32),
        image_size=photo.size,
    )
