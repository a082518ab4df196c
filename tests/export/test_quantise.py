"""8-bit arithmetic: ``export(..., int8=photos)`` and what it is made of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facekit import create_detector, weights
from facekit.boxes import iou
from facekit.detectors.tiny_ssd import prepare
from facekit.engines import FloatArray, create_engine
from facekit.engines.spec import NetworkSpec, find_spec
from facekit.errors import BackendError, ConfigError, MissingDependencyError, OutputError
from facekit.export import Scene, export
from facekit.export.inputs import _part, inputs_of
from facekit.export.packages import load_exporter
from facekit.export.parity import compare_spread
from facekit.images import RgbImage
from facekit.types import Detections

Require = Callable[[str], ModuleType]


def scenes(photo: RgbImage, count: int) -> Iterator[Scene]:
    """Return a photo and parts of it, each with a face of its own size."""
    for i in range(count):
        part = photo[: 512 - 16 * i, : 512 - 16 * i]
        box = np.array([[180, 60, 280, 200]], np.float32)
        yield part, Detections(boxes=box, scores=np.ones(1, np.float32), image_size=part.shape[:2])


@pytest.fixture
def quantiser(require: Require) -> ModuleType:
    require("openvino")
    require("onnx")
    return require("nncf")


@pytest.mark.usefixtures("quantiser")
@pytest.mark.parametrize(("suffix", "word"), [(".xml", b"FakeQuantize"), (".onnx", b"QuantizeL")])
def test_a_detector_in_8_bits_finds_the_same_face(
    suffix: str, word: bytes, tmp_path: Path, astronaut: RgbImage, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"net{suffix}"
    report = export("tiny_ssd", None, target, int8=scenes(astronaut, 9))
    assert 0 < report.worst < 0.2
    assert "as a part of the answers' spread" in str(report)
    assert report.compared_on == "on 2 photos"
    assert capfd.readouterr() == ("", "")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == ({"net.onnx"} if suffix == ".onnx" else {"net.xml", "net.bin"})
    assert word in target.read_bytes()

    (found,) = create_detector("tiny_ssd", weights=target).detect([astronaut])
    (wanted,) = create_detector("tiny_ssd").detect([astronaut])
    assert len(found) == len(wanted) == 1
    assert iou(found.boxes, wanted.boxes)[0, 0] > 0.9
    _, spec = find_spec("tiny_ssd")
    ours, shipped = (
        create_engine(path, engine=None, inputs=spec.inputs, outputs=spec.outputs, network=None)
        for path in (target, weights.fetch("tiny_ssd"))
    )
    assert shipped.metadata.items() <= ours.metadata.items()


def test_inputs_are_what_the_detector_prepares(astronaut: RgbImage) -> None:
    backend, spec = find_spec("tiny_ssd")
    photos = list(scenes(astronaut, 9))
    inputs = inputs_of(backend, weights.fetch("tiny_ssd"), spec, photos)
    wanted = [prepare([photo]) for photo, _ in photos]  # type: ignore[list-item]
    for have, want in zip(inputs.used, wanted[1:8], strict=True):
        np.testing.assert_array_equal(have["image"], want)
    for have, want in zip(inputs.held_out, [wanted[0], wanted[8]], strict=True):
        np.testing.assert_array_equal(have["image"], want)


def test_after_recording_engines_answer_again(astronaut: RgbImage) -> None:
    backend, spec = find_spec("tiny_ssd")
    inputs_of(backend, weights.fetch("tiny_ssd"), spec, scenes(astronaut, 2))
    assert len(create_detector("tiny_ssd").detect([astronaut])[0]) == 1


def test_faces_go_to_what_is_no_detector(astronaut: RgbImage) -> None:
    backend, spec = find_spec("resnet18")
    boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    empty = Detections(boxes=boxes, scores=scores, image_size=astronaut.shape[:2])
    photos = [*scenes(astronaut, 2), (astronaut, empty)]
    inputs = inputs_of(backend, weights.fetch("resnet18"), spec, photos)
    assert len(inputs.used) + len(inputs.held_out) == 2  # a photo without faces needs no network
    assert inputs.used[0]["image"].shape == (1, 1, 224, 224)


def test_a_large_input_is_cut_to_the_declared_size() -> None:
    spec = NetworkSpec(
        "a:B", inputs=("image",), outputs=("y",), input_shape=(3, 40, 60), free_axes=(1, 2)
    )
    whole = np.arange(6 * 3 * 100 * 50, dtype=np.float32).reshape(6, 3, 100, 50)
    (part,) = _part([whole], spec, np.random.default_rng(0))
    assert part.shape == (4, 3, 40, 50)
    start = int(part[0, 0, 0, 0]) // 50
    np.testing.assert_array_equal(part, whole[:4, :, start : start + 40])


@pytest.mark.usefixtures("quantiser")
def test_an_export_above_the_tolerance_leaves_nothing(tmp_path: Path, astronaut: RgbImage) -> None:
    photos = scenes(astronaut, 3)
    with pytest.raises(BackendError, match=r"net\.xml: not written: .* above the tolerance"):
        export("tiny_ssd", None, tmp_path / "net.xml", int8=photos, tolerance=1e-4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_photo_is_no_range(count: int, tmp_path: Path, astronaut: RgbImage) -> None:
    photos = scenes(astronaut, count)
    with pytest.raises(ConfigError, match=f"some dozens of photos, got {count} photo"):
        export("tiny_ssd", None, tmp_path / "net.onnx", int8=photos)
    assert list(tmp_path.iterdir()) == []


def test_either_weights_or_arithmetic_in_8_bits(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not with int8"):
        export("tiny_ssd", None, tmp_path / "net.onnx", int8=[], weights_bits=8)


def test_nncf_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "facekit.export.quantise", raising=False)
    for package in ("onnx", "openvino"):
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingDependencyError, match="export needs 'nncf'") as caught:
        load_exporter("quantise")
    assert caught.value.install == 'pip install "facekit[int8]"'


def test_what_nncf_cannot_round_is_a_backend_error(quantiser: ModuleType, tmp_path: Path) -> None:
    assert quantiser
    graph = tmp_path / "net.onnx"
    graph.write_bytes(weights.fetch("tiny_ssd").read_bytes())
    wrong = {"other": np.zeros((1, 3, 300, 300), np.float32)}
    with pytest.raises(BackendError, match=r"net\.onnx: NNCF cannot round it to 8 bits: "):
        load_exporter("quantise").quantise(graph, [wrong])


def test_a_difference_is_a_part_of_the_spread() -> None:
    class Twice:
        metadata: Mapping[str, str] = {}

        def __init__(self, more: float, cells: int = 4) -> None:
            self.more, self.cells = more, cells

        def __call__(self, *arrays: FloatArray) -> tuple[FloatArray, ...]:
            return (np.resize(arrays[0] * 2 + self.more, self.cells).astype(np.float32),)

    spec = NetworkSpec("a:B", inputs=("image",), outputs=("y",), input_shape=(2,))
    # Answers of -2 and 2 have a spread of 2.
    inputs = [{"image": np.full(4, value, np.float32)} for value in (-1.0, 1.0)]
    assert compare_spread(Twice(0), Twice(0.5), inputs, spec) == {"y": pytest.approx(0.25)}
    assert compare_spread(Twice(0), Twice(0, cells=3), inputs, spec) == {"y": float("inf")}
