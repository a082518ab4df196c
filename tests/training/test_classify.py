"""The recipe ``classify``, from a CSV to a classifier that an analyzer uses."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import Detections, FaceAnalyzer, create_classifier
from facekit.errors import ConfigError, DatasetError, WeightsError
from facekit.images import write

Image = npt.NDArray[np.uint8]
Run = Callable[..., Any]

WIDTH = 1 / 32


@pytest.fixture
def detector(training: None, tmp_path: Path) -> Path:  # noqa: ARG001 - asks for the packages
    """A checkpoint of the detector, seeded and narrow."""
    import torch
    from safetensors.torch import save_file

    from facekit.networks.s3fd import S3FD

    torch.manual_seed(3)
    network = S3FD(WIDTH)
    network.reset_parameters()
    path = tmp_path / "detector.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def faces(tmp_path: Path, astronaut: Image) -> Path:
    """A CSV of 24 photos of one face under warm, cool or plain light."""
    random = np.random.default_rng(0)
    folder = tmp_path / "faces"
    folder.mkdir()
    rows = ["Image_Name,x,y,w,h,light,tags"]
    gains = {"warm": (1.25, 1.0, 0.6), "cool": (0.6, 1.0, 1.25), "plain": (1.0, 1.0, 1.0)}
    tags = {"warm": "tinted red", "cool": "tinted", "plain": ""}
    for number in range(24):
        light = ("warm", "cool", "plain")[number % 3]
        left, top = random.integers(0, 40, 2)
        part = astronaut[top + 20 : top + 220, left + 110 : left + 310]
        photo = np.clip(part * np.array(gains[light]) * random.uniform(0.9, 1.1), 0, 255)
        write(folder / f"{number}.png", photo.astype(np.uint8))
        box = f"{70 - left},{46 - top},91,112"
        rows.append(f"{number}.png,{box},{light},{tags[light]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


@pytest.fixture
def run(detector: Path, faces: Path, tmp_path: Path) -> Run:
    """Train on the CPU for a few steps; keywords change the configuration."""

    def train(folder: str = "run", **changes: Any) -> Any:
        from facekit.training import train as trained

        values: dict[str, Any] = {
            "recipe": "classify",
            "data": str(faces),
            "label": "light",
            "weights": str(detector),
            "input_size": 64,
            # Random convolutions see light best while there are still many cells.
            "layer": "conv4_3",
            "head": "average",
            "sheets": False,
            "validate_every": 5,
            "held_out": 0.25,
            "crop_scale": 1.2,
            "epochs": 15,
            "batch_size": 9,
            "workers": 0,
            "accelerator": "cpu",
            "optimizer": {"lr": 0.01},
            "out": str(tmp_path / folder),
        }
        return trained({**values, **changes})

    return train


def face(box: Sequence[float], side: int) -> Detections:
    """One face in a square image."""
    boxes, scores = np.array([box], np.float32), np.ones(1, np.float32)
    return Detections(boxes=boxes, scores=scores, image_size=(side, side))


def tensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    loaded: dict[str, Any] = load_file(path)
    return loaded


def test_it_learns_and_leaves_the_trunk_as_it_was(run: Run, detector: Path) -> None:
    import torch

    result = run()
    assert result.metrics["balanced_accuracy"] == 1
    assert result.metrics["accuracy"] == 1
    before, after = tensors(detector), tensors(result.folder.last)
    head = {"fc_1.weight", "fc_1.bias", "standard_1.mean", "standard_1.deviation"}
    assert set(after) - set(before) == head
    for name in set(after) & set(before):
        assert torch.equal(after[name], before[name]), name
    assert after["fc_1.weight"].shape == (3, 16)  # a 32nd of conv4_3's channels


def test_the_kept_model_answers_as_the_trained_one(run: Run, faces: Path) -> None:
    """From a photo through the file to the measure's own number."""
    result = run(held_out=0, validation=str(faces))
    classifier = create_classifier("s3fd", weights=result.folder.last)
    assert classifier.labels == ("cool", "plain", "warm")
    right = 0
    for number in range(24):
        row = faces.read_text().splitlines()[number + 1].split(",")
        x, y, w, h = map(float, row[1:5])
        found = face((x, y, x + w, y + h), 200)
        answer = classifier.classify([faces.parent / row[0]], [found])[0]
        right += answer.best() == [row[5]]
    assert right / 24 == pytest.approx(result.metrics["accuracy"])
    config = {
        "landmarker": None,
        "classifiers": [{"backend": "s3fd", "weights": str(result.folder.last)}],
    }
    seen = FaceAnalyzer.from_config(config)(faces.parent / "0.png")
    assert seen.classifications["s3fd"].best() == ["warm"]


def test_head_by_head_and_layer_by_layer(run: Run) -> None:
    for head, layer in (
        ("convolution", "fc7"),
        ("average", "conv4_3"),
        ("maximum", "conv6_2"),
        ("fired", "conv5_3"),
        ("linear", "fc7_mbox"),
    ):
        result = run(f"{head}_{layer}", head=head, layer=layer, epochs=2)
        classifier = create_classifier("s3fd", weights=result.folder.last)
        photo = np.full((80, 80, 3), 90, np.uint8)
        found = face((5, 5, 70, 70), 80)
        assert classifier.classify([photo], [found])[0].scores.shape == (1, 3)


def test_several_labels_a_face(run: Run) -> None:
    result = run(label="tags", multi_label=True, epochs=40)
    assert result.metrics["balanced_accuracy"] > 0.9
    classifier = create_classifier("s3fd", weights=result.folder.last)
    assert classifier.labels == ("red", "tinted")


def test_the_tutorials_loss_falls(run: Run) -> None:
    result = run(loss="softmax_mse", standardise=False, optimizer={"lr": 0.001})
    with result.folder.log.open() as log:
        losses = [float(row["loss"]) for row in csv.DictReader(log)]
    assert losses[-1] < losses[0]


def test_tutorials_preset_is_the_tutorials() -> None:
    from facekit.training.sources import read_config

    config = read_config("classify:tutorial")
    assert (config.optimizer.name, config.optimizer.lr) == ("sgd", 1e-4)
    assert config.optimizer.momentum == 0.9
    assert config.options["loss"] == "softmax_mse"
    assert config.keep_every == 10


def test_features_kept_are_those_that_are_computed_anew(run: Run) -> None:
    kept, anew = (
        run(folder, cache_features=cached, epochs=3)
        for folder, cached in (("a", True), ("b", False))
    )
    one, two = (tensors(result.folder.last) for result in (kept, anew))
    np.testing.assert_allclose(one["fc_1.weight"], two["fc_1.weight"], rtol=0, atol=1e-4)


def test_views_vary(faces: Path, detector: Path) -> None:
    from facekit.training.classify.options import ClassifyOptions
    from facekit.training.classify.recipe import Classify
    from facekit.training.keys import ItemKey

    options = ClassifyOptions(
        data=str(faces),
        label="light",
        weights=detector,
        input_size=64,
        views=3,
        shift=0.1,
        colour=0.2,
    )
    items = Classify(options).train_items()
    seen = [items[ItemKey(0, epoch, 0)]["features"] for epoch in range(12)]
    different = {tuple(one.flatten().tolist()) for one in seen}
    assert len(different) == 3


def test_crops_that_a_detector_makes(run: Run) -> None:
    result = run(crop="detector", epochs=30)
    assert result.metrics["balanced_accuracy"] > 0.6


def test_classes_are_weighed(run: Run) -> None:
    even = run("even", class_weights="balanced", epochs=1)
    uneven = run("uneven", class_weights={"warm": 50}, epochs=1)
    one, two = (tensors(result.folder.last)["fc_1.bias"] for result in (even, uneven))
    assert two[2] - two[0] > one[2] - one[0]
    with pytest.raises(ConfigError, match=r"class_weights: no label 'hot'"):
        run("wrong", class_weights={"hot": 2})


def test_a_checkpoint_every_so_often_and_the_state_beside_it(run: Run) -> None:
    result = run(epochs=4, keep_every=2, validate_every=1)
    kept = sorted(path.name for path in (result.folder.path / "kept").glob("*.safetensors"))
    assert kept == ["epoch_002.safetensors", "epoch_004.safetensors"]
    facts = json.loads((result.folder.path / "kept" / "epoch_002.json").read_text())
    assert facts["epoch"] == 2
    assert facts["metrics"]["loss"] > 0
    assert any(name.startswith("optimizer.") for name in tensors(result.folder.state))


def test_the_published_shapes(training: None, tmp_path: Path, faces: Path) -> None:  # noqa: ARG001
    import torch
    from safetensors.torch import save_file

    from facekit.networks.s3fd import S3FD
    from facekit.training.classify.options import ClassifyOptions
    from facekit.training.classify.recipe import Classify

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in S3FD().state_dict().items()}
    path = tmp_path / "full.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    network = Classify(ClassifyOptions(data=str(faces), label="light", weights=path)).network()
    trained = {name: tuple(p.shape) for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"fc_1.weight": (3, 2304), "fc_1.bias": (3,)}


def test_wrong_checkpoints_are_one_line(run: Run, detector: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = tensors(detector)
    other = tmp_path / "other.safetensors"
    save_file({"model.conv1.weight": state["conv1_1.weight"]}, other)
    with pytest.raises(WeightsError, match=r"has no conv1_1\.weight: .*detector 's3fd'"):
        run(weights=str(other))
    cut = tmp_path / "cut.safetensors"
    save_file({name: value for name, value in state.items() if "conv3_1" not in name}, cut)
    with pytest.raises(WeightsError, match=r"2 \(conv3_1\.weight, .*missing or of another shape"):
        run(weights=str(cut))
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        run(weights=str(tmp_path / "none.safetensors"))


def test_what_is_taken_over_is_listed(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="facekit.training"):
        run(epochs=1)
    (line,) = [one for one in caplog.messages if "taken over" in one]
    own = "standard_1.mean, standard_1.deviation, fc_1.weight, fc_1.bias"
    assert f"21 tensors taken over, 4 ({own}) drawn afresh" in line
    assert "left out" in line


def test_bad_data_is_one_line(run: Run, faces: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"labels\.csv:1: has no column 'lihgt', did you mean"):
        run(label="lihgt")
    other = faces.with_name("test.csv")
    other.write_text("Image_Name,light\n0.png,warm\n1.png,green\n")
    with pytest.raises(DatasetError, match=r"test\.csv:3: the label 'green' is in no row"):
        run(validation=str(other))
    other.write_text("Image_Name,light\n0.png,warm\n99.png,cool\n")
    with pytest.raises(DatasetError, match=r"test\.csv:3: names the image '99\.png', which"):
        run(validation=str(other))
    other.write_text("Image_Name,light\n0.png,warm\n1.png,warm\n")
    with pytest.raises(ConfigError, match=r"column 'light' has one label only: warm"):
        run(data=str(other), held_out=0)
    with pytest.raises(ConfigError, match=r"crop: box, but .*test\.csv has no boxes"):
        run(data=str(other), held_out=0, crop="box", label="Image_Name")
    assert not (tmp_path / "run").exists()


def test_a_sheet_is_written(run: Run) -> None:
    result = run(epochs=1, optimizer={"lr": 1e-9}, sheets=True)
    (sheet,) = (result.folder.path / "sheets").glob("*.jpg")
    from facekit.images import read

    picture = read(sheet)
    assert picture.shape[0] >= 140 + 3 * 56


def test_layers_are_compared_by_face_scale(faces: Path, detector: Path) -> None:
    from facekit.training.classify.layers import compare_layers
    from facekit.training.classify.options import ClassifyOptions

    options = ClassifyOptions(
        data=str(faces), label="light", weights=detector, input_size=64, head="average"
    )
    table = compare_layers(options, faces=(32, 64), layers=("conv4_3", "fc7_mbox", "conv7_2"))
    assert list(table) == ["conv4_3", "fc7_mbox", "conv7_2"]
    assert all(set(row) == {32, 64} for row in table.values())
    assert all(0 <= value <= 1 for row in table.values() for value in row.values())
    assert table["conv4_3"][64] > 0.6
