"""The recipe: presets, learning, and weights that the landmarker runs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facekit import datasets, images
from facekit.datasets import FaceRecord, ImageRecord
from facekit.landmarkers.resnet18 import ResNet18
from facekit.types import Detections

pytestmark = pytest.mark.usefixtures("training")

Array = npt.NDArray[Any]

SQUARE = (175.0, 82.0, 274.0, 181.0)
"""The square around the points of the astronaut's face, pixels."""


@pytest.fixture(scope="module")
def points(astronaut: Array) -> Array:
    """The 68 points of the astronaut's face, as the shipped weights place them."""
    found = Detections(
        boxes=np.array([SQUARE], np.float32),
        scores=np.ones(1, np.float32),
        image_size=astronaut.shape[:2],
    )
    return np.array(ResNet18().locate([astronaut], [found])[0].points[0])


@pytest.fixture(scope="module")
def eight(astronaut: Array, points: Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos: the astronaut turned and moved, with her points."""
    folder = tmp_path_factory.mktemp("eight")
    records = []
    for number in range(8):
        turn = cv2.getRotationMatrix2D((224.0, 130.0), 8.0 * (number - 3.5), 0.9 + 0.03 * number)
        turned = cv2.warpAffine(np.array(astronaut), turn, (448, 260))
        images.write(folder / f"{number}.png", np.asarray(turned, dtype=np.uint8))
        moved = points @ turn[:, :2].T + turn[:, 2]
        low, high = moved.min(0), moved.max(0)
        face = FaceRecord(
            box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            landmarks=tuple((float(x), float(y)) for x, y in moved),
            scheme="ibug68",
        )
        records.append(ImageRecord(name=f"{number}.png", size=(260, 448), faces=(face,)))
    datasets.write(records, f"coco:{folder / 'eight.json'}")
    return folder


def source(folder: Path) -> dict[str, str]:
    return {"dataset": f"coco:{folder / 'eight.json'}", "images": str(folder)}


def run(out: Path, **changes: Any) -> Any:
    from facekit.training import train

    values = {"recipe": "landmarks", "workers": 0, "accelerator": "cpu", "out": str(out)}
    return train(values | changes)


def test_the_tutorial_preset_is_the_tutorials() -> None:
    from facekit.training.sources import read_config

    config = read_config("landmarks:tutorial")
    assert config.epochs is not None
    assert config.epochs >= 20
    assert (config.optimizer.name, config.optimizer.lr) == ("adam", 1e-4)
    assert config.optimizer.weight_decay == 0
    assert config.schedule.kind == "constant"
    assert config.ema is None
    options = config.options
    assert options["augmentation"] == "tutorial"
    jitter = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1, "degrees": 10}
    assert options["tutorial"] == jitter
    assert options["loss"] == "mse"
    assert options["light"] is None
    assert options["crop_scale"] == 1


@pytest.mark.parametrize("preset", ["tutorial", "default", "finetune", "gpu"])
def test_presets_are_options_of_the_recipe(preset: str, eight: Path) -> None:
    from facekit.training.keys import ItemKey
    from facekit.training.landmarks.recipe import Landmarks
    from facekit.training.sources import read_config

    options = read_config(f"landmarks:{preset}").options
    recipe = Landmarks(Landmarks.Options(**options, data=source(eight)))
    item = recipe.train_items()[ItemKey(0, 0, 0, progress=1.0)]
    side = 224 // options.get("shrink", 1)
    assert item["image"].shape == (1, side, side)
    assert item["points"].shape == (136,)
    assert str(item["image"].dtype) == "torch.uint8"


def test_it_learns_eight_faces_by_heart(eight: Path, tmp_path: Path) -> None:
    small = {"stages": [{"until": 1, "size": 64}], "light": None, "augmentation": "none"}
    run(
        tmp_path / "run",
        **small,
        data=source(eight),
        loss="smooth_l1",
        epochs=3,
        repeat=35,
        batch_size=8,
        sheets=False,
        optimizer={"name": "adamw", "lr": 1e-3},
    )
    with (tmp_path / "run" / "log.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    # Pixels of 224; the mean shape misses by about 10.
    assert losses[-1] < 0.3


def test_the_landmarker_runs_what_was_trained(
    eight: Path, points: Array, astronaut: Array, tmp_path: Path
) -> None:
    """The weights know their crop scale, and give the adapter what validation measured."""
    small = {"stages": [{"until": 1, "size": 64}], "crop_scale": 1.5, "steps": 1, "batch_size": 4}
    result = run(tmp_path / "run", **small, data=source(eight), validation=source(eight))
    assert set(result.metrics) >= {"nme", "nme_eight"}
    assert result.metrics["nme"] < 40, "a fresh network answers the mean shape"
    weights = tmp_path / "run" / "best.safetensors"
    landmarker = ResNet18(ResNet18.Options(weights=weights))
    low, high = points.min(0), points.max(0)
    half = 0.53 * (high - low).max()
    box = np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half])
    found = Detections(
        boxes=box[None], scores=np.ones(1, np.float32), image_size=astronaut.shape[:2]
    )
    placed = landmarker.locate([astronaut], [found])[0].points[0]
    # At a crop scale of 1, the default, all points would be two thirds as far from the centre.
    assert np.ptp(placed, axis=0).max() == pytest.approx(2 * half / 1.06, rel=0.15)
    assert list((tmp_path / "run" / "sheets").glob("*.jpg"))


def test_a_network_that_shrinks_its_input(eight: Path, tmp_path: Path) -> None:
    """Crops come shrunk as the network shrinks them; the file says so, and so does its export."""
    import torch

    from facekit.engines import create_engine
    from facekit.landmarkers.resnet18 import SPEC
    from facekit.training.checkpoints import save_weights
    from facekit.training.keys import ItemKey
    from facekit.training.landmarks.recipe import Landmarks
    from facekit.training.landmarks.warp import plain_crop

    options = {"data": source(eight), "shrink": 2, "augmentation": "none", "light": None}
    recipe = Landmarks(Landmarks.Options(**options))
    network = recipe.network().eval()
    item = recipe.train_items()[ItemKey(0, 0, 2)]
    assert item["image"].shape == (1, 112, 112)
    crop, _ = plain_crop(recipe._pools[0].faces[2], 224, 1.2)
    whole = torch.from_numpy(crop)[None, None].float() / 127.5 - 1
    with torch.no_grad():
        seen = recipe.prepare(recipe.collate([item]), torch.Generator())["image"]
        torch.testing.assert_close(network.model(seen), network(whole), atol=1e-3, rtol=0)
    save_weights(tmp_path / "half.safetensors", network, {})
    engine = create_engine(
        tmp_path / "half.safetensors",
        engine=None,
        inputs=SPEC.inputs,
        outputs=SPEC.outputs,
        network=SPEC.network,
    )
    assert engine.metadata["facekit.shrink"] == "2"
    (answer,) = engine(whole.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(answer, network(whole).numpy(), atol=1e-5)


def test_it_goes_on_from_weights(eight: Path, tmp_path: Path) -> None:
    import torch

    from facekit.training.checkpoints import save_weights
    from facekit.training.landmarks.recipe import Landmarks

    recipe = Landmarks(Landmarks.Options(data=source(eight)))
    first = recipe.network()
    save_weights(tmp_path / "first.safetensors", first, {})
    again = Landmarks(
        Landmarks.Options(data=source(eight), weights=tmp_path / "first.safetensors")
    ).network()
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [{"until": 0.5, "size": 64}],
        [{"until": 1.0, "size": 64}, {"until": 0.5, "size": 96}],
        [{"until": 0.5, "size": 64}, {"until": 0.5, "size": 96}, {"until": 1.0, "size": 96}],
    ],
)
def test_stages_out_of_order_are_refused(stages: list[dict[str, Any]]) -> None:
    from pydantic import ValidationError

    from facekit.training.landmarks.recipe import Landmarks

    with pytest.raises(ValidationError, match="stages end one after the other"):
        Landmarks.Options(data="coco:a.json", stages=stages)


def test_it_goes_on_from_the_shipped_weights(eight: Path, require: Any) -> None:
    """Folded norms and 8 bits: the network to train answers what the shipped file does."""
    require("onnx")
    import torch

    from facekit.training.keys import ItemKey
    from facekit.training.landmarks.recipe import Landmarks
    from facekit.training.sources import read_config

    options = read_config("landmarks:finetune").options
    recipe = Landmarks(Landmarks.Options(**options, data=source(eight)))
    network = recipe.network().eval()
    with torch.no_grad():
        before = recipe._answers(network, torch.device("cpu"), recipe._pools[0].faces[3:4])
    grey = recipe._pools[0].faces[3]
    found = Detections(
        boxes=np.array([box_around(grey.points)], np.float32),
        scores=np.ones(1, np.float32),
        image_size=grey.image.shape,
    )
    picture = np.repeat(grey.image[..., None], 3, axis=2)
    shipped = ResNet18().locate([picture], [found])[0].points[0]
    x, y, side = grey.square
    own = (before[0] * 1.2) * side + np.array([x, y])
    np.testing.assert_allclose(own, shipped, atol=0.02 * side)
    # In training mode too: the norms keep their statistics.
    network.train()
    items = recipe.train_items()
    batch = recipe.collate([items[ItemKey(0, 0, i)] for i in range(4)])
    loss = recipe.loss(network, recipe.prepare(batch, torch.Generator()))["loss"]
    assert loss.item() < 20
    with torch.no_grad():
        after = recipe._answers(network, torch.device("cpu"), recipe._pools[0].faces[3:4])
    np.testing.assert_array_equal(before, after)


def box_around(points: Array) -> Array:
    """The canonical square, as a box."""
    low, high = points.min(0), points.max(0)
    half = 0.53 * (high - low).max()
    return np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norms": "batch"}, "set norms: fixed"),
        ({"crop_scale": 1.5}, "made for crop_scale 1.2"),
        ({"shrink": 1}, "made for shrink 2"),
    ],
)
def test_shipped_weights_want_their_own_options(
    eight: Path, changes: dict[str, Any], message: str, require: Any
) -> None:
    require("onnx")
    from facekit.errors import ConfigError
    from facekit.training.landmarks.recipe import Landmarks

    values = {"data": source(eight), "weights": "resnet18", "norms": "fixed", "shrink": 2}
    with pytest.raises(ConfigError, match=message):
        Landmarks(Landmarks.Options(**values | changes)).network()
