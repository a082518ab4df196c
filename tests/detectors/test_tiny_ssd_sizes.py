"""The tiny SSD at other input sizes than upstream's 300 x 300."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pydantic
import pytest

from facekit import weights
from facekit.detectors import tiny_ssd
from facekit.detectors.tiny_ssd import TinySSD
from facekit.errors import BackendError
from facekit.testing import DetectorContract
from facekit.types import Detections

Image = npt.NDArray[np.uint8]


def build(**options: Any) -> TinySSD:
    return TinySSD(TinySSD.Options(**options))


def same(one: Detections, two: Detections) -> None:
    assert len(one) == len(two)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=2e-3)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


class TestLargeInput(DetectorContract):
    name = "tiny_ssd"
    options: ClassVar = {"input_size": 384, "resize": "keep_aspect"}
    golden = Path(__file__).parents[1] / "golden" / "detector_tiny_ssd_384.json"


@pytest.mark.parametrize("size", [(300, 300), (640, 448), (16, 17)])
def test_anchors_of_a_map_are_the_first_cells_moved(size: tuple[int, int]) -> None:
    found = tiny_ssd.anchors(*size)
    first = tiny_ssd.anchors(16, 16)
    expected = [
        first + np.array([column, row, column, row], dtype=np.float32) * 16
        for row in range(-(-size[0] // 16))
        for column in range(-(-size[1] // 16))
    ]
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_anchors_are_shared_and_cannot_be_changed() -> None:
    assert tiny_ssd.anchors(640, 448) is tiny_ssd.anchors(640, 448)
    with pytest.raises(ValueError, match="read-only"):
        tiny_ssd.anchors()[0] = 0


def test_300_stretched_is_the_default_to_the_last_bit(astronaut: Image) -> None:
    (usual,) = build(score_threshold=0.02).detect([astronaut])
    for size in (300, (300, 300)):
        (found,) = build(score_threshold=0.02, input_size=size, resize="stretch").detect(
            [astronaut]
        )
        assert found == usual


@pytest.mark.parametrize(
    ("resize", "size", "photo", "expected"),
    [
        ("stretch", (240, 320), (600, 150), (240, 320)),
        ("stretch", 250, (600, 150), (250, 250)),
        ("keep_aspect", 640, (480, 640), (480, 640)),
        ("keep_aspect", 640, (1024, 683), (640, 432)),
        ("keep_aspect", (300, 640), (200, 200), (304, 304)),
        ("keep_aspect", (640, 320), (480, 640), (240, 320)),
        ("keep_aspect", 320, (2000, 3), (320, 16)),
    ],
)
def test_the_inputs_size(
    resize: tiny_ssd.Resize, size: Any, photo: tuple[int, int], expected: tuple[int, int]
) -> None:
    limits = size if isinstance(size, tuple) else (size, size)
    assert tiny_ssd.input_size(photo, limits, resize) == expected


@pytest.mark.parametrize("size", [15, (300, 8), (300, 300, 300), 300.5, "native"])
def test_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(pydantic.ValidationError, match="input_size"):
        TinySSD.Options(input_size=size)


def test_a_larger_input_finds_a_small_face_in_its_place(astronaut: Image) -> None:
    photo = np.full((2400, 2400, 3), 90, dtype=np.uint8)
    photo[100:612, 900:1412] = astronaut
    (at_300,) = build().detect([photo])
    (found,) = build(input_size=640, score_threshold=0.3).detect([photo])
    assert len(at_300) == 0
    (in_full,) = build().detect([astronaut])
    expected = in_full.boxes[0] + np.array([900, 100, 900, 100])
    assert np.abs(found.boxes[0] - expected).max() < 20


def test_boxes_end_with_the_input(astronaut: Image) -> None:
    close = np.ascontiguousarray(astronaut[60:200, 190:280])
    detector = build(input_size=320, resize="keep_aspect", score_threshold=0.05)
    (found,) = detector.detect([close])
    assert len(found) > 0
    assert found.boxes.min() >= 0
    assert (found.boxes <= np.array([90, 140, 90, 140]) + 0.5).all()


def test_a_batch_of_mixed_shapes_is_its_images_one_by_one(astronaut: Image) -> None:
    wide = np.ascontiguousarray(astronaut[:256])
    photos = [astronaut, wide, astronaut[:, ::-1], wide[:, ::-1], astronaut[::2, ::2]]
    detector = build(input_size=400, resize="keep_aspect", score_threshold=0.1)
    for found, photo in zip(detector.detect(photos), photos, strict=True):
        same(found, detector.detect([photo])[0])


@pytest.mark.parametrize("name", ["openvino", "torch"])
@pytest.mark.parametrize("resize", ["stretch", "keep_aspect"])
def test_other_engines_find_the_same(
    require: Any, astronaut: Image, tmp_path: Path, name: str, resize: str
) -> None:
    require(name)
    photos = [astronaut, np.ascontiguousarray(astronaut[:300])]
    options: dict[str, Any] = {"input_size": 500, "resize": resize, "score_threshold": 0.1}
    expected = build(**options)
    if name == "torch":
        exported, expected = _random_checkpoint(require, tmp_path, options)
        other = build(weights=exported, **options)
    else:
        other = build(engine=name, **options)
    for found, want in zip(other.detect(photos), expected.detect(photos), strict=True):
        same(found, want)


def _random_checkpoint(require: Any, folder: Path, options: dict[str, Any]) -> tuple[Path, TinySSD]:
    """Random weights as a checkpoint, and a detector with what is exported of them."""
    torch = require("torch")
    require("onnxscript")
    from facekit.export import export
    from facekit.networks.tiny_ssd import TinySSD as Network

    torch.manual_seed(0)
    network = Network()
    network.reset_parameters(face_prior=0.3)
    torch.save({"state_dict": network.state_dict()}, folder / "random.pth")
    assert export("tiny_ssd", folder / "random.pth", folder / "random.onnx").passed
    return folder / "random.pth", build(weights=folder / "random.onnx", **options)


def test_a_file_of_one_size_only_says_so(require: Any, tmp_path: Path, astronaut: Image) -> None:
    onnx = require("onnx")
    model = onnx.load(weights.fetch("tiny_ssd"))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 300
    onnx.save(model, tmp_path / "fixed.onnx")
    assert len(build(weights=tmp_path / "fixed.onnx").detect([astronaut])[0]) == 1
    with pytest.raises(BackendError, match=r"fixed\.onnx"):
        build(weights=tmp_path / "fixed.onnx", input_size=640).detect([astronaut])
