"""The recipe ``tf_models`` with the real package: a run cut and gone on with, its export loaded."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit import datasets
from facekit.datasets import FaceRecord, ImageRecord
from facekit.datasets.tf_example import read_frames
from facekit.errors import ConfigError, FacekitError
from facekit.images import encode
from facekit.training import recipes, train

# As small as it still is a pyramid: tracing it takes longer than its steps.
SMALL = {
    "input_size": 128,
    "levels": [3, 5],
    "anchor_size": 3.0,
    "anchor_scales": 1,
    "backbone_width": 0.35,
    "filters": 16,
    "convolutions": 1,
    "batch_size": 4,
    "learning_rate": 0.003,
    "score_threshold": 0.0,
    "threads": 1,
}


# TensorFlow's and the package's, of themselves and of each other.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def require_package(request: pytest.FixtureRequest) -> None:
    """Skip where the package or what it needs is not installed; fail if FACEKIT_REQUIRE says so."""
    require = request.getfixturevalue("require")
    # A package that is missing is to be told before TensorFlow is imported.
    for name in sorted(("google_crc32c", *recipes.FOREIGN["tf_models"].packages)):
        if importlib.util.find_spec(name) is None:
            require(name)
    importlib.import_module("facekit.training.tf_models.recipe")


def part(astronaut: npt.NDArray[Any], x: int, y: int, side: int) -> ImageRecord:
    """A square part of the photo, with its face."""
    data = encode(np.ascontiguousarray(astronaut[y : y + side, x : x + side]), ".png")
    face = FaceRecord(box=(180.0 - x, 62.0 - y, 272.0 - x, 188.0 - y))
    return ImageRecord(name=f"{x}.png", data=data, size=(side, side), faces=(face,))


class Cut(logging.Handler):
    """Ctrl-C after the tenth step; and what was said."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said: list[str] = []
        self.after = "step 10:"

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if self.after and self.said[-1].startswith(self.after):
            self.after = ""
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def run(astronaut: npt.NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run of twenty-four steps that was cut after ten, gone on with and exported."""
    folder = tmp_path_factory.mktemp("tf_models")
    photos = [part(astronaut, *place) for place in ((90, 10, 280), (130, 20, 240), (0, 0, 400))]
    place = folder / "train.record"
    datasets.write(photos, f"tfrecord:{place}", labels=["face"])
    config = {**SMALL, "recipe": "tf_models", "records": str(place), "steps": 24, "seed": 1}
    config |= {"validation": str(place), "out": str(folder / "run")}
    cut, logger = Cut(), logging.getLogger("facekit.training")
    level = logger.level
    logger.addHandler(cut)
    logger.setLevel(logging.INFO)
    try:
        first = train(config)
        kept = weights(folder / "run" / "work")
        second = train(config, resume=True)
    finally:
        logger.removeHandler(cut)
        logger.setLevel(level)
    said = cut.said
    return {"config": config, "first": first, "second": second, "kept": kept, "said": said}


def weights(work: Path) -> dict[str, npt.NDArray[Any]]:
    """The kernels of a folder's newest checkpoint."""
    tensorflow = importlib.import_module("tensorflow")
    reader = tensorflow.train.load_checkpoint(str(work))
    names = [name for name in reader.get_variable_to_shape_map() if "optimizer" not in name.lower()]
    kernels = [name for name in names if "kernel/.ATTRIBUTES/VARIABLE_VALUE" in name]
    return {name: reader.get_tensor(name) for name in kernels}


def test_a_run_goes_on_where_it_was_cut(run: dict[str, Any]) -> None:
    first, second, said = run["first"], run["second"], run["said"]
    assert (first.step, first.interrupted, first.weights) == (10, True, None)
    assert (second.step, second.interrupted, second.monitor) == (24, False, "AP50")
    steps = [line.split(":")[0] for line in said if line.startswith(("step", "tf_models"))]
    assert steps == ["tf_models", "step 10", "tf_models", "step 20", "step 24"]
    assert "tf_models: steps 10 to 24" in "\n".join(said)
    kept, after = run["kept"], weights(second.folder.work)
    assert kept.keys() == after.keys()
    assert len(kept) > 50
    assert sum(not np.array_equal(kept[name], after[name]) for name in kept) > len(kept) / 2
    # A loss of ten steps, of the first and of the last.
    losses = [float(found) for line in said for found in re.findall(r"loss ([\d.]+)", line)]
    assert losses[-1] < losses[0]
    assert math.isfinite(second.best)
    assert second.metrics["loss"] == pytest.approx(losses[-1], abs=1e-3)


def test_a_run_that_is_over_is_told(run: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="all 24 steps are over: give more steps"):
        train(run["config"], resume=True)


def test_the_export_is_read_with_tensorflows_own_boxes(
    run: dict[str, Any], astronaut: npt.NDArray[Any]
) -> None:
    tensorflow = importlib.import_module("tensorflow")
    photo = np.ascontiguousarray(astronaut[:400, 60:400])
    place = run["second"].weights
    detector: Any = facekit.create_detector(
        "tfod", weights=place, score_threshold=0.0, batch_size=2
    )
    assert detector.class_names == ("face",)
    pair = [photo, np.ascontiguousarray(photo[:, ::-1])]
    model = tensorflow.saved_model.load(str(place))
    answer = model.signatures["serving_default"](inputs=tensorflow.constant(np.stack(pair)))
    own = {name: tensor.numpy() for name, tensor in answer.items()}
    for i, found in enumerate(detector.detect(pair)):
        count = int(own["num_detections"][i])
        assert set(own["detection_classes"][i, :count]) == {1}, "0 is the background"
        # 400 rows became 128 pixels, and 340 columns 108.8: 109.
        scale = np.tile([340 / 109, 400 / 128], 2)
        boxes = own["detection_boxes"][i, :count][:, [1, 0, 3, 2]] * scale
        assert len(found) == count >= 50
        np.testing.assert_allclose(found.scores, own["detection_scores"][i, :count], atol=1e-6)
        np.testing.assert_allclose(found.boxes, boxes, rtol=0, atol=1e-4)
    assert not np.array_equal(own["detection_scores"][0], own["detection_scores"][1])


def test_the_packages_own_decoder_reads_the_records(
    astronaut: npt.NDArray[Any], tmp_path: Path
) -> None:
    kind = importlib.import_module("official.vision.dataloaders.tf_example_decoder")
    whole = part(astronaut, 0, 0, 400)
    ignored = FaceRecord(box=(300.0, 100.0, 340.0, 150.0), ignore=True)
    grey = encode(np.ascontiguousarray(astronaut[:200, :300, 1]), ".jpg")
    photos = [
        ImageRecord(name="a.png", data=whole.data, size=(400, 400), faces=(*whole.faces, ignored)),
        ImageRecord(name="b.jpg", data=grey, size=(200, 300)),
    ]
    place = tmp_path / "two.record"
    datasets.write(photos, f"tfrecord:{place}", labels=["face"])
    decoder = kind.TfExampleDecoder(regenerate_source_id=True)
    first, second = (decoder.decode(frame) for frame in read_frames(place))
    np.testing.assert_array_equal(first["image"].numpy(), astronaut[:400, :400])
    boxes = first["groundtruth_boxes"].numpy() * 400
    np.testing.assert_allclose(boxes, [[62, 180, 188, 272], [100, 300, 150, 340]], atol=1e-3)
    assert first["groundtruth_classes"].numpy().tolist() == [1, 1]
    assert first["groundtruth_is_crowd"].numpy().tolist() == [False, True]
    assert first["groundtruth_area"].numpy() == pytest.approx([126 * 92, 50 * 40], rel=1e-4)
    assert second["image"].shape == (200, 300, 3)
    assert second["groundtruth_boxes"].shape == (0, 4)
    assert int(first["source_id"]) != int(second["source_id"])


def made(folder: Path, astronaut: npt.NDArray[Any]) -> Path:
    place = folder / "train.record"
    datasets.write([part(astronaut, 0, 0, 400)], f"tfrecord:{place}", labels=["face"])
    return place


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"records": "nothing.record"}, r"records: no such file: nothing\.record; write it by"),
        ({"validation": "nothing"}, "validation: no such file: nothing; write it by"),
        ({"validation": "empty"}, "validation: .*empty: holds no photos"),
        ({"records": "text"}, "text"),
        ({"label_map": "nothing"}, "label_map: no such file: nothing"),
        ({"label_map": "empty"}, "label_map: empty: names no class"),
        ({"levels": [5, 3]}, r"levels: expected two from 2 to 7 in order, got \(5, 3\)"),
        ({"levels": [3, 6]}, "a multiple of 64, the stride of level 6, got 224: give 256, or end "),
        ({"zoom": [0, 1]}, r"zoom: expected two factors in order, got \(0\.0, 1\.0\)"),
        ({"steps": 0}, "steps: Input should be greater than or equal to 1"),
        ({"stepps": 1}, "unknown option 'stepps', did you mean 'steps'"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(
    astronaut: npt.NDArray[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no record, but a text of some length")
    config = {"recipe": "tf_models", "records": str(made(tmp_path, astronaut)), "out": "run"}
    with pytest.raises(FacekitError, match=message) as caught:
        train({**config, **changes})
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_labels_and_shards_are_found_beside_the_records(
    astronaut: npt.NDArray[Any], tmp_path: Path
) -> None:
    recipe = importlib.import_module("facekit.training.tf_models.recipe")
    place = tmp_path / "train.record"
    photos = [part(astronaut, 0, 0, 400)] * 2
    datasets.write(photos, f"tfrecord:{place}", labels=["rocket", "face"], shards=2)
    found = recipe.TfModels(recipe.TfModelsOptions(records=place))
    assert found._labels == {1: "rocket", 2: "face"}
    names = [file.name for file in found._train]
    assert names == [f"train.record-0000{number}-of-00002" for number in range(2)]
    settings = found._settings(seed=3)
    experiment = importlib.import_module("facekit.training.tf_models.loop").configured(settings)
    assert experiment.task.model.num_classes == 3, "and the background"
    assert experiment.task.train_data.input_path == [str(file) for file in found._train]
    assert experiment.trainer.optimizer_config.warmup.linear.warmup_steps == 500
    (tmp_path / "label_map.pbtxt").unlink()
    alone = recipe.TfModels(recipe.TfModelsOptions(records=place))
    assert alone._labels == {1: "face"}
