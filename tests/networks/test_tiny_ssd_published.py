"""The tiny SSD with the weights that OpenVINO publishes: upstream's own numbers on real photos."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import cv2
import defusedxml.ElementTree
import numpy as np
import numpy.typing as npt
import pytest

from facekit import boxes as box_maths
from facekit import images
from facekit.detectors.tiny_ssd import TinySSD, prepare
from facekit.types import Detections

pytestmark = pytest.mark.weights

GOLDEN = Path(__file__).parents[1] / "detectors" / "golden"
PHOTOS = {
    "bald_guys": "dlib_faces/bald_guys.jpg",
    "crowd": "wider/WIDER_val/images/20--Family_Group/20_Family_Group_Family_Group_20_108.jpg",
}


@pytest.fixture(scope="module")
def published(require: Any, weights_root: Path) -> Path:
    require("torch")
    require("safetensors")
    return weights_root / "tiny_ssd" / "wider_face_tiny_ssd_075x_from_ir.pth"


def check_golden(weights: Path, name: str, photo: images.ImageLike) -> None:
    """How the golden files came to be: tests/detectors/test_tiny_ssd.py."""
    golden = np.load(GOLDEN / f"tiny_ssd_{name}.npz")
    detector = TinySSD(TinySSD.Options(weights=weights, score_threshold=0.02))
    (found,) = detector.detect([photo])
    assert len(found) == len(golden["scores"])
    np.testing.assert_allclose(found.scores, golden["scores"], atol=1e-5)
    np.testing.assert_allclose(found.boxes - [0, 0, 1, 1], golden["boxes"], atol=1e-3)


def test_boxes_of_the_astronaut_are_upstreams(published: Path, astronaut: Any) -> None:
    check_golden(published, "astronaut", astronaut)


@pytest.mark.data
@pytest.mark.parametrize("name", PHOTOS)
def test_boxes_of_a_crowd_are_upstreams(published: Path, data_root: Path, name: str) -> None:
    check_golden(published, name, data_root / PHOTOS[name])


def labelled_photos(xml: Path) -> list[tuple[Path, npt.NDArray[np.float32]]]:
    """Each photo of a dlib XML file with its boxes, xyxy."""
    photos = []
    for element in defusedxml.ElementTree.parse(xml).iter("image"):
        sides = ("left", "top", "width", "height")
        rows = [[float(box.attrib[side]) for side in sides] for box in element.iter("box")]
        photos.append((xml.parent / element.attrib["file"], np.array(rows, dtype=np.float32)))
    return photos


@pytest.mark.data
def test_every_face_of_dlibs_photos_and_nothing_else(published: Path, data_root: Path) -> None:
    photos = [
        photo
        for name in ("training.xml", "testing.xml")
        for photo in labelled_photos(data_root / "dlib_faces" / name)
    ]
    detector = TinySSD(TinySSD.Options(weights=published))
    found = detector.detect([path for path, _ in photos])
    faces = hits = false = 0
    for (_, truth), detections in zip(photos, found, strict=True):
        overlaps = box_maths.iou(detections.boxes, box_maths.xywh_to_xyxy(truth)) >= 0.5
        faces += len(truth)
        hits += int(overlaps.any(axis=0).sum())
        false += int((~overlaps.any(axis=1)).sum())
        assert (overlaps.sum(axis=1) <= 1).all(), "one box a face"
    assert (faces, hits, false) == (43, 43, 0)


@pytest.mark.parametrize("side", [1, 3])
def test_the_tensors_before_detection_output_are_the_irs(
    require: Any, published: Path, weights_root: Path, astronaut: Any, side: int
) -> None:
    ov = require("openvino")
    core = ov.Core()
    ir = core.read_model(weights_root / "tiny_ssd" / "face-detection-retail-0005.xml")
    (last,) = [node for node in ir.get_ops() if node.get_type_name() == "DetectionOutput"]
    feeding = [last.input_value(0), last.input_value(1)]
    # Another astronaut a side, so that more than one face's numbers are compared.
    photo = np.tile(astronaut, (side, side, 1))
    stretched = cv2.resize(photo, (300, 300), interpolation=cv2.INTER_LINEAR)
    bgr = stretched[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    model = ov.Model(feeding, ir.get_parameters(), "before DetectionOutput")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    theirs_deltas, theirs_scores = (np.array(value) for value in compiled(bgr).values())

    detector = TinySSD(TinySSD.Options(weights=published))
    rgb = np.divide(stretched[None].transpose(0, 3, 1, 2), 255, dtype=np.float32)
    logits, deltas = detector._engine(rgb)
    scores = np.exp(logits - logits.max(axis=2, keepdims=True))
    scores /= scores.sum(axis=2, keepdims=True)
    assert scores[..., 1].max() > 0.9, "a face is in the photo"
    np.testing.assert_allclose(deltas.reshape(1, -1), theirs_deltas, atol=1e-4)
    np.testing.assert_allclose(scores.reshape(1, -1), theirs_scores, atol=1e-4)


@pytest.mark.data
def test_the_irs_own_boxes_are_these_with_four_things_changed(
    require: Any, published: Path, data_root: Path, weights_root: Path
) -> None:
    require("openvino")
    path = Path(__file__).parents[2] / "benchmarks" / "retail_0005.py"
    script = runpy.run_path(str(path))
    ways = list(script["WAYS"].values())
    run = script["published"](weights_root / "tiny_ssd" / "face-detection-retail-0005.xml")
    detector = TinySSD(TinySSD.Options(weights=published, score_threshold=0.02))
    photos = sorted((data_root / "wider" / "WIDER_val").rglob("*.jpg"))[::40]
    apart = 0.0
    for photo in map(images.read, photos):
        size, batch = photo.shape[:2], prepare([photo])
        logits, deltas = (answer[0] for answer in detector._engine(batch))
        (own,), theirs = detector.detect([photo]), run(batch, size)
        first, last = (sure(way(logits, deltas, size)) for way in (ways[0], ways[-1]))
        np.testing.assert_allclose(first.boxes, sure(own).boxes, atol=1e-3)
        np.testing.assert_allclose(last.boxes, sure(theirs).boxes, atol=1e-2)
        np.testing.assert_allclose(last.scores, sure(theirs).scores, atol=1e-4)
        apart = max(apart, float(np.abs(own.boxes[0] - theirs.boxes[0]).max()))
    assert len(photos) == 5
    assert apart > 0.5, "it makes no difference"


def sure(found: Detections) -> Detections:
    """The faces whose places among the best do not hang on the last digit."""
    return found[found.scores > 0.1]
