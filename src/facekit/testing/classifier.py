"""The contract of classifiers: inherit it, name the classifier, and the suite is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from facekit import registry
from facekit.images import ImageLike
from facekit.protocols import Classifier
from facekit.testing.contract import Model
from facekit.testing.facial import FacialContract
from facekit.testing.photos import Photo
from facekit.types import Classifications, Detections

__all__ = ["ClassifierContract"]


class ClassifierContract(FacialContract[Classifications]):
    """Everything that facekit expects of a classifier.

    ::

        class TestMine(ClassifierContract):
            name = "mine"

    Attributes:
        exclusive: Whether a face has exactly one label, so that its scores sum to 1; set it to
            ``False`` for independent labels.
    """

    role: ClassVar[registry.Role] = "classifier"
    protocol: ClassVar[type[Any]] = Classifier

    exclusive: ClassVar[bool] = True

    def call(
        self,
        model: Model,
        images: Sequence[ImageLike],
        detections: Sequence[Detections],
    ) -> list[Classifications]:
        """Classify."""
        found: list[Classifications] = model.classify(images, detections)
        return found

    def check_shape(self, model: Model, result: Classifications, photo: Photo) -> None:
        """Check one image's classifications."""
        assert isinstance(result, Classifications), (
            f"expected Classifications, got {type(result).__name__}"
        )
        assert len(result) == len(photo.faces), f"{len(result)} answers to {len(photo.faces)} faces"
        assert result.image_size == photo.size, f"{photo.name}: {result.image_size}"
        self.check_values(model, result)

    def check_values(self, model: Model, result: Classifications) -> None:
        """Check dtypes, shapes and ranges, whatever the image."""
        assert result.labels == tuple(model.labels), f"labels are {result.labels}"
        assert result.scores.shape == (len(result), len(model.labels)), (
            f"scores have shape {result.scores.shape}"
        )
        assert result.scores.dtype == np.float32, f"scores are {result.scores.dtype}"
        assert np.isfinite(result.scores).all(), "scores must be finite"
        assert ((result.scores >= 0) & (result.scores <= 1)).all(), "scores must be in [0, 1]"
        if self.exclusive:
            sums = result.scores.sum(axis=1)
            np.testing.assert_allclose(sums, 1, atol=1e-4, err_msg="each face's scores sum to 1")

    def check_same(
        self,
        got: Classifications,
        want: Classifications,
        *,
        pixels: float,  # noqa: ARG002 - a classification has no place
        score: float,
    ) -> None:
        """Check that two results have the same labels and scores."""
        assert got.labels == want.labels
        np.testing.assert_allclose(got.scores, want.scores, rtol=0, atol=score, err_msg="scores")

    def test_names_its_labels(self, model: Model) -> None:
        """Labels are distinct names."""
        assert model.labels, "there must be labels"
        assert all(isinstance(label, str) and label for label in model.labels), "labels are names"
        assert len(set(model.labels)) == len(model.labels), f"labels repeat: {model.labels}"

    def check_golden(self, got: Mapping[str, Any], want: Mapping[str, Any]) -> None:
        """Check one photo's scores against the record's."""
        assert got["labels"] == want["labels"]
        np.testing.assert_allclose(
            got["scores"], want["scores"], rtol=0, atol=self.golden_score, err_msg="golden scores"
        )
