"""The S3FD classifier: what it wants of weights, what it shows its network, and its place."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from typer.testing import CliRunner, Result

from facekit import Detections, FaceAnalyzer, create_classifier, draw_faces, write_image
from facekit.classifiers.s3fd import prepare
from facekit.cli.app import app
from facekit.errors import ConfigError, WeightsError

NETWORKS = Path(__file__).parents[1] / "data" / "networks"
WEIGHTS = NETWORKS / "s3fd_classifier.onnx"
LABELS = ("bare", "masked", "hidden")

Require = Callable[[str], Any]
Image = npt.NDArray[np.uint8]


def facekit(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def seeded_module() -> ModuleType:
    """The script that made the weights, as a module."""
    spec = importlib.util.spec_from_file_location("seeded", NETWORKS / "make_s3fd_classifier.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def whole(image: Image, scale: float = 1.0) -> Detections:
    """One face in the middle of a square image, which a crop of that scale fills."""
    side = image.shape[0]
    low, high = side / 2 * (1 - 1 / scale), side / 2 * (1 + 1 / scale)
    boxes, scores = np.array([[low, low, high, high]], np.float32), np.ones(1, np.float32)
    return Detections(boxes=boxes, scores=scores, image_size=(side, side))


def stated(path: Path, require: Require, **metadata: str | None) -> Path:
    """The weights with other metadata."""
    onnx = require("onnx")
    model = onnx.load(WEIGHTS)
    known = {item.key: item.value for item in model.metadata_props}
    known |= {f"facekit.{key}": value for key, value in metadata.items() if value is not None}
    for key in (key for key, value in metadata.items() if value is None):
        del known[f"facekit.{key}"]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, known)
    onnx.save(model, path)
    return path


def test_it_needs_weights() -> None:
    with pytest.raises(WeightsError, match=r"classifier 's3fd': needs weights.*facekit train"):
        create_classifier("s3fd")


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (NETWORKS / "pooled.onnx", "names no labels in its metadata"),
        (NETWORKS / "sum_difference.onnx", "weights of another network"),
        (NETWORKS / "none.onnx", "no such file"),
    ],
)
def test_wrong_weights_are_refused_in_one_line(weights: Path, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        create_classifier("s3fd", weights=weights)
    assert "\n" not in str(caught.value)


def test_onnxruntime_is_not_made_fast() -> None:
    with pytest.raises(ConfigError, match="than its own: leave out `fast`"):
        create_classifier("s3fd", weights=WEIGHTS, fast=True)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"labels": "bare, masked"}, "names no labels"),
        ({"labels": '["", "b", "c"]'}, "names no labels"),
        ({"labels": "[]"}, "names no labels"),
        ({"crop_scale": "wide"}, "facekit.crop_scale is not a positive number: 'wide'"),
        ({"input_size": "-1"}, "facekit.input_size is not a positive number: '-1'"),
    ],
)
def test_metadata_that_make_no_sense_are_told(
    metadata: dict[str, str], reason: str, require: Require, tmp_path: Path
) -> None:
    path = stated(tmp_path / "w.onnx", require, **metadata)
    with pytest.raises(WeightsError, match=reason):
        create_classifier("s3fd", weights=path)


def test_more_labels_than_the_network_has_are_told(
    require: Require, tmp_path: Path, astronaut: Image
) -> None:
    path = stated(tmp_path / "w.onnx", require, labels=json.dumps([*LABELS, "veiled"]))
    classifier = create_classifier("s3fd", weights=path)
    with pytest.raises(WeightsError, match=r"names 4 labels, but its network gives \(3,\)"):
        classifier.classify([astronaut], [whole(astronaut)])


def test_several_labels_are_each_their_own_question(
    require: Require, tmp_path: Path, astronaut: Image
) -> None:
    one = create_classifier("s3fd", weights=WEIGHTS)
    several = create_classifier(
        "s3fd", weights=stated(tmp_path / "w.onnx", require, multi_label="true")
    )
    (exclusive,) = one.classify([astronaut], [whole(astronaut)])[0].scores.astype(float)
    (independent,) = several.classify([astronaut], [whole(astronaut)])[0].scores.astype(float)
    assert independent.sum() != pytest.approx(1, abs=0.01)
    # Both are of the same logits: differences of logits are ratios of softmax.
    logits = np.log(independent / (1 - independent))
    np.testing.assert_allclose(
        logits - logits[0], np.log(exclusive / exclusive[0]), rtol=0, atol=1e-4
    )


def test_the_network_sees_bgr_minus_the_mean() -> None:
    orange = np.full((256, 256, 3), (250, 120, 10), np.uint8)
    batch = prepare([orange])
    assert batch.shape == (1, 3, 256, 256)
    assert batch[0, :, 7, 9].tolist() == [10 - 104, 120 - 117, 250 - 123]


def test_scores_are_those_of_the_torch_module(require: Require, astronaut: Image) -> None:
    """Against the module itself, fed by hand: no resampling, the crop is the image."""
    require("torch")
    import torch

    photo = np.ascontiguousarray(astronaut[:256, 100:356])
    network = seeded_module().seeded()
    planes = torch.from_numpy(photo[:, :, ::-1].astype(np.float32).copy()).permute(2, 0, 1)
    with torch.no_grad():
        logits = network((planes - torch.tensor([104.0, 117, 123]).view(3, 1, 1))[None])
    want = logits.softmax(dim=1)[0].numpy()
    classifier = create_classifier("s3fd", weights=WEIGHTS)
    found = classifier.classify([photo], [whole(photo, 1.25)])[0]
    np.testing.assert_allclose(found.scores[0], want, rtol=0, atol=1e-5)


def test_engines_agree(require: Require, tmp_path: Path, astronaut: Image) -> None:
    require("torch")
    require("openvino")
    safetensors = require("safetensors.torch")
    network = seeded_module().seeded()
    trained = tmp_path / "trained.safetensors"
    safetensors.save_file(network.state_dict(), trained, network.metadata)
    found = [
        create_classifier("s3fd", weights=path, engine=engine).classify(
            [astronaut], [whole(astronaut)]
        )[0]
        for path, engine in ((trained, None), (WEIGHTS, None), (WEIGHTS, "openvino"))
    ]
    assert {one.labels for one in found} == {LABELS}
    for other in found[1:]:
        np.testing.assert_allclose(other.scores, found[0].scores, rtol=0, atol=1e-5)


def test_export_keeps_labels_size_and_answers(
    require: Require, tmp_path: Path, astronaut: Image
) -> None:
    for package in ("torch", "onnx", "onnxscript", "openvino"):
        require(package)
    safetensors = require("safetensors.torch")
    network = seeded_module().seeded(input_size=96, head="fired", layer="fc7")
    trained = tmp_path / "trained.safetensors"
    safetensors.save_file(network.state_dict(), trained, network.metadata)
    want = create_classifier("s3fd", weights=trained).classify([astronaut], [whole(astronaut)])
    for name in ("out.onnx", "out.xml"):
        target = tmp_path / name
        assert facekit("export", "s3fd", trained, target, "--role", "classifier").exit_code == 0
        classifier = create_classifier("s3fd", weights=target)
        found = classifier.classify([astronaut], [whole(astronaut)])
        assert found[0].labels == LABELS
        np.testing.assert_allclose(found[0].scores, want[0].scores, rtol=0, atol=1e-5)


def test_detect_crop_classify_in_one_analyzer(tmp_path: Path, astronaut: Image) -> None:
    config = tmp_path / "facekit.yaml"
    part = {"backend": "s3fd", "weights": str(WEIGHTS)}
    config.write_text(yaml.safe_dump({"classifiers": [part, part]}))
    faces = FaceAnalyzer.from_config(config)(astronaut)
    assert len(faces) == 1
    assert set(faces.classifications) == {"s3fd", "s3fd_2"}
    by_hand = create_classifier("s3fd", weights=WEIGHTS).classify([astronaut], [faces.detections])
    assert faces.classifications["s3fd"] == by_hand[0]
    (record,) = faces.to_dict()["faces"]
    assert set(record["classifications"]["s3fd"]) == set(LABELS)
    bare = faces.replace(classifications={})
    assert not np.array_equal(draw_faces(astronaut, faces), draw_faces(astronaut, bare))


def test_the_command_line_writes_labels(tmp_path: Path, astronaut: Image) -> None:
    photo, config, out = (tmp_path / name for name in ("photo.png", "facekit.yaml", "out.json"))
    write_image(photo, astronaut)
    config.write_text(
        yaml.safe_dump({"classifiers": [{"backend": "s3fd", "weights": str(WEIGHTS)}]})
    )
    assert facekit("detect", photo, "--config", config, "--json", out).exit_code == 0
    (record,) = json.loads(out.read_text())["images"]
    scores = record["faces"][0]["classifications"]["s3fd"]
    assert sum(scores.values()) == pytest.approx(1, abs=1e-3)


def test_a_config_with_wrong_weights_is_one_line(tmp_path: Path, astronaut: Image) -> None:
    photo, config = tmp_path / "photo.png", tmp_path / "facekit.yaml"
    write_image(photo, astronaut)
    wrong = {"backend": "s3fd", "weights": str(NETWORKS / "pooled.onnx")}
    config.write_text(yaml.safe_dump({"classifiers": [wrong]}))
    result = facekit("detect", photo, "--config", config)
    assert result.exit_code == 2
    assert "names no labels" in result.stderr
    assert "Traceback" not in result.stderr
