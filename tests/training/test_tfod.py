"""The recipe ``tfod`` with the real API: thirty steps, a cut between them, and every export."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.datasets import FaceRecord, ImageRecord
from facekit.errors import WeightsError
from facekit.images import encode
from facekit.tfapi import pipeline
from facekit.tfapi.pipeline import Changes
from facekit.training.tfod.pipeline import prepare
from facekit.weights import resolve

SIDE = 96
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
EXPORTS = ("faces.pb", "faces.tflite", "faces_int8.tflite")

# One interpreter for all: most of the time goes into starting TensorFlow and the API.
EXPORT = """
import sys
from pathlib import Path
from facekit.cli.tfod_run import export
from facekit.training.tfod.recipe import Tfod, TfodOptions
run, folder, records = map(Path, sys.argv[1:])
export(run, folder / "faces.pb", photos=None, images=None, count=0)
export(run, folder / "faces.tflite", photos=None, images=None, count=0)
photos = f"tfrecord:{records}"
export(run, folder / "faces_int8.tflite", photos=photos, images=None, count=4)
export(run, folder / "small.tflite", photos=None, images=None, count=0, input_size=128)
again = folder / "again"
again.mkdir()
options = TfodOptions(pipeline=folder / "prepared", start=str(run))
Tfod(options)._begin(again / "pipeline.config", again)
"""


@pytest.fixture(scope="module")
def require_api(request: pytest.FixtureRequest) -> None:
    """Skip where the API or what it needs is not installed; fail if FACEKIT_REQUIRE lists it."""
    require = request.getfixturevalue("require")
    for name in ("google_crc32c", "onnx", "pycocotools", "object_detection"):
        require(name)
    request.getfixturevalue("require_tensorflow")


def records(astronaut: npt.NDArray[Any]) -> list[ImageRecord]:
    """A handful of pictures of one face: parts of the photo, some mirrored."""
    found = []
    for number, (x, y, side) in enumerate([(90, 10, 280), (130, 20, 240), (0, 0, 400)]):
        part = astronaut[y : y + side, x : x + side]
        box = (180.0 - x, 62.0 - y, 272.0 - x, 188.0 - y)
        mirrored = (side - box[2], box[1], side - box[0], box[3])
        for name, picture, face in (
            (f"{number}", part, box),
            (f"{number}m", part[:, ::-1], mirrored),
        ):
            data = encode(np.ascontiguousarray(picture), ".jpg")
            faces = (FaceRecord(box=face),)
            found.append(ImageRecord(name=f"{name}.jpg", data=data, size=(side, side), faces=faces))
    return found


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    # TensorFlow decides once which Keras it has: an interpreter of its own each time.
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def run(
    require_api: None,  # noqa: ARG001 - asks for the packages
    astronaut: npt.NDArray[Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """A run of thirty steps that was cut after twenty, and what was exported of it."""
    folder = tmp_path_factory.mktemp("tfod")
    changes = Changes(input_size=SIDE, batch_size=2, steps=30)
    prepare(folder / "prepared", "tuned", changes, train=lambda: records(astronaut))
    out = folder / "run"
    settings = (f"pipeline={folder / 'prepared'}", "start=tiny_ssd", "steps=20", "threads=1")
    only = ("evaluate=false", "export=false", "checkpoint_every=15")
    changed = [word for one in (*settings, *only) for word in ("--set", one)]
    first = python("-m", "facekit", "train", "tfod:default", "--out", out, *changed)
    later = ("--set", "steps=30", "--set", "evaluate=true", "--set", "export=true")
    second = python("-m", "facekit", "train", out, "--resume", *later)
    python("-c", EXPORT, out, folder, folder / "prepared" / "train.record")
    return {"folder": folder, "out": out, "first": first, "second": second}


def test_a_run_goes_on_where_it_was_cut(run: dict[str, Any]) -> None:
    tensorflow = importlib.import_module("tensorflow")
    assert "tfod: steps 0 to 20" in run["first"].stderr
    assert "tfod: steps 20 to 30" in run["second"].stderr
    newest = tensorflow.train.load_checkpoint(str(run["out"] / "work"))
    assert newest.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE") == 30
    assert "best DetectionBoxes_Precision/mAP@.50IOU" in run["second"].stdout
    assert "\nshim protos: old generated messages" in run["first"].stderr


def test_another_runs_detector_is_what_is_started_from(run: dict[str, Any]) -> None:
    work, again = run["out"] / "work", run["folder"] / "again"
    config = pipeline.read_base(str(again / "pipeline.config"))
    checkpoint = importlib.import_module("tensorflow").train.load_checkpoint
    begun = checkpoint(str(config.get("train_config.fine_tune_checkpoint")).strip('"'))
    before = checkpoint(str(work))
    names = set(begun.get_variable_to_shape_map())
    weights = {name for name in names if name.startswith("model/")}
    # A step, or an optimiser's, would be where the schedule begins.
    assert names - weights == {"save_counter/.ATTRIBUTES/VARIABLE_VALUE", GRAPH}
    kept = {name for name in before.get_variable_to_shape_map() if name.startswith("model/")}
    assert weights == {name for name in kept if ".OPTIMIZER_SLOT" not in name}
    assert all(np.array_equal(begun.get_tensor(one), before.get_tensor(one)) for one in weights)
    assert config.get("train_config.fine_tune_checkpoint_type") == '"full"'


def photo_of(astronaut: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(astronaut[:400, 60:460])


def own_graph(run: dict[str, Any], photo: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    """The SavedModel's answer by TensorFlow's own call."""
    tensorflow = importlib.import_module("tensorflow")
    model = tensorflow.saved_model.load(str(run["out"] / "work" / "saved_model"))
    answer = model.signatures["serving_default"](input_tensor=tensorflow.constant(photo[None]))
    count = int(answer["num_detections"][0])
    found = (answer[f"detection_{name}"].numpy()[0, :count] for name in ("boxes", "scores"))
    return next(found), next(found)


def own_frozen(run: dict[str, Any], photo: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    """The frozen graph's answer in a session of TensorFlow 1."""
    tensorflow = importlib.import_module("tensorflow")
    definition = tensorflow.compat.v1.GraphDef.FromString((run["folder"] / "faces.pb").read_bytes())
    with tensorflow.Graph().as_default() as graph:
        tensorflow.import_graph_def(definition, name="")
        with tensorflow.compat.v1.Session(graph=graph) as session:
            names = ["detection_boxes:0", "detection_scores:0", "num_detections:0"]
            boxes, scores, count = session.run(names, {"image_tensor:0": photo[None]})
    return boxes[0, : int(count[0])], scores[0, : int(count[0])]


def own_lite(path: Path, given: npt.NDArray[Any]) -> tuple[Any, Any]:
    """A TFLite model's answer by the interpreter, to what the detector gives it."""
    lite = importlib.import_module("ai_edge_litert.interpreter").Interpreter(str(path))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], given)
    lite.invoke()
    places = {one["name"]: one["index"] for one in lite.get_output_details()}
    boxes, scores, count = (
        lite.get_tensor(places[f"StatefulPartitionedCall:{place}"])[0] for place in (3, 1, 0)
    )
    # What comes after is left from whatever was in memory.
    return boxes[: int(count)], scores[: int(count)]


def steps_of(path: Path, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The photo by TensorFlow's own resizing as a TFLite model's input, unrounded."""
    tensorflow = importlib.import_module("tensorflow")
    lite = importlib.import_module("ai_edge_litert.interpreter").Interpreter(str(path))
    (scale, zero) = lite.get_input_details()[0]["quantization"]
    small = tensorflow.compat.v1.image.resize_bilinear(photo[None].astype(np.float32), [SIDE, SIDE])
    values: npt.NDArray[np.float64] = small.numpy().astype(np.float64) / 127.5 - 1
    return (values / scale + zero).clip(0, 255) if scale else values


def unmatched(found: tuple[Any, Any], own: tuple[Any, Any], pixels: float, score: float) -> int:
    """How many of the boxes have no partner of the same score among the others, one each.

    Their order says nothing: of 88 boxes of thirty steps' integers 82 share a score with another.
    """
    (boxes, scores), (others, other_scores) = found, own
    free = np.ones(len(others), bool)
    for box, value in zip(boxes, scores, strict=True):
        near = free & (np.abs(other_scores - value) <= score)
        near &= (np.abs(others - box) <= pixels).all(axis=1)
        free[near.argmax()] &= not near.any()
    return len(boxes) - int((~free).sum())


@pytest.mark.parametrize("name", ["saved_model", *EXPORTS])
def test_every_export_is_read_with_tensorflows_own_boxes(
    name: str, run: dict[str, Any], astronaut: npt.NDArray[Any], require: Any
) -> None:
    require("ai_edge_litert")
    photo = photo_of(astronaut)
    place = run["out"] / "work" / name if name == "saved_model" else run["folder"] / name
    detector: Any = facekit.create_detector("tfod", weights=place, score_threshold=0.0)
    (found,) = detector.detect([photo])
    if place.suffix == ".tflite":
        given = detector._prepare([photo])
        # Whole pixel values are half-way between two integers: to which they go is chance.
        half = 0.501 if given.dtype == np.uint8 else 1e-5
        np.testing.assert_allclose(given, steps_of(place, photo), rtol=0, atol=half)
        own, tolerance, spare = own_lite(place, given), 1e-2, 0
    else:
        # Two boxes of nearly one score suppress each other in either order.
        own = (own_graph if name == "saved_model" else own_frozen)(run, photo)
        tolerance, spare = 1e-4, 2
    boxes, scores = own[0][:, [1, 0, 3, 2]] * 400.0, own[1]
    assert len(found) == len(scores) >= 50
    assert (np.diff(found.scores) <= 0).all()
    assert unmatched((found.boxes, found.scores), (boxes, scores), tolerance, 1e-6) <= spare


def before_suppression(path: Path, given: npt.NDArray[Any]) -> tuple[Any, Any]:
    """Every anchor's box, encoded, and its score, as the model's post-processing gets them."""
    lite = importlib.import_module("ai_edge_litert.interpreter").Interpreter(
        str(path), experimental_preserve_all_tensors=True
    )
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], given)
    lite.invoke()
    (last,) = (
        one for one in lite._get_ops_details() if one["op_name"] == "TFLite_Detection_PostProcess"
    )
    boxes, scores, _ = (lite.get_tensor(index)[0] for index in last["inputs"])
    return boxes, scores[:, 1]


def test_the_exports_of_one_checkpoint_agree(
    run: dict[str, Any], astronaut: npt.NDArray[Any], require: Any
) -> None:
    require("ai_edge_litert")
    photo = photo_of(astronaut)
    own = own_graph(run, photo)
    assert unmatched(own_frozen(run, photo), own, 1e-6, 1e-6) <= 5
    place = run["folder"] / "faces.tflite"
    detector: Any = facekit.create_detector("tfod", weights=place)
    boxes, scores = own_lite(place, detector._prepare([photo]))
    # TFLite's post-processing leaves boxes where they leave the image.
    best = np.argsort(-scores, kind="stable")[:20]
    assert unmatched((boxes[best].clip(0, 1), scores[best]), own, 1e-4, 1e-5) <= 3


# What is between the layers is wanted, so it is kept.
@pytest.mark.filterwarnings("ignore:.*Enabling `experimental_preserve_all_tensors`:UserWarning")
def test_integers_say_what_floats_say(
    run: dict[str, Any], astronaut: npt.NDArray[Any], require: Any
) -> None:
    """Before suppression: scores of integers tie, and of two boxes that tie either one survives."""
    require("ai_edge_litert")
    answers = []
    for name in ("faces.tflite", "faces_int8.tflite"):
        detector: Any = facekit.create_detector("tfod", weights=run["folder"] / name)
        given = detector._prepare([photo_of(astronaut)])
        answers.append(before_suppression(run["folder"] / name, given))
    (boxes, scores), (rough_boxes, rough_scores) = answers
    assert len(scores) == len(rough_scores) > 100
    # How far a step of integers moves them depends on what thirty steps of training came to.
    assert np.corrcoef(scores, rough_scores)[0, 1] > 0.97
    assert np.corrcoef(boxes.ravel(), rough_boxes.ravel())[0, 1] > 0.99
    assert np.abs(boxes - rough_boxes).mean() < 0.1 * np.abs(boxes).mean()


def test_a_checkpoint_is_exported_for_another_size(
    run: dict[str, Any], astronaut: npt.NDArray[Any], require: Any
) -> None:
    require("ai_edge_litert")
    place = run["folder"] / "small.tflite"
    detector: Any = facekit.create_detector("tfod", weights=place, score_threshold=0.0)
    assert detector._graph.image.shape == (1, 128, 128, 3)
    (found,) = detector.detect([photo_of(astronaut)])
    boxes, scores = own_lite(place, detector._prepare([photo_of(astronaut)]))
    assert len(found) == len(scores) > 0
    assert (
        unmatched((found.boxes, found.scores), (boxes[:, [1, 0, 3, 2]] * 400.0, scores), 1e-2, 1e-6)
        == 0
    )


def test_weights_to_start_from_must_be_the_tiny_ssds(require: Any) -> None:
    require("onnx")
    start = importlib.import_module("facekit.training.tfod.start")
    layers = start.first_layers(resolve("tiny_ssd", default="tiny_ssd"))
    assert layers[0][0].shape == (3, 3, 3, 24)
    assert layers[1][0].shape == (3, 3, 1, 24), "the second is depthwise"
    with pytest.raises(WeightsError, match=r"no backbone\.features"):
        start.first_layers(resolve("resnet18", default="resnet18"))
    with pytest.raises(WeightsError, match=r"use a width of 0\.75"):
        start._embedded(np.zeros((1, 1, 4, 4), np.float32), layers[2][0], depthwise=False)
