"""The tiny SSD's anchors and decoding against MMDetection 1.x's own, and the detector around them.

``golden/tiny_ssd_*.npz`` were recorded once by running the code of openvinotoolkit/mmdetection at
commit 9702c797 itself, with the published weights ``wider_face_tiny_ssd_075x_from_ir.pth``:
``AnchorGenerator.grid_anchors`` and ``AnchorHead.get_bboxes_single`` (softmax, ``delta2bbox``,
rescale, ``multiclass_nms``), score 0.02, NMS 0.45, 200 faces, with a plain loop in place of the
compiled ``nms_cpu.cpp`` (which drops at ``>=``). Each file has the network's answers for the
anchors with a score over 0.01 (``rows, logits, deltas``), the photo's ``image_size`` and upstream's
``boxes`` (counted inclusively) and ``scores``, best first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from facekit import boxes as box_maths
from facekit.boxes import BoxTransform
from facekit.detectors import tiny_ssd
from facekit.detectors.tiny_ssd import SPEC, TinySSD
from facekit.errors import WeightsError
from facekit.protocols import Detector
from facekit.types import Detections

GOLDEN = Path(__file__).parent / "golden"
NETWORKS = Path(__file__).parents[1] / "data" / "networks"
INCLUSIVE = np.array([0, 0, 1, 1], dtype=np.float32)
"""What continuous boxes add to those that count pixels inclusively."""

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def detector() -> TinySSD:
    return TinySSD()


def build(**options: Any) -> TinySSD:
    return TinySSD(TinySSD.Options(**options))


def same(one: Detections, two: Detections) -> None:
    assert len(one) == len(two)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-3)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


# Anchors and decoding.


def test_anchors_are_upstreams() -> None:
    anchors = tiny_ssd.anchors()
    assert anchors.shape == (19 * 19 * 9, 4)
    # Printed by upstream's AnchorGenerator(0, [], [], widths, heights, ctr=(7.5, 7.5)).
    first_cell = [
        [3, 0, 12, 14],
        [-5, -12, 20, 27],
        [1, -5, 14, 20],
        [-9, -24, 24, 39],
        [-64, -106, 78, 121],
        [-31, -73, 46, 88],
        [-56, -54, 71, 69],
        [-18, -45, 33, 60],
        [-30, -28, 45, 43],
    ]
    assert anchors[:9].tolist() == first_cell
    assert (anchors[9:18] - anchors[:9]).tolist() == [[16, 0, 16, 0]] * 9, "columns run first"
    assert (anchors[19 * 9 :][:9] - anchors[:9]).tolist() == [[0, 16, 0, 16]] * 9


def test_no_delta_gives_the_anchor_itself() -> None:
    anchors = tiny_ssd.anchors()
    inside = ((anchors >= 0) & (anchors <= 299)).all(axis=1)
    decoded = tiny_ssd._decode(np.zeros_like(anchors), anchors)
    np.testing.assert_allclose(decoded[inside], anchors[inside], atol=1e-5)
    assert decoded.min() == 0
    assert decoded.max() == 299


def test_known_deltas() -> None:
    # An anchor of 20 x 40 px about (59.5, 79.5), moved by 0.1 of its size a unit, doubled in width.
    anchor = np.array([[50, 60, 69, 99]], dtype=np.float32)
    deltas = np.array([[1, -1, np.log(2) / 0.2, 0]], dtype=np.float32)
    np.testing.assert_allclose(tiny_ssd._decode(deltas, anchor), [[42, 56, 81, 95]], atol=1e-4)


def test_sizes_are_limited_to_1000_over_16() -> None:
    anchor = np.array([[149, 149, 150, 150]], dtype=np.float32)
    wide = tiny_ssd._decode(np.array([[0, 0, 99, -99]], dtype=np.float32), anchor)
    np.testing.assert_allclose(wide[0, [0, 2]], [149.5 - 62.5 + 0.5, 149.5 + 62.5 - 0.5], atol=1e-3)
    np.testing.assert_allclose(
        wide[0, [1, 3]], [149.5 - 0.016 + 0.5, 149.5 + 0.016 - 0.5], atol=1e-4
    )


@pytest.mark.filterwarnings("error")
def test_scores_are_a_softmax_without_overflow() -> None:
    logits = np.array([[0, 0], [1, 3], [500, -500], [-500, 500]], dtype=np.float32)
    np.testing.assert_allclose(
        tiny_ssd._face_scores(logits), [0.5, 1 / (1 + np.exp(-2)), 0, 1], atol=1e-7
    )


def raw(rows: Any, logits: Any, deltas: Any) -> tuple[Any, Any]:
    """The network's whole answer, of which only some rows may be faces."""
    all_logits = np.tile(np.array([9, -9], dtype=np.float32), (3249, 1))
    all_deltas = np.zeros((3249, 4), dtype=np.float32)
    all_logits[rows], all_deltas[rows] = logits, deltas
    return all_logits, all_deltas


@pytest.mark.parametrize("photo", ["astronaut", "bald_guys", "crowd"])
def test_decoding_is_upstreams(photo: str) -> None:
    golden = np.load(GOLDEN / f"tiny_ssd_{photo}.npz")
    height, width = golden["image_size"].tolist()
    found = build(score_threshold=0.02)._to_detections(
        *raw(golden["rows"], golden["logits"], golden["deltas"]), (height, width)
    )
    assert len(found) == len(golden["scores"])
    np.testing.assert_allclose(found.scores, golden["scores"], atol=1e-6)
    np.testing.assert_allclose(found.boxes - INCLUSIVE, golden["boxes"], atol=1e-3)
    assert found.image_size == (height, width)


def test_a_higher_threshold_gives_the_best_of_the_same_faces() -> None:
    golden = np.load(GOLDEN / "tiny_ssd_crowd.npz")
    answer = raw(golden["rows"], golden["logits"], golden["deltas"])
    every = build(score_threshold=0.02)._to_detections(*answer, (744, 1024))
    assert build()._to_detections(*answer, (744, 1024)) == every[every.scores > 0.5]
    assert (
        build(max_detections=3, score_threshold=0.02)._to_detections(*answer, (744, 1024))
        == every[:3]
    )
    loose = build(nms_threshold=1, score_threshold=0.02)._to_detections(*answer, (744, 1024))
    assert len(loose) == 200 > len(every)


def test_equal_scores_keep_the_anchors_order() -> None:
    rows = [3 * 9, 300 * 9]
    answer = raw(rows, [[0, 1], [0, 1]], np.zeros((2, 4)))
    found = build()._to_detections(*answer, (300, 300))
    np.testing.assert_allclose(found.boxes, tiny_ssd.anchors()[rows] + INCLUSIVE, atol=1e-4)


# The detector, with the bundled weights.


def test_it_is_a_detector(detector: TinySSD) -> None:
    assert isinstance(detector, Detector)
    assert detector.score_threshold == 0.5
    assert build(score_threshold=0).score_threshold == 0


def test_the_astronauts_face(detector: TinySSD, astronaut: Image) -> None:
    (found,) = detector.detect([astronaut])
    assert len(found) == 1
    assert found.scores[0] > 0.9
    # Drawn by hand around the face, brow to chin.
    assert box_maths.iou(found.boxes, [[175, 65, 272, 185]])[0, 0] > 0.6
    assert found.box_transform == TinySSD.box_transform


def test_a_batch_is_its_images_one_by_one(detector: TinySSD, astronaut: Image) -> None:
    half = np.ascontiguousarray(astronaut[:300, 100:400])
    blank = np.zeros((1, 1, 3), dtype=np.uint8)
    photos = [astronaut, half, blank, astronaut[:, ::-1], half, astronaut]
    batch = build(batch_size=4, score_threshold=0.1).detect(photos)
    single = build(batch_size=1, score_threshold=0.1)
    assert len(batch) == len(photos)
    for found, photo in zip(batch, photos, strict=True):
        same(found, single.detect([photo])[0])
    assert len(batch[2]) == 0
    assert batch[2].image_size == (1, 1)
    assert detector.detect([]) == []


def test_many_threads_find_the_same(detector: TinySSD, astronaut: Image) -> None:
    photos = [astronaut, np.ascontiguousarray(astronaut[:, ::-1])]
    expected = [detector.detect([photo])[0] for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: detector.detect([photos[i % 2]])[0], range(12)))
    for i, answer in enumerate(answers):
        same(answer, expected[i % 2])


def test_input_is_rgb_stretched_to_0_and_1() -> None:
    photo = np.zeros((600, 150, 3), dtype=np.uint8)
    photo[:300] = [255, 51, 0]
    batch = tiny_ssd.prepare([photo])
    assert batch.shape == (1, *SPEC.input_shape)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch[0, :, 10, 10], [1, 0.2, 0], atol=1e-7)
    assert (batch[0, :, 160:] == 0).all()


@pytest.mark.parametrize("name", ["openvino"])
def test_other_engines_find_the_same(
    require: Any, detector: TinySSD, astronaut: Image, name: str
) -> None:
    require(name)
    same(build(engine=name).detect([astronaut])[0], detector.detect([astronaut])[0])


def test_one_thread_finds_the_same(detector: TinySSD, astronaut: Image) -> None:
    same(build(threads=1).detect([astronaut])[0], detector.detect([astronaut])[0])


def test_weights_of_another_network_by_their_names() -> None:
    with pytest.raises(WeightsError, match=r"expected \(image\) -> \(logits, deltas\), the file"):
        build(weights=NETWORKS / "sum_difference.onnx")


def test_weights_of_another_network_by_their_shapes(astronaut: Image) -> None:
    with pytest.raises(
        WeightsError, match=r"expected logits \(1, 3249, 2\) and deltas .*got \(1, 3, 1, 1\)"
    ):
        build(weights=NETWORKS / "pooled.onnx").detect([astronaut])


def test_a_transform_of_ones_own_goes_with_the_boxes(astronaut: npt.NDArray[Any]) -> None:
    own = {"dx": 0.1, "dy": -0.2, "sw": 1.5, "sh": 0.5}
    detector = TinySSD(TinySSD.Options.model_validate({"box_transform": own}))
    assert detector.box_transform == BoxTransform(**own)
    (found,) = detector.detect([astronaut])
    assert found.box_transform == BoxTransform(**own)
    assert TinySSD.box_transform != detector.box_transform, "the others keep theirs"


@pytest.mark.parametrize("wrong", [{"sw": 0}, {"sh": -1}, {"dx": float("nan")}, {"dz": 1}])
def test_a_transform_that_makes_no_square_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="box_transform"):
        TinySSD.Options.model_validate({"box_transform": wrong})
