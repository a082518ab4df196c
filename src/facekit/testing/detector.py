"""The contract of detectors: inherit it, name the detector, and the suite is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from facekit import registry
from facekit.boxes import BoxTransform, iou
from facekit.images import ImageLike
from facekit.protocols import EVALUATION_THRESHOLD_LIMIT, Detector
from facekit.testing import golden, photos
from facekit.testing.contract import Contract, Model
from facekit.testing.photos import Photo
from facekit.types import Detections

__all__ = ["DetectorContract"]


class DetectorContract(Contract[Detections]):
    """Everything that facekit expects of a detector.

    ::

        class TestMine(DetectorContract):
            name = "mine"

    Attributes:
        overlap: The IoU with the hand-marked face from which a box counts as the face's. Low,
            because what a box surrounds differs between detectors.
        extra_marks: Marks beside the faces that are forgiven on a photo with faces.
        faceless_marks: Marks that are forgiven on all photos without faces together.
    """

    role: ClassVar[registry.Role] = "detector"
    protocol: ClassVar[type[Any]] = Detector

    overlap: ClassVar[float] = 0.3
    extra_marks: ClassVar[int] = 0
    faceless_marks: ClassVar[int] = 3

    def run(
        self,
        model: Model,
        images: Sequence[ImageLike],
        shown: Sequence[Photo],  # noqa: ARG002 - a detector is not told the truth
    ) -> list[Detections]:
        """Detect."""
        found: list[Detections] = model.detect(images)
        return found

    def check_shape(self, model: Model, result: Detections, photo: Photo) -> None:
        """Check type, shapes, dtypes and ranges of one image's detections."""
        assert isinstance(result, Detections), f"expected Detections, got {type(result).__name__}"
        count = len(result)
        assert result.boxes.shape == (count, 4), f"boxes have shape {result.boxes.shape}"
        assert result.scores.shape == (count,), f"scores have shape {result.scores.shape}"
        assert result.boxes.dtype == np.float32, f"boxes are {result.boxes.dtype}"
        assert result.scores.dtype == np.float32, f"scores are {result.scores.dtype}"
        assert result.image_size == photo.size, f"{photo.name}: {result.image_size}"
        assert np.isfinite(result.boxes).all(), f"{photo.name}: boxes must be finite"
        assert np.isfinite(result.scores).all(), f"{photo.name}: scores must be finite"
        in_range = (result.scores >= 0) & (result.scores <= 1)
        assert in_range.all(), f"{photo.name}: scores must be in [0, 1]"
        if len(result):
            assert result.box_transform == model.box_transform, (
                "detections must carry the detector's box_transform: landmarkers crop by it"
            )
        if result.class_ids is not None:
            known = (result.class_ids >= 0) & (result.class_ids < len(model.class_names))
            assert known.all(), f"{photo.name}: class_names has no name for {result.class_ids}"

    def check_same(self, got: Detections, want: Detections, *, pixels: float, score: float) -> None:
        """Check that two results have the same faces in the same order."""
        assert len(got) == len(want), f"{len(got)} faces instead of {len(want)}"
        np.testing.assert_allclose(got.boxes, want.boxes, rtol=0, atol=pixels, err_msg="boxes")
        np.testing.assert_allclose(got.scores, want.scores, rtol=0, atol=score, err_msg="scores")
        for field in ("class_ids", "keypoints", "masks"):
            one, two = getattr(got, field), getattr(want, field)
            assert (one is None) == (two is None), f"{field} are there in one result only"

    def test_thresholds_and_classes(self, model: Model) -> None:
        """Thresholds are in range, and the evaluation threshold cuts no curve short."""
        limit = EVALUATION_THRESHOLD_LIMIT
        assert 0 <= model.evaluation_threshold <= limit, f"evaluation_threshold is above {limit}"
        assert 0 <= model.score_threshold <= 1
        assert model.class_names, "class_names must name at least the face"
        assert isinstance(model.box_transform, BoxTransform)

    def test_box_transform_of_ones_own_is_taken(self) -> None:
        """The option ``box_transform`` replaces the detector's own, in its detections too."""
        own = BoxTransform(dx=0.1, dy=-0.2, sw=1.5, sh=0.5)
        model = self.build(box_transform=own)
        assert model.box_transform == own, "the option box_transform must be taken"
        for found in self.ask(model, photos.astronaut()):
            assert found.box_transform == own, "detections must carry it: landmarkers crop by it"

    def test_scores_descend(self, model: Model) -> None:
        """The best face comes first."""
        low = self.build(score_threshold=model.evaluation_threshold)
        for found in (*self.ask(model, photos.pair()), *self.ask(low, *photos.face_photos())):
            assert (np.diff(found.scores) <= 0).all(), f"scores must descend: {found.scores}"

    def test_boxes_are_corners(self, model: Model) -> None:
        """Boxes are x1, y1, x2, y2 with x1 < x2 and y1 < y2."""
        for found in self.ask(model, *photos.face_photos()):
            sides = found.boxes[:, 2:] - found.boxes[:, :2]
            assert (sides > 0).all(), f"x2 and y2 must be beyond x1 and y1: {found.boxes}"

    @pytest.mark.parametrize("show", ["as it is", "smaller", "mirrored", "larger", "portrait"])
    def test_finds_the_face_where_it_is(self, model: Model, show: str) -> None:
        """A clear face is found, once, and nothing else is."""
        whole = photos.astronaut()
        photo = {
            "as it is": whole,
            "mirrored": photos.mirrored(whole),
            "smaller": photos.resized(whole, 0.6),
            "larger": photos.resized(whole, 1.7),
            "portrait": photos.portrait(),
        }[show]
        self._check_faces(self.ask(model, photo)[0], photo)

    def test_finds_two_faces(self, model: Model) -> None:
        """Two faces in one image are found, each where it is."""
        photo = photos.pair()
        self._check_faces(self.ask(model, photo)[0], photo)

    def test_leaves_other_things_alone(self, model: Model) -> None:
        """A cup, a cat, a rocket, a page of text and textures are hardly ever marked."""
        marks = {
            photo.name: len(found)
            for photo, found in zip(
                photos.faceless(), self.ask(model, *photos.faceless()), strict=True
            )
        }
        assert sum(marks.values()) <= self.faceless_marks, f"marks without a face: {marks}"

    def test_score_threshold_is_honoured(self, model: Model) -> None:
        """A threshold hides what is below it and nothing else."""
        low = self.build(score_threshold=model.evaluation_threshold)
        assert low.score_threshold == pytest.approx(model.evaluation_threshold)
        shown = [*photos.face_photos(), *photos.faceless()]
        everything = self.ask(low, *shown)
        scores = np.unique(np.concatenate([found.scores for found in everything]))
        assert len(scores) > 1, "scores do not tell faces apart"
        # Between two of the scores, so that something must go and something must stay.
        between = float(scores[-2:].mean(dtype=np.float64))
        for threshold in (model.score_threshold, between):
            strict = self.build(score_threshold=threshold)
            for found, all_found in zip(self.ask(strict, *shown), everything, strict=True):
                assert (found.scores >= threshold).all(), f"scores below {threshold}"
                want = all_found.above(threshold)
                self.check_same(found, want, pixels=self.batch_pixels, score=self.batch_score)

    def check_golden(self, got: Mapping[str, Any], want: Mapping[str, Any]) -> None:
        """Check one photo's best boxes and scores against the record's, in any order.

        Faces at the lower edge of either list may fall off it, and are not looked for.
        """
        for one, two, words in ((want, got, "recorded, not found"), (got, want, "new")):
            boxes, scores = np.reshape(two["boxes"], (-1, 4)), np.array(two["scores"])
            edge = scores.min() if len(scores) == golden.LIMIT else two["threshold"]
            for box, score in zip(one["boxes"], one["scores"], strict=True):
                near = (np.abs(boxes - box) <= self.golden_pixels).all(axis=1)
                same = near & (np.abs(scores - score) <= self.golden_score)
                assert same.any() or score <= edge + self.golden_score, (
                    f"{words}: box {np.round(box, 2).tolist()} of score {score:.4f}"
                )

    def _check_faces(self, found: Detections, photo: Photo) -> None:
        """Check that each face is marked, once, and nothing else is."""
        overlaps = iou(found.boxes, photo.faces)
        hits = (overlaps >= self.overlap).sum(axis=0)
        seen = f"{photo.name}: boxes {found.boxes.round(1).tolist()}, faces {photo.faces.tolist()}"
        assert (hits > 0).all(), f"a face was not found. {seen}"
        extra = len(found) - len(photo.faces)
        assert extra <= self.extra_marks, f"{extra} marks too many. {seen}"

    def _golden_model(self) -> Model:
        """Build the detector as its record was made, at its evaluation threshold."""
        return self.build(score_threshold=self.build().evaluation_threshold)
