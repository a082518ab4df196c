"""The result types: frozen, checked, indexed and converted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.boxes import IDENTITY, BoxTransform
from facekit.masks import RleMask
from facekit.types import Classifications, Detections, Faces, Landmarks

SIZE = (100, 200)


def detections(count: int = 3, **fields: Any) -> Detections:
    start = np.arange(count, dtype=np.float32)[:, None] * 10
    return Detections(
        boxes=np.concatenate([start, start, start + 20, start + 30], axis=1),
        scores=np.linspace(0.9, 0.3, count, dtype=np.float32),
        image_size=SIZE,
        **fields,
    )


def full(count: int = 3) -> Detections:
    mask = np.zeros(SIZE, bool)
    masks = []
    for i in range(count):
        mask[i] = True
        masks.append(RleMask.from_mask(mask))
    return detections(
        count,
        class_ids=np.arange(count),
        keypoints=np.ones((count, 5, 3), np.float32) * np.arange(count)[:, None, None],
        masks=tuple(masks),
        box_transform=BoxTransform(0.1, 0.2, 1.1, 1.2),
    )


def landmarks(count: int = 3) -> Landmarks:
    points = np.arange(count * 68 * 2, dtype=np.float32).reshape(count, 68, 2)
    return Landmarks(
        points=points,
        scheme="ibug68",
        image_size=SIZE,
        scores=np.full((count, 68), 0.5, np.float32),
    )


def classifications(count: int = 3) -> Classifications:
    scores = np.array([[0.2, 0.8], [0.7, 0.3], [0.5, 0.5]], np.float32)[:count]
    return Classifications(scores=scores, labels=("dark", "light"), image_size=SIZE)


def test_arrays_are_copied_cast_and_read_only() -> None:
    boxes = np.array([[1, 2, 3, 4]], np.float64)
    found = detections(1).replace(boxes=boxes, scores=np.array([1.0]))
    boxes[0, 0] = 99
    assert found.boxes.tolist() == [[1, 2, 3, 4]]
    assert found.boxes.dtype == found.scores.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        found.boxes[0, 0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.scores = found.scores  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.zeros((3, 5))}, r"boxes must have shape \(\*, 4\), got \(3, 5\)"),
        ({"boxes": np.zeros(4)}, r"boxes must have shape"),
        ({"scores": np.zeros(2)}, r"scores must have shape \(3\), got \(2,\)"),
        ({"class_ids": np.zeros(4)}, r"class_ids must have shape \(3\)"),
        ({"keypoints": np.zeros((3, 5, 2))}, r"keypoints must have shape \(3, \*, 3\)"),
        ({"masks": (RleMask.from_mask([[1]]),)}, "one mask a box: 3, got 1"),
        ({"image_size": (0, 5)}, r"image_size must be a positive \(height, width\)"),
    ],
)
def test_parts_of_detections_must_agree(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detections().replace(**change)


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), np.zeros((0,)), np.zeros((4, 0))])
def test_no_boxes_in_any_empty_shape(boxes: Any) -> None:
    found = Detections(boxes=boxes, scores=np.zeros(0, np.float32), image_size=SIZE)
    assert found.boxes.shape == (0, 4)
    assert found == Detections.empty(SIZE)
    assert len(found) == 0
    assert not found


def test_no_keypoints_in_any_empty_shape() -> None:
    none = Detections.empty(SIZE).replace(keypoints=[], class_ids=[])
    assert none.keypoints is not None
    assert none.keypoints.shape == (0, 0, 3)
    assert none.class_ids is not None
    assert none.class_ids.dtype == np.int64


def test_no_face_keeps_the_shapes_of_optional_fields() -> None:
    none = full()[np.zeros(3, bool)]
    assert none.keypoints is not None
    assert none.keypoints.shape == (0, 5, 3)
    assert none.class_ids is not None
    assert none.class_ids.shape == (0,)
    assert none.masks == ()
    assert none.box_transform == full().box_transform


@pytest.mark.parametrize(
    ("index", "want"),
    [
        (1, [1]),
        (-1, [2]),
        (np.int64(2), [2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        ([], []),
        (np.array([True, False, True]), [0, 2]),
        ([False, True, False], [1]),
    ],
)
@pytest.mark.parametrize("make", [full, landmarks, classifications])
def test_indexing_keeps_the_type_and_the_rows_together(
    make: Any, index: Any, want: list[int]
) -> None:
    whole = make()
    part = whole[index]
    assert type(part) is type(whole)
    assert len(part) == len(want)
    assert part.image_size == whole.image_size
    for field in dataclasses.fields(whole):
        value, chosen = getattr(whole, field.name), getattr(part, field.name)
        if field.name == "masks":
            assert chosen == tuple(value[i] for i in want)
        elif isinstance(value, np.ndarray):
            assert np.array_equal(chosen, value[want]), field.name
        else:
            assert chosen == value


def test_index_out_of_range_and_mask_of_another_length() -> None:
    with pytest.raises(IndexError):
        detections()[3]
    with pytest.raises(IndexError):
        detections()[np.array([True, False])]


def test_iterating_gives_results_of_length_one() -> None:
    faces = list(full())
    assert [len(face) for face in faces] == [1, 1, 1]
    assert faces[1] == full()[1]


def test_equality_is_of_type_shape_and_value() -> None:
    assert full() == full()
    assert full() != full(2)
    assert detections() != detections(class_ids=[0, 0, 0])
    assert detections() != detections().replace(image_size=(100, 201))
    assert detections() != detections().replace(scores=[0.9, 0.6, 0.2])
    assert detections() != "detections"
    assert detections() != landmarks()
    nan = landmarks().replace(points=np.full((3, 68, 2), np.nan))
    assert nan == nan.replace()
    with pytest.raises(TypeError, match="unhashable"):
        hash(full())


def test_above_keeps_scores_at_the_threshold() -> None:
    found = detections().replace(scores=[0.75, 0.5, 0.25])
    assert found.above(0.5).scores.tolist() == [0.75, 0.5]
    assert len(found.above(1.0)) == 0


def test_clip_is_explicit() -> None:
    found = detections(1).replace(boxes=[[-5, -5, 300, 300]])
    assert found.boxes.tolist() == [[-5, -5, 300, 300]]
    assert found.clip().boxes.tolist() == [[0, 0, 200, 100]]


def test_canonical_squares_follow_the_transform() -> None:
    found = detections(1).replace(boxes=[[0, 0, 10, 20]])
    assert found.box_transform is IDENTITY or found.box_transform == IDENTITY
    assert found.canonical_squares().tolist() == [[-2.5, 2.5, 12.5, 17.5]]
    moved = found.replace(box_transform=(0.5, 0, 1, 1))
    assert moved.canonical_squares().tolist() == [[2.5, 2.5, 17.5, 17.5]]
    assert moved.canonical_squares().dtype == np.float32


def test_to_dict_of_boxes_alone() -> None:
    assert detections(1).to_dict() == {
        "width": 200,
        "height": 100,
        "faces": [{"box": [0, 0, 20, 30], "score": pytest.approx(0.9)}],
    }


def test_to_dict_of_everything_is_json() -> None:
    record = json.loads(json.dumps(full().to_dict()))
    face = record["faces"][1]
    assert face["class_id"] == 1
    assert face["keypoints"] == [[1, 1, 1]] * 5
    assert face["mask"]["size"] == [100, 200]


def test_to_coco_has_width_and_height() -> None:
    (record,) = detections(1).to_coco(image_id=7)
    assert record == {
        "image_id": 7,
        "category_id": 1,
        "bbox": [0, 0, 20, 30],
        "score": pytest.approx(0.9),
    }


def test_to_coco_of_everything() -> None:
    records = full().to_coco(category_id=3)
    assert [record["category_id"] for record in records] == [3, 4, 5]
    assert records[2]["keypoints"] == [2.0] * 15
    assert sum(records[0]["segmentation"]["counts"]) == 100 * 200
    json.dumps(records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((3, 68, 3))}, r"points must have shape \(\*, \*, 2\)"),
        ({"scores": np.zeros((3, 5))}, r"scores must have shape \(3, 68\)"),
        ({"image_size": (5, -1)}, "image_size"),
    ],
)
def test_parts_of_landmarks_must_agree(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        landmarks().replace(**change)


def test_no_landmarks_keep_the_number_of_points() -> None:
    none = Landmarks.empty(SIZE)
    assert none.points.shape == (0, 68, 2)
    assert none.scores is None
    assert Landmarks.empty(SIZE, scheme="five", count=5).points.shape == (0, 5, 2)


def test_landmarks_to_dict() -> None:
    record = landmarks(1).to_dict()
    assert record["scheme"] == "ibug68"
    assert record["points"][0][1] == [2, 3]
    assert record["scores"][0][0] == 0.5
    assert "scores" not in Landmarks.empty(SIZE).to_dict()


def test_classifications() -> None:
    found = classifications()
    assert found.best() == ["light", "dark", "dark"]
    assert found.to_dict()["best"] == ["light", "dark", "dark"]
    none = Classifications(scores=np.zeros(0), labels=["a", "b", "c"], image_size=SIZE)  # type: ignore[arg-type]
    assert none.scores.shape == (0, 3)
    assert none.labels == ("a", "b", "c")
    assert none.best() == []
    with pytest.raises(ValueError, match=r"scores must have shape \(\*, 2\)"):
        found.replace(scores=np.zeros((3, 3)))


def faces() -> Faces:
    return Faces(
        detections=full(),
        landmarks=landmarks(),
        classifications={"light": classifications()},
        path=Path("photos/a.jpg"),
        frame=4,
        image=np.zeros((*SIZE, 3), np.uint8),
    )


def test_faces_share_their_parts() -> None:
    found = faces()
    assert len(found) == 3
    assert found.boxes is found.detections.boxes
    assert found.scores is found.detections.scores
    assert found.image_size == SIZE


def test_faces_are_indexed_as_one() -> None:
    part = faces()[[2, 0]]
    assert part.detections == full()[[2, 0]]
    assert part.landmarks == landmarks()[[2, 0]]
    assert part.classifications["light"] == classifications()[[2, 0]]
    assert (part.path, part.frame) == (Path("photos/a.jpg"), 4)
    assert part.image is not None
    assert part.image.shape == (*SIZE, 3)
    boxes_alone = Faces(detections=full())
    assert boxes_alone[1].landmarks is None
    assert [len(face) for face in boxes_alone] == [1, 1, 1]


def test_faces_are_equal_by_their_parts() -> None:
    assert faces() == faces()
    assert faces() != faces()[:2]
    assert faces() != faces().replace(path=None)


def test_faces_do_not_freeze_the_callers_image() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    found = Faces(detections=full(), image=image)
    image[0] = 7
    assert found.image is not None
    with pytest.raises(ValueError, match="read-only"):
        found.image[0] = 7


@pytest.mark.parametrize(
    "change",
    [
        {"landmarks": landmarks(2)},
        {"landmarks": Landmarks.empty((9, 9))},
        {"classifications": {"light": classifications(1)}},
        {"detections": full(2)},
    ],
)
def test_parts_of_other_faces_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="do not belong to"):
        faces().replace(**change)


def test_faces_to_dict_is_one_record_an_image() -> None:
    record = json.loads(json.dumps(faces().to_dict()))
    assert record["image"] == "photos/a.jpg"
    assert record["frame"] == 4
    assert record["landmark_scheme"] == "ibug68"
    assert len(record["faces"]) == 3
    face = record["faces"][0]
    assert len(face["landmarks"]) == 68
    assert face["classifications"] == {"light": {"dark": 0.2, "light": 0.8}}


def test_faces_to_dict_leaves_out_what_there_is_not() -> None:
    record = Faces(detections=detections(1)).to_dict()
    assert record["image"] is None
    assert not {"frame", "landmark_scheme"} & set(record)
    assert set(record["faces"][0]) == {"box", "score"}
