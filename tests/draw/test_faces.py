from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facekit.draw import PALETTE, draw_faces
from facekit.draw.palette import LANDMARK_COLOUR
from facekit.errors import ImageError
from facekit.masks import RleMask
from facekit.mean_shape import MEAN_SHAPE_68
from facekit.types import Classifications, Detections, Faces, Landmarks

Rgb = npt.NDArray[np.uint8]

FACE = (178.0, 66.0, 270.0, 190.0)


def detections(boxes: npt.ArrayLike, image: Rgb, **fields: object) -> Detections:
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores = np.linspace(0.99, 0.5, len(array), dtype=np.float32)
    size = (image.shape[0], image.shape[1])
    return Detections(boxes=array, scores=scores, image_size=size, **fields)  # type: ignore[arg-type]


def zoomed(image: Rgb, width: int) -> Rgb:
    way = cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (width, width), interpolation=way), dtype=np.uint8)


def with_landmarks(boxes: npt.ArrayLike, image: Rgb) -> Faces:
    found = detections(boxes, image)
    sides = (found.boxes[:, 2:] - found.boxes[:, :2])[:, None]
    points = np.array(MEAN_SHAPE_68, np.float32) * sides * [1, 0.8] + found.boxes[:, None, :2]
    points += sides * [0, 0.2]
    return Faces(
        detections=found,
        landmarks=Landmarks(points=points, scheme="ibug68", image_size=found.image_size),
    )


def distance(pixels: npt.ArrayLike, colour: tuple[int, int, int]) -> float:
    return float(np.abs(np.asarray(pixels, float) - colour).mean())


def changed(before: Rgb, after: Rgb) -> npt.NDArray[np.bool_]:
    return np.asarray((before != after).any(axis=2))


def test_a_box_has_its_colour_and_the_rest_is_untouched(astronaut: Rgb) -> None:
    drawn = draw_faces(astronaut, detections(FACE, astronaut), scores=False)
    assert drawn.shape == astronaut.shape
    assert drawn.dtype == np.uint8
    for x, y in ((178, 120), (270, 120), (220, 66), (220, 190)):
        near = drawn[y - 2 : y + 2, x - 2 : x + 2].reshape(-1, 3)
        assert min(distance(pixel, PALETTE[0]) for pixel in near) < 20
    far = changed(astronaut, drawn)
    far[60:197, 172:277] = False
    assert not far.any()
    inside = changed(astronaut, drawn)[74:182, 186:262]
    assert not inside.any()


def test_the_image_given_is_never_changed(astronaut: Rgb) -> None:
    before = astronaut.copy()
    drawn = draw_faces(astronaut, with_landmarks(FACE, astronaut))
    assert np.array_equal(astronaut, before)
    assert not np.shares_memory(drawn, astronaut)


def test_a_path_and_a_pillow_image_are_drawn_on_too(astronaut: Rgb, astronaut_path: Path) -> None:
    faces = detections(FACE, astronaut)
    wanted = draw_faces(astronaut, faces)
    assert np.array_equal(draw_faces(astronaut_path, faces), wanted)
    assert np.array_equal(draw_faces(Image.fromarray(astronaut), faces), wanted)


def test_no_face_leaves_the_image_as_it_is(astronaut: Rgb) -> None:
    faces = Faces(detections=Detections.empty((512, 512)), landmarks=Landmarks.empty((512, 512)))
    assert np.array_equal(draw_faces(astronaut, faces), astronaut)


def test_faces_of_another_image_are_refused(astronaut: Rgb) -> None:
    with pytest.raises(ImageError, match=r"of an image of \(100, 100\) px, not \(512, 512\)"):
        draw_faces(astronaut, Detections.empty((100, 100)))


def test_every_landmark_is_drawn_where_it_is(astronaut: Rgb) -> None:
    faces = with_landmarks(FACE, astronaut)
    assert faces.landmarks is not None
    drawn = draw_faces(astronaut, faces)
    for x, y in faces.landmarks.points[0]:
        if y < 80 or abs(x - 178) < 4 or abs(x - 270) < 4:
            continue  # the box's own line may be on top
        pixel = drawn[int(y), int(x)]
        assert distance(pixel, LANDMARK_COLOUR) < 80
        assert distance(pixel, LANDMARK_COLOUR) < distance(pixel, PALETTE[0])
    plain = draw_faces(astronaut, faces, landmarks=False)
    assert not changed(astronaut, plain)[100:180, 190:260].any()


def test_landmarks_leave_the_face_visible(astronaut: Rgb) -> None:
    for zoom in (0.25, 1, 4):
        image = zoomed(astronaut, round(512 * zoom))
        box = np.array(FACE) * zoom
        drawn = draw_faces(image, with_landmarks(box, image), scores=False)
        x1, y1, x2, y2 = np.round(box).astype(int)
        strong = np.abs(drawn.astype(int) - image).sum(axis=2)[y1:y2, x1:x2] > 90
        assert 0.02 < strong.mean() < 0.5


def test_other_schemes_and_keypoints_are_dots(astronaut: Rgb) -> None:
    points = np.array([[[200.5, 100.5], [240.5, 130.5]]], np.float32)
    found = detections(FACE, astronaut)
    five = Landmarks(points=points, scheme="other", image_size=(512, 512))
    scored = np.concatenate([points, np.ones((1, 2, 1), np.float32)], axis=2)
    for faces in (
        Faces(detections=found, landmarks=five),
        Faces(detections=found.replace(keypoints=scored)),
    ):
        drawn = draw_faces(astronaut, faces)
        for x, y in points[0].astype(int):
            assert distance(drawn[y, x], LANDMARK_COLOUR) < 20
        assert not changed(astronaut, drawn)[110:120, 190:260].any()


def test_masks_are_tinted_and_faces_told_apart(astronaut: Rgb) -> None:
    boxes = np.array([[20, 20, 120, 120], [300, 300, 420, 420]])
    masks = []
    for x1, y1, x2, y2 in boxes:
        mask = np.zeros((512, 512), bool)
        mask[y1:y2, x1:x2] = True
        masks.append(RleMask.from_mask(mask))
    found = detections(boxes, astronaut, masks=tuple(masks))
    drawn = draw_faces(astronaut, found, scores=False)
    for (x1, y1, x2, y2), colour in zip(boxes, PALETTE, strict=False):
        inside = slice(y1 + 6, y2 - 6), slice(x1 + 6, x2 - 6)
        before, after = astronaut[inside].astype(float), drawn[inside].astype(float)
        assert np.abs(after - (0.55 * before + 0.45 * np.array(colour))).max() <= 1
    assert not changed(astronaut, drawn)[150:290, 150:290].any()


def test_classes_have_colours_of_their_own(astronaut: Rgb) -> None:
    boxes = [[40, 40, 140, 140], [300, 300, 400, 400]]
    found = detections(boxes, astronaut, class_ids=[1, 7])
    drawn = draw_faces(astronaut, found, scores=False)
    for (x1, y1, _, _), colour in zip(boxes, (PALETTE[1], PALETTE[1]), strict=True):
        near = drawn[y1 + 30 : y1 + 50, x1 - 2 : x1 + 2].reshape(-1, 3)
        assert min(distance(pixel, colour) for pixel in near) < 20


def label_area(image: Rgb, drawn: Rgb) -> npt.NDArray[np.bool_]:
    """Where the label's ground was painted."""
    painted = (np.abs(drawn.astype(int) - PALETTE[0]) <= 1).all(axis=2)
    return np.asarray(painted & changed(image, drawn))


@pytest.mark.parametrize("side", [48, 160, 512, 3000])
def test_the_score_s_text_grows_with_the_image(astronaut: Rgb, side: int) -> None:
    image = zoomed(astronaut, side)
    box = np.array([0.35, 0.3, 0.55, 0.6]) * side
    faces = detections(box, image)
    plain = draw_faces(image, faces, scores=False)
    drawn = draw_faces(image, faces)
    rows, columns = np.nonzero(changed(plain, drawn))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(9, 0.015 * side) <= height <= max(16, 0.06 * side)
    assert 1.2 < width / height < 3.5
    # Above the box, and dark letters on its colour.
    assert rows.max() <= box[1] + 2
    label = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert (label.mean(axis=2) < 70).any()
    assert (np.abs(label.astype(int) - PALETTE[0]).max(axis=2) <= 2).mean() > 0.4


@pytest.mark.parametrize(
    "box",
    [
        (100, 0, 200, 100),
        (0, 0, 60, 60),
        (460, 200, 512, 260),
        (0, 0, 512, 512),
        (100, 460, 200, 512),
        (-40, -40, 30, 30),
        (0, 40, 512, 512),
    ],
)
def test_the_score_is_within_the_image_wherever_the_face_is(
    astronaut: Rgb, box: tuple[int, ...]
) -> None:
    faces = detections(box, astronaut)
    label = changed(draw_faces(astronaut, faces, scores=False), draw_faces(astronaut, faces))
    rows, columns = np.nonzero(label)
    assert np.ptp(rows) >= 9
    assert np.ptp(columns) >= 20
    # The label is whole: as large as in the middle of the image.
    width, height = box[2] - box[0], box[3] - box[1]
    middle = detections((200, 200, 200 + width, 200 + height), astronaut)
    whole = changed(draw_faces(astronaut, middle, scores=False), draw_faces(astronaut, middle))
    assert label.sum() > 0.8 * whole.sum()


def test_classifiers_labels_stand_below_the_score(astronaut: Rgb) -> None:
    found = detections(FACE, astronaut)
    said = Classifications(
        scores=np.array([[0.1, 0.9]], np.float32), labels=("no", "yes"), image_size=(512, 512)
    )
    one = draw_faces(astronaut, Faces(detections=found))
    two = draw_faces(astronaut, Faces(detections=found, classifications={"smiles": said}))
    rows = [np.nonzero(label_area(astronaut, drawn))[0] for drawn in (one, two)]
    assert rows[1].min() < rows[0].min() - 8


def test_classes_are_named_before_the_score(astronaut: Rgb) -> None:
    one, other = (detections(FACE, astronaut, class_ids=[kind]) for kind in (0, 5))
    plain = draw_faces(astronaut, one)
    assert (
        draw_faces(astronaut, detections(FACE, astronaut), class_names=("person",)) == plain
    ).all()
    named = draw_faces(astronaut, one, class_names=("person", "bicycle"))
    score, words = (label_area(astronaut, drawn).sum() for drawn in (plain, named))
    assert words > 1.3 * score
    # A class without a name has its number.
    numbered = draw_faces(astronaut, other, class_names=("person", "bicycle"))
    assert (numbered == draw_faces(astronaut, other, class_names=tuple("012345"))).all()


def test_a_label_spares_the_neighbours(astronaut: Rgb) -> None:
    boxes = [[200, 200, 260, 260], [200, 140, 260, 199]]
    faces = detections(boxes, astronaut)
    label = changed(draw_faces(astronaut, faces, scores=False), draw_faces(astronaut, faces))
    # The first face's label would stand on the second face: it goes below.
    assert label[262:290, 195:260].any()
    assert not label[150:197, 205:255].any()


def test_in_a_crowd_labels_that_hide_faces_are_left_out(astronaut: Rgb) -> None:
    grid = np.stack(np.meshgrid(np.arange(0, 500, 16), np.arange(0, 500, 16)), axis=-1)
    corners = grid.reshape(-1, 2)
    faces = detections(np.concatenate([corners, corners + 15], axis=1), astronaut)
    label = changed(draw_faces(astronaut, faces, scores=False), draw_faces(astronaut, faces))
    assert label.mean() < 0.1


def test_wild_boxes_and_landmarks_do_no_harm(astronaut: Rgb) -> None:
    far, nan = 1e9, np.nan
    boxes: list[list[float]] = [
        [far, far, 2 * far, 2 * far],
        [nan, nan, nan, nan],
        [-far, -far, far, far],
        [9, 9, 9, 9],
    ]
    found = detections(boxes, astronaut)
    points = np.full((4, 68, 2), np.inf, np.float32)
    points[2] = 1e9 * np.array(MEAN_SHAPE_68)
    wild = Landmarks(points=points, scheme="ibug68", image_size=(512, 512))
    drawn = draw_faces(astronaut, Faces(detections=found, landmarks=wild))
    assert drawn.shape == astronaut.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3)])
def test_tiny_images_are_drawn_on(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    drawn = draw_faces(image, with_landmarks((0, 0, size[1], size[0]), image))
    assert drawn.shape == image.shape
    assert drawn.any()
