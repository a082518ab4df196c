"""A classifier on real photos: faces with labels, whole images with labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facekit import datasets
from facekit.datasets import ImageRecord
from facekit.errors import BackendError, ConfigError, DatasetError
from facekit.evaluation import evaluate_classifier
from facekit.images import ImageLike, as_rgb, crop
from facekit.protocols import Options
from facekit.types import Classifications, Detections


class Brightness:
    """Says of a face whether it is light or dark: a classifier that needs no weights."""

    Options = Options
    name = "brightness"
    labels = ("dark", "light")

    def __init__(self, threshold: float = 128) -> None:
        self._threshold = threshold

    def classify(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Classifications]:
        answers = []
        for image, found in zip(images, detections, strict=True):
            means = [crop(as_rgb(image), box).mean() / 255 for box in found.boxes]
            scores = np.array([[1 - mean, mean] for mean in means], np.float32)
            scores = scores if self._threshold else 1 - scores
            answers.append(
                Classifications(scores=scores, labels=self.labels, image_size=found.image_size)
            )
        return answers


@pytest.fixture
def faces(album: Path) -> list[ImageRecord]:
    """The photo's face is light, its mirror image's is said to be dark."""
    labels = iter(("light", "dark"))
    return [
        record.replace(
            faces=tuple(dataclasses.replace(face, label=next(labels)) for face in record.faces)
        )
        for record in datasets.read(f"wider_face:{album}")
    ]


def test_faces_with_labels(faces: list[ImageRecord]) -> None:
    result = evaluate_classifier(faces, Brightness())
    assert result.values == {"accuracy": 0.5, "balanced accuracy": 0.5}
    assert result.confusion == (("dark", "light"), [[0, 1], [0, 1]])
    assert (result.parts["recall light"], result.parts["recall dark"]) == (1, 0)
    assert (result.images, result.faces) == (2, 2)


def test_whole_images_with_labels(album: Path) -> None:
    photos = album / "WIDER_val" / "images"
    table = photos / "labels.csv"
    table.write_text(
        "Image_Name,tone,other\n0--Parade/a.jpg,dark,1\n4--Dancing/c.jpg,dark,2\n0--Parade/b.jpg,,3\n"
    )
    records = list(datasets.read(f"labels:{table}"))
    with pytest.raises(ConfigError, match=r"name the attribute by --label \(known: other, tone\)"):
        evaluate_classifier(records, Brightness())
    result = evaluate_classifier(records, Brightness(), attribute="tone")
    assert (result.faces, result.setting["label"]) == (2, "tone")
    assert result.values["accuracy"] == 1
    with pytest.raises(DatasetError, match="nothing in it has the label"):
        evaluate_classifier(records, Brightness(), attribute="none")
    with pytest.raises(DatasetError, match=r"csv:2: .* has the label '1'; 'brightness' knows dark"):
        evaluate_classifier(records, Brightness(), attribute="other")


def test_labels_are_kept(faces: list[ImageRecord], tmp_path: Path) -> None:
    first = evaluate_classifier(faces, Brightness(), folder=tmp_path / "kept")
    again = evaluate_classifier(faces, Brightness(), folder=tmp_path / "kept")
    assert (again.values, again.seconds_per_image) == (first.values, None)
    kept = tmp_path / "kept" / "0--Parade" / "a.json"
    kept.write_text('{"labels": []}')
    with pytest.raises(DatasetError, match="0 labels are kept for 1 faces"):
        evaluate_classifier(faces, Brightness(), folder=tmp_path / "kept")
    kept.write_text("[]")
    with pytest.raises(DatasetError, match="no labels that facekit wrote"):
        evaluate_classifier(faces, Brightness(), folder=tmp_path / "kept")


class _Silent(Brightness):
    """A classifier that answers no face."""

    def classify(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Classifications]:
        return [one[[]] for one in super().classify(images, detections)]


def test_a_classifier_that_does_not_answer_is_named(faces: list[ImageRecord]) -> None:
    with pytest.raises(BackendError, match="'brightness' gave 0 answers to 1 faces"):
        evaluate_classifier(faces, _Silent())
