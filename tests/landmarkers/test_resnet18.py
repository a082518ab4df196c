"""The ResNet18 landmarker: on real faces, in batches, and the same crops as in training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import defusedxml.ElementTree
import numpy as np
import numpy.typing as npt
import pytest

from facekit.boxes import IDENTITY, BoxTransform
from facekit.detectors.tiny_ssd import TinySSD
from facekit.errors import ImageError, WeightsError
from facekit.landmarkers import resnet18
from facekit.landmarkers.resnet18 import SPEC, ResNet18
from facekit.protocols import Landmarker
from facekit.types import Detections, Landmarks

NETWORKS = Path(__file__).parents[1] / "data" / "networks"
SQUARE = (175.0, 82.0, 274.0, 181.0)
"""The square around the points of the astronaut's face, pixels."""

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def landmarker() -> ResNet18:
    return ResNet18()


def build(**options: Any) -> ResNet18:
    return ResNet18(ResNet18.Options(**options))


def faces(image: Image, *boxes: tuple[float, ...], **changes: Any) -> Detections:
    return Detections(
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=np.ones(len(boxes), np.float32),
        image_size=image.shape[:2],
        **changes,
    )


def test_it_is_a_landmarker(landmarker: ResNet18) -> None:
    assert isinstance(landmarker, Landmarker)
    assert landmarker.scheme == "ibug68"
    assert landmarker.point_count == 68


def test_the_astronauts_eyes_nose_and_mouth(landmarker: ResNet18, astronaut: Image) -> None:
    (found,) = landmarker.locate([astronaut], [faces(astronaut, SQUARE)])
    assert found.points.shape == (1, 68, 2)
    assert found.scheme == "ibug68"
    assert found.image_size == (512, 512)
    points = found.points[0]
    # Read off the photo by eye, to a few pixels.
    places = {
        "eye on the left": (points[36:42].mean(axis=0), (204, 102)),
        "eye on the right": (points[42:48].mean(axis=0), (247, 103)),
        "tip of the nose": (points[30], (225, 125)),
        "mouth": (points[48:60].mean(axis=0), (224, 143)),
        "chin": (points[8], (223, 176)),
    }
    for place, (point, expected) in places.items():
        assert np.linalg.norm(point - expected) < 5, (place, point)


def test_crops_follow_the_box_transform(landmarker: ResNet18, astronaut: Image) -> None:
    transform = BoxTransform(dx=0.1, dy=-0.05, sw=1.25, sh=0.75)
    box = (150.0, 40.0, 250.0, 160.0)
    (through,) = landmarker.locate([astronaut], [faces(astronaut, box, box_transform=transform)])
    square = tuple(transform.apply([box])[0].tolist())
    (direct,) = landmarker.locate([astronaut], [faces(astronaut, square)])
    np.testing.assert_allclose(through.points, direct.points, atol=1e-3)


def test_points_move_and_grow_with_the_image(landmarker: ResNet18, astronaut: Image) -> None:
    (found,) = landmarker.locate([astronaut], [faces(astronaut, SQUARE)])
    shifted = np.zeros((600, 640, 3), dtype=np.uint8)
    shifted[30:542, 50:562] = astronaut
    moved = (SQUARE[0] + 50, SQUARE[1] + 30, SQUARE[2] + 50, SQUARE[3] + 30)
    (after,) = landmarker.locate([shifted], [faces(shifted, moved)])
    np.testing.assert_allclose(after.points, found.points + np.array([50, 30]), atol=0.05)
    twice = np.repeat(np.repeat(astronaut, 2, axis=0), 2, axis=1)
    double = tuple(2 * side for side in SQUARE)
    (large,) = landmarker.locate([twice], [faces(twice, double)])
    np.testing.assert_allclose(large.points / 2, found.points, atol=1)


def test_batches_are_faces_one_by_one(astronaut: Image) -> None:
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    other = (512 - SQUARE[2], SQUARE[1], 512 - SQUARE[0], SQUARE[3])
    wide = (SQUARE[0] - 9, SQUARE[1] - 9, SQUARE[2] + 9, SQUARE[3] + 9)
    images = [astronaut, astronaut, mirrored]
    found = [faces(astronaut, SQUARE, wide), faces(astronaut), faces(mirrored, other)]
    together = build(batch_size=2).locate(images, found)
    assert [len(part) for part in together] == [2, 0, 1]
    assert together[1].points.shape == (0, 68, 2)
    one_by_one = build(batch_size=1)
    for image, part, answer in zip(images, found, together, strict=True):
        (single,) = one_by_one.locate([image], [part])
        np.testing.assert_allclose(answer.points, single.points, atol=1e-3)


def test_nothing_to_do(landmarker: ResNet18) -> None:
    assert landmarker.locate([], []) == []


def test_a_face_that_leaves_the_image(landmarker: ResNet18, astronaut: Image) -> None:
    half = np.ascontiguousarray(astronaut[:, 215:])
    box = (SQUARE[0] - 215, SQUARE[1], SQUARE[2] - 215, SQUARE[3])
    (found,) = landmarker.locate([half], [faces(half, box, (9000, 9000, 9100, 9100))])
    assert np.isfinite(found.points).all()


def test_crops_are_grey_at_the_weights_own_scale(landmarker: ResNet18) -> None:
    image = np.zeros((300, 300, 3), dtype=np.uint8)
    image[..., 0] = 200
    (crop,) = resnet18._crops(image, np.array([[10, 10, 60, 60]], dtype=np.float32))
    assert crop.shape == SPEC.input_shape[1:]
    assert (crop == round(0.299 * 200)).all()
    batch = resnet18._prepare([np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)])
    assert batch[:, 0, 0, 0].tolist() == [-1, 1]
    assert batch.dtype == np.float32
    assert landmarker._crop_scale == 1.2


def test_detections_of_other_images(landmarker: ResNet18, astronaut: Image) -> None:
    with pytest.raises(ImageError, match="one Detections an image"):
        landmarker.locate([astronaut], [])
    with pytest.raises(ImageError, match="image 0 is 512 x 512 px, its detections are"):
        landmarker.locate([astronaut], [faces(astronaut[:9], SQUARE)])


def test_many_threads_place_the_same(landmarker: ResNet18, astronaut: Image) -> None:
    wide = (SQUARE[0] - 9, SQUARE[1] - 9, SQUARE[2] + 9, SQUARE[3] + 9)
    found = [faces(astronaut, SQUARE), faces(astronaut, wide)]
    expected = [landmarker.locate([astronaut], [part])[0].points for part in found]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda i: landmarker.locate([astronaut], [found[i % 2]])[0].points, range(8))
        )
    for i, answer in enumerate(answers):
        np.testing.assert_allclose(answer, expected[i % 2], atol=1e-3)


def test_after_the_detector(landmarker: ResNet18, astronaut: Image) -> None:
    (found,) = TinySSD().detect([astronaut])
    (points,) = landmarker.locate([astronaut], [found])
    (direct,) = landmarker.locate([astronaut], [faces(astronaut, SQUARE)])
    eyes = np.linalg.norm(direct.points[0, 36] - direct.points[0, 45])
    error = np.linalg.norm(points.points - direct.points, axis=-1).mean() / eyes
    assert error < 0.05


@pytest.mark.data
def test_the_box_transform_brings_the_landmarks_onto_the_faces(
    landmarker: ResNet18, data_root: Path
) -> None:
    labels = data_root / "landmarks68" / "labels_ibug_300W_train.xml"
    elements = list(defusedxml.ElementTree.parse(labels).iter("image"))[::50]
    photos = [labels.parent / element.attrib["file"] for element in elements]
    found = [part[:1] for part in TinySSD().detect(photos)]
    as_they_are = [part.replace(box_transform=IDENTITY) for part in found]
    errors = []
    for choice in (found, as_they_are):
        located = landmarker.locate(photos, choice)
        pairs = zip(located, elements, strict=True)
        errors.append([error(part, element) for part, element in pairs if len(part)])
    assert len(errors[0]) >= 0.9 * len(photos)
    # Medians: the surest face of some photos is not the annotated one.
    assert np.median(errors[0]) < 0.08
    assert np.median(errors[0]) < 0.8 * np.median(errors[1])


def error(found: Landmarks, element: Any) -> float:
    """Return the mean distance of the points over that of the outer eye corners."""
    parts = sorted(element.iter("part"), key=lambda part: int(part.attrib["name"]))
    truth = np.array([[float(part.attrib[axis]) for axis in "xy"] for part in parts])
    distances = np.linalg.norm(found.points[0] - truth, axis=1)
    return float(distances.mean() / np.linalg.norm(truth[36] - truth[45]))


def test_weights_of_another_network(astronaut: Image) -> None:
    with pytest.raises(WeightsError, match=r"expected \(image\) -> \(landmarks\), the file has"):
        build(weights=NETWORKS / "sum_difference.onnx")
    with pytest.raises(WeightsError, match="expected 136 numbers, got"):
        build(weights=NETWORKS / "pooled.onnx").locate([astronaut], [faces(astronaut, SQUARE)])


def test_weights_of_another_scheme() -> None:
    with pytest.raises(WeightsError, match="weights of the scheme 'wflw98', not 'ibug68'"):
        build(weights=NETWORKS / "pooled_wflw98.onnx")


def test_metadata_that_is_no_number() -> None:
    with pytest.raises(WeightsError, match=r"facekit\.crop_scale is not a number: 'wide'"):
        build(weights=NETWORKS / "pooled_crop_scale_wide.onnx")


def test_openvino_places_the_same(require: Any, landmarker: ResNet18, astronaut: Image) -> None:
    require("openvino")
    (one,) = landmarker.locate([astronaut], [faces(astronaut, SQUARE)])
    (two,) = build(engine="openvino").locate([astronaut], [faces(astronaut, SQUARE)])
    np.testing.assert_allclose(one.points, two.points, atol=1.5)
