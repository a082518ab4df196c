"""The contract of landmarkers: inherit it, name the landmarker, and the suite is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from facekit import registry
from facekit.boxes import iou
from facekit.images import ImageLike
from facekit.protocols import Landmarker
from facekit.testing import photos
from facekit.testing.contract import Model
from facekit.testing.facial import FacialContract
from facekit.testing.photos import Photo
from facekit.types import Detections, Landmarks

__all__ = ["LandmarkerContract"]

Points = npt.NDArray[np.float32]


class LandmarkerContract(FacialContract[Landmarks]):
    """Everything that facekit expects of a landmarker.

    ::

        class TestMine(LandmarkerContract):
            name = "mine"

    Attributes:
        eyes: By scheme, the indices of the points around the viewer's left and right eye; add
            yours, or the eyes of another scheme are not looked at.
        eye_error: How far an eye may be from where it is, in distances between the eyes.
        golden_pixels: Less than for detectors: swapped colour channels move the points of a
            network that looks at grey by only a quarter of a pixel.
    """

    role: ClassVar[registry.Role] = "landmarker"
    protocol: ClassVar[type[Any]] = Landmarker

    eyes: ClassVar[Mapping[str, tuple[Sequence[int], Sequence[int]]]] = {
        "ibug68": (range(36, 42), range(42, 48)),
    }
    eye_error: ClassVar[float] = 0.2
    golden_pixels: ClassVar[float] = 0.1

    def call(
        self,
        model: Model,
        images: Sequence[ImageLike],
        detections: Sequence[Detections],
    ) -> list[Landmarks]:
        """Locate."""
        found: list[Landmarks] = model.locate(images, detections)
        return found

    def check_shape(self, model: Model, result: Landmarks, photo: Photo) -> None:
        """Check one image's landmarks."""
        assert isinstance(result, Landmarks), f"expected Landmarks, got {type(result).__name__}"
        assert len(result) == len(photo.faces), f"{len(result)} answers to {len(photo.faces)} faces"
        assert result.image_size == photo.size, f"{photo.name}: {result.image_size}"
        self.check_values(model, result)

    def check_values(self, model: Model, result: Landmarks) -> None:
        """Check dtypes, shapes and ranges, whatever the image."""
        wanted = (len(result), model.point_count, 2)
        assert result.points.shape == wanted, (
            f"points have shape {result.points.shape}, not {wanted}"
        )
        assert result.points.dtype == np.float32, f"points are {result.points.dtype}"
        assert np.isfinite(result.points).all(), "points must be finite"
        assert result.scheme == model.scheme, f"scheme is {result.scheme!r}"
        if result.scores is not None:
            assert ((result.scores >= 0) & (result.scores <= 1)).all(), "scores must be in [0, 1]"

    def check_same(self, got: Landmarks, want: Landmarks, *, pixels: float, score: float) -> None:
        """Check that two results have the same points."""
        assert got.scheme == want.scheme
        np.testing.assert_allclose(got.points, want.points, rtol=0, atol=pixels, err_msg="points")
        assert (got.scores is None) == (want.scores is None), "scores are there in one result only"
        if got.scores is not None and want.scores is not None:
            np.testing.assert_allclose(got.scores, want.scores, rtol=0, atol=score)

    def check_moved(self, got: Landmarks, want: Landmarks, offset: tuple[int, int]) -> None:
        """Check that the points moved with the pixels."""
        moved = want.points + np.array(offset, np.float32)
        np.testing.assert_allclose(got.points, moved, rtol=0, atol=0.05, err_msg="points")

    def test_names_its_scheme(self, model: Model) -> None:
        """The scheme has a name and a number of points."""
        assert isinstance(model.scheme, str)
        assert model.scheme, "the scheme must have a name"
        assert model.point_count > 0

    def test_points_lie_on_the_face(self, model: Model) -> None:
        """The points spread over the face, and none is far from it."""
        for photo in photos.face_photos():
            found = self.ask(model, photo)[0]
            low, high = found.points.min(axis=1), found.points.max(axis=1)
            extents = np.concatenate([low, high], axis=1)
            overlaps = np.diagonal(iou(extents, photo.squares))
            assert (overlaps >= 0.3).all(), (  # noqa: PLR2004 - few schemes reach the jaw
                f"{photo.name}: the points' extent {extents.round(1).tolist()} is not that of the "
                f"face, {photo.squares.tolist()}"
            )

    @pytest.mark.parametrize("show", ["as it is", "mirrored", "smaller", "larger", "pair"])
    def test_eyes_are_where_they_are(self, model: Model, show: str) -> None:
        """Left and right are the viewer's, whichever way the face looks."""
        whole = photos.astronaut()
        photo = {
            "as it is": whole,
            "mirrored": photos.mirrored(whole),
            "smaller": photos.resized(whole, 0.6),
            "larger": photos.resized(whole, 1.7),
            "pair": photos.pair(),
        }[show]
        if model.scheme not in self.eyes:
            pytest.skip(f"where {model.scheme!r} has its eyes is not known here; set `eyes`")
        found = self.ask(model, photo)[0]
        errors = _eye_errors(found.points, photo.eyes, self.eyes[model.scheme])
        assert (errors <= self.eye_error).all(), (
            f"{photo.name}: the eyes are off by {errors.round(2).tolist()} of their distance"
        )

    def check_golden(self, got: Mapping[str, Any], want: Mapping[str, Any]) -> None:
        """Check one photo's points against the record's."""
        assert got["scheme"] == want["scheme"]
        np.testing.assert_allclose(
            got["points"], want["points"], rtol=0, atol=self.golden_pixels, err_msg="golden points"
        )


def _eye_errors(
    points: Points, eyes: Points, indices: tuple[Sequence[int], Sequence[int]]
) -> Points:
    """Return ``(n, 2)``: each eye's distance from where it is, over the eyes' distance."""
    found = np.stack([points[:, list(part)].mean(axis=1) for part in indices], axis=1)
    between = np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)
    errors: Points = np.linalg.norm(found - eyes, axis=2) / between[:, None]
    return errors
