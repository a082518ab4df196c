"""Which class is the face's."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit.errors import ConfigError
from facekit.tfgraphs.labels import BESIDE, face_of

MANY = "item { id: 1 name: 'person' }\nitem { id: 7 name: 'Face' }\nitem { id: 9 name: 'eye' }\n"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tmp_path / "graph.pb"


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    path = tmp_path / "labels.pbtxt"
    path.write_text(MANY)
    return path


def test_by_name_by_number_and_by_itself(label_map: Path, weights: Path) -> None:
    assert face_of(label_map, None, weights, 90) == (7, "Face")
    assert face_of(label_map, "EYE", weights, 90) == (9, "eye")
    assert face_of(label_map, 1, weights, 90) == (1, "person")


def test_beside_the_weights_it_is_found(weights: Path) -> None:
    (weights.parent / BESIDE).write_text("item { id: 3 name: 'head' }\n")
    assert face_of(None, None, weights, None) == (3, "head")


def test_a_graph_of_one_class_needs_none(weights: Path) -> None:
    assert face_of(None, None, weights, 1) == (1, "face")
    assert face_of(None, "head", weights, 1) == (1, "head")
    assert face_of(None, 4, weights, 90) == (4, "face")


def test_a_class_that_is_not_there(label_map: Path, weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"no class 'hand'; give face_class.*1 'person', 7"):
        face_of(label_map, "hand", weights, None)
    with pytest.raises(ConfigError, match="has no class number 2"):
        face_of(label_map, 2, weights, None)
    label_map.write_text("item { id: 1 name: 'cat' }\nitem { id: 2 name: 'dog' }\n")
    with pytest.raises(ConfigError, match="has no class 'face'"):
        face_of(label_map, None, weights, None)


def test_without_a_label_map_the_face_cannot_be_known(weights: Path) -> None:
    with pytest.raises(ConfigError, match=f"which class among its 90 of {weights}.*face_class: 1"):
        face_of(None, None, weights, 90)
    with pytest.raises(ConfigError, match=f"which class of {weights} is the face"):
        face_of(None, "face", weights, None)
