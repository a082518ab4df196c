"""The adapter against TensorFlow's own call of the same graph, and against bad graphs."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import BackendError, ConfigError, FacekitError, WeightsError
from facekit.types import Detections

pytestmark = pytest.mark.usefixtures("require_tensorflow")

Image = npt.NDArray[np.uint8]
Make = Callable[[str], Path]

NODES = {"image": "photo", "boxes": "out/boxes", "scores": "out/scores", "classes": "out/classes:0"}
OPTIONS: dict[str, dict[str, Any]] = {
    "frozen_inference_graph.pb": {},
    "saved_model_1x": {},
    "saved_model_2x": {},
    "saved_model_float": {},
    "other_names.pb": {"nodes": NODES, "face_class": 1},
}


@pytest.fixture(scope="module")
def tf(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_tensorflow")
    return importlib.import_module("tensorflow")


@pytest.fixture
def photo(astronaut: Image) -> Image:
    return astronaut[:400, 60:]


@pytest.fixture
def photo_of_three(astronaut: Image) -> Image:
    """A face, the same dimmed, and its negative: sure boxes, one of 0.4, and several below 0.05."""
    part = astronaut[:200, 100:400]
    return np.concatenate([part, part // 3 + 40, 255 - part])


def f32(values: Any) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def build(weights: Path, **options: Any) -> Any:
    return facekit.create_detector("tfod", weights=weights, **options)


def in_pixels(boxes: Any, photo: Image) -> npt.NDArray[np.float64]:
    height, width = photo.shape[:2]
    yxyx: npt.NDArray[np.float64] = np.array(boxes, np.float64) * ([height, width] * 2)
    return yxyx[:, [1, 0, 3, 2]]


def own_call(tf: Any, path: Path, photo: Image) -> tuple[Any, Any]:
    """Boxes and scores by TensorFlow's own way of calling each format; TF1's is a session."""
    if path.suffix == ".pb":
        graph = tf.Graph()
        with graph.as_default():
            definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
            tf.import_graph_def(definition, name="")
        own = path.name == "frozen_inference_graph.pb"
        with tf.compat.v1.Session(graph=graph) as session:
            names = [f"detection_{x}:0" if own else f"out/{x}:0" for x in ("boxes", "scores")]
            given = "image_tensor:0" if own else "photo:0"
            boxes, scores = session.run(names, {given: photo[None]})
        return boxes[0], scores[0]
    call = tf.saved_model.load(str(path)).signatures["serving_default"]
    (name,) = call.structured_input_signature[1]
    kind = call.structured_input_signature[1][name].dtype
    answer = call(**{name: tf.cast(photo[None], kind)})
    return answer["detection_boxes"].numpy()[0], answer["detection_scores"].numpy()[0]


@pytest.mark.parametrize("name", OPTIONS)
def test_boxes_are_tensorflows_own(
    name: str, tf: Any, tfod_graph: Make, photo_of_three: Image
) -> None:
    photo = photo_of_three
    boxes, scores = own_call(tf, tfod_graph(name), photo)
    (found,) = build(tfod_graph(name), score_threshold=0.1, **OPTIONS[name]).detect([photo])
    likely = scores >= 0.1
    # Below the threshold are faint boxes, and the zeros that fill the graph's answer up.
    assert 3 <= likely.sum() < (scores > 0).sum()
    np.testing.assert_allclose(found.boxes, in_pixels(boxes[likely], photo), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.scores, scores[likely], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["float.tflite", "quantised.tflite"])
def test_boxes_are_the_interpreters_own(
    name: str, tf: Any, tfod_graph: Make, photo_of_three: Image, require: Any
) -> None:
    photo = photo_of_three
    interpreter = require("ai_edge_litert.interpreter").Interpreter(str(tfod_graph(name)))
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    # TF1's own resizing, which is that of the API's graphs.
    values = tf.compat.v1.image.resize_bilinear(photo[None].astype(np.float32), [300, 300])
    values = values.numpy().astype(np.float64) / 127.5 - 1
    detector = build(tfod_graph(name), score_threshold=0.1)
    if given["dtype"] == np.uint8:
        scale, zero = given["quantization"]
        steps, own = values / scale + zero, detector._prepare([photo])
        # Whole pixel values are half-way between two steps: to which one they go is chance.
        np.testing.assert_allclose(own, steps.clip(0, 255), atol=0.51)
        interpreter.set_tensor(given["index"], own)
    else:
        interpreter.set_tensor(given["index"], values.astype(np.float32))
    interpreter.invoke()
    outputs = {one["name"]: one["index"] for one in interpreter.get_output_details()}
    boxes, _, scores, count = (
        interpreter.get_tensor(outputs[f"PartitionedCall:{place}"])[0] for place in (3, 2, 1, 0)
    )
    # What comes after is left from whatever was in memory.
    boxes, scores = boxes[: int(count)], scores[: int(count)]
    likely = scores >= 0.1
    assert 3 <= likely.sum() < len(scores)
    (found,) = detector.detect([photo])
    np.testing.assert_allclose(found.boxes, in_pixels(boxes[likely], photo), rtol=0, atol=1e-2)
    np.testing.assert_allclose(found.scores, scores[likely], rtol=0, atol=1e-4)


# What the import of TensorFlow would be in an environment of the extra `litert` alone.
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
import facekit
from facekit import images
_, weights, photo = sys.argv
(found,) = facekit.create_detector("tfod", weights=weights).detect([images.read(photo)])
assert len(found) == 1, found
"""


@pytest.mark.parametrize("name", ["float.tflite", "quantised.tflite"])
def test_tflite_runs_without_tensorflow(
    name: str, tfod_graph: Make, astronaut_path: Path, require: Any
) -> None:
    require("ai_edge_litert")
    command = [
        sys.executable,
        "-c",
        WITHOUT_TENSORFLOW,
        *map(str, (tfod_graph(name), astronaut_path)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def near(found: Detections, want: Detections, pixels: float) -> None:
    assert len(found) == len(want) == 1
    np.testing.assert_allclose(found.boxes, want.boxes, rtol=0, atol=pixels)


def test_every_format_finds_the_face_of_tiny_ssd(tfod_graph: Make, photo: Image) -> None:
    (want,) = facekit.create_detector("tiny_ssd").detect([photo])
    for name, options in OPTIONS.items():
        near(build(tfod_graph(name), **options).detect([photo])[0], want, 1.0)
    near(build(tfod_graph("float.tflite")).detect([photo])[0], want, 2.0)
    near(build(tfod_graph("quantised.tflite")).detect([photo])[0], want, 5.0)


@pytest.mark.parametrize("name", ["encoded_image.pb", "tf_example.pb"])
def test_graphs_that_take_files_are_given_lossless_ones(
    name: str, tfod_graph: Make, photo: Image
) -> None:
    (want,) = build(tfod_graph("frozen_inference_graph.pb")).detect([photo])
    near(build(tfod_graph(name)).detect([photo])[0], want, 1e-3)


def test_tf_models_officials_boxes_are_pixels_of_a_padded_square(
    tfod_graph: Make, photo: Image
) -> None:
    (want,) = build(tfod_graph("saved_model_2x")).detect([photo])
    (found,) = build(tfod_graph("official"), face_class=1).detect([photo])
    near(found, want, 1e-3)
    assert found.boxes[0, 2] > 10


def test_official_boxes_that_are_parts_after_all_are_told(tfod_graph: Make, photo: Image) -> None:
    detector = build(tfod_graph("official"), face_class=1)
    answer = {
        "boxes": f32([[0.1, 0.2, 0.5, 0.6]]),
        "scores": f32([0.9]),
        "info": np.ones((4, 2), np.float32),
    }
    with pytest.raises(BackendError, match="normalized: true"):
        detector._to_detections(answer, photo.shape[:2])
    detector = build(tfod_graph("official"), face_class=1, normalized=True)
    found = detector._to_detections(answer, (100, 200))
    np.testing.assert_allclose(found.boxes, [[40, 10, 120, 50]], atol=1e-4)


def test_pixels_of_the_input_are_brought_to_the_photo(tfod_graph: Make) -> None:
    detector = build(tfod_graph("saved_model_of_three"), normalized=False)
    answer = {"boxes": f32([[20, 24, 100, 120]]), "scores": f32([0.9])}
    found = detector._to_detections(answer, (400, 720))
    np.testing.assert_allclose(found.boxes, [[72, 40, 360, 200]], atol=1e-4)


@pytest.mark.parametrize("name", ["saved_model_float", "saved_model_of_three"])
def test_batches_of_several_answer_as_one_by_one(
    name: str, tfod_graph: Make, astronaut: Image
) -> None:
    views = [astronaut, astronaut[:, ::-1], astronaut[:300], astronaut[:, ::-1], astronaut]
    detector = build(tfod_graph(name), batch_size=2)
    together = detector.detect(views)
    for view, found in zip(views, together, strict=True):
        near(found, detector.detect([view])[0], 1e-3)


def test_channels_may_be_the_other_way_round(tfod_graph: Make, photo: Image) -> None:
    (want,) = build(tfod_graph("saved_model_2x")).detect([photo])
    swapped = build(tfod_graph("saved_model_2x"), channels="bgr")
    near(swapped.detect([photo[..., ::-1]])[0], want, 1e-3)
    assert swapped.detect([photo])[0].scores.tolist() != want.scores.tolist()


def test_only_the_faces_class_is_a_face(tfod_graph: Make, photo: Image, tmp_path: Path) -> None:
    detector = build(tfod_graph("saved_model_2x"), score_threshold=0)
    answer = {
        "boxes": f32([[0, 0, 1, 1]] * 4),
        "scores": f32([0.5, 0.9, 0.8, 0.7]),
        "classes": f32([1, 2, 1, 1]),
        "count": f32(3),
    }
    assert detector._to_detections(answer, photo.shape[:2]).scores.tolist() == pytest.approx(
        [0.8, 0.5]
    )
    labels = tmp_path / "labels.pbtxt"
    labels.write_text("item { id: 1 name: 'cat' }\nitem { id: 2 name: 'Face' }\n")
    detector = build(tfod_graph("saved_model_2x"), score_threshold=0, label_map=labels)
    assert detector.class_names == ("Face",)
    assert detector._to_detections(answer, photo.shape[:2]).scores.tolist() == pytest.approx([0.9])
    # TFLite's post-processing counts from 0.
    detector = build(tfod_graph("float.tflite"), score_threshold=0, label_map=labels)
    assert detector._to_detections(answer, photo.shape[:2]).scores.tolist() == pytest.approx(
        [0.8, 0.5]
    )


def test_a_folder_above_the_saved_model_and_its_label_map(
    tfod_graph: Make, photo: Image, tmp_path: Path
) -> None:
    shutil.copytree(tfod_graph("saved_model_2x"), tmp_path / "export" / "saved_model")
    (tmp_path / "export" / "label_map.pbtxt").write_text("item { id: 1 name: 'visage' }\n")
    detector = build(tmp_path / "export")
    assert detector.class_names == ("visage",)
    assert len(detector.detect([photo])[0]) == 1
    by_file = build(tmp_path / "export" / "saved_model" / "saved_model.pb")
    assert by_file.class_names == ("face",)


def error_of(*args: Any, **options: Any) -> str:
    with pytest.raises(FacekitError) as caught:
        build(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_saved_model_that_is_no_detector_shows_its_signature(tfod_graph: Make) -> None:
    message = error_of(tfod_graph("no_detector"))
    assert "no detector: its signature 'serving_default' takes image float32 [?, 224, 224, 3]" in (
        message
    )
    assert "gives logits float32 [?, 3]" in message


def test_a_graph_of_other_names_says_how_to_name_them(tfod_graph: Make) -> None:
    path = tfod_graph("other_names.pb")
    message = error_of(path)
    assert "takes photo uint8 [?, ?, ?, 3]" in message
    assert "out/boxes:0 float32" in message
    assert "option nodes: {boxes: ..." in message
    with pytest.raises(ConfigError, match=r"no tensor 'out/box'; there is .*out/boxes:0"):
        build(path, nodes={**NODES, "boxes": "out/box"}, face_class=1)


def test_a_label_map_that_is_missing(tfod_graph: Make, tmp_path: Path) -> None:
    message = error_of(tfod_graph("saved_model_2x"), label_map=tmp_path / "labels.pbtxt")
    assert message == f"detector 'tfod': label_map: no such file: {tmp_path / 'labels.pbtxt'}"
    path = tfod_graph("official")
    assert error_of(path).startswith(f"detector 'tfod': which class of {path} is the face?")


@pytest.mark.parametrize("spoil", ["cut", "zeros", "other", "empty"])
def test_a_damaged_tflite_model(spoil: str, tfod_graph: Make, tmp_path: Path) -> None:
    data = tfod_graph("float.tflite").read_bytes()
    bad = {
        "cut": data[: len(data) // 2],
        "zeros": data[:200] + bytes(len(data) - 200),
        "other": b"not a model at all",
        "empty": b"",
    }[spoil]
    path = tmp_path / "bad.tflite"
    path.write_bytes(bad)
    with pytest.raises(WeightsError, match="damaged"):
        build(path, face_class=1)


def test_a_damaged_graph_or_saved_model(tfod_graph: Make, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pb"
    cut.write_bytes(tfod_graph("frozen_inference_graph.pb").read_bytes()[:90_000])
    assert "damaged" in error_of(cut)
    shutil.copytree(tfod_graph("saved_model_2x"), tmp_path / "cut")
    pb = tmp_path / "cut" / "saved_model.pb"
    pb.write_bytes(pb.read_bytes()[:-5000])
    assert "damaged" in error_of(tmp_path / "cut")
    assert "not a SavedModel" in error_of(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "a SavedModel, frozen graph, TFLite or ONNX is expected" in error_of(
        tmp_path / "photo.png"
    )
    assert "missing" in error_of(tmp_path / "missing")


def test_signatures_devices_and_hashes_that_are_not_there(tfod_graph: Make) -> None:
    path = tfod_graph("saved_model_2x")
    assert "no signature 'serve'; there is serving_default" in error_of(path, signature="serve")
    assert "device 'tpu' is not there; TensorFlow sees: cpu" in error_of(path, device="tpu")
    assert "is a folder" in error_of(path, sha256="0" * 64)
    assert "expected sha256" in error_of(tfod_graph("float.tflite"), sha256="0" * 64)
    assert "runs on the cpu" in error_of(tfod_graph("float.tflite"), device="gpu")
    assert build(path, device="cpu").class_names == ("face",)


def test_threads_are_one_number_for_all_graphs(tf: Any, tfod_graph: Make, photo: Image) -> None:
    tf.constant(0)  # from here on the number stands
    now = tf.config.threading.get_intra_op_parallelism_threads()
    message = error_of(tfod_graph("saved_model_2x"), threads=now + 3)
    assert f"threads={now + 3}: TensorFlow runs in this process" in message
    lite = build(tfod_graph("float.tflite"), threads=2)
    assert len(lite.detect([photo])[0]) == 1


def test_a_photo_that_the_graph_cannot_take_is_a_backend_error(tfod_graph: Make) -> None:
    detector = build(tfod_graph("saved_model_2x"))
    with pytest.raises(BackendError, match="TensorFlow failed"):
        detector._forward(np.zeros((1, 8, 8, 3), np.float32))
    detector = build(tfod_graph("float.tflite"))
    with pytest.raises(BackendError, match="LiteRT failed"):
        detector._forward(np.zeros((1, 8, 8, 3), np.uint8))
