"""The recipe ``ssd``: what it reads, what it asks of a network, and that a network can learn it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import pytest

from facekit import datasets, images
from facekit.datasets import FaceRecord, ImageRecord
from facekit.detectors.tiny_ssd import TinySSD, prepare
from facekit.errors import ConfigError, DatasetError, WeightsError

pytestmark = pytest.mark.usefixtures("training")

Image = npt.NDArray[np.uint8]

FACE = (180.0, 66.0, 271.0, 178.0)
"""The astronaut's."""


@pytest.fixture
def photos(tmp_path: Path, astronaut: Image) -> Path:
    """Eight photos of the astronaut, cut in several ways, as a dataset."""
    records = []
    for index in range(8):
        x, y = 15 * index, 4 * index
        name = f"{index}.png"
        images.write(tmp_path / name, np.ascontiguousarray(astronaut[y : y + 380, x : x + 380]))
        x1, y1, x2, y2 = FACE
        face = FaceRecord(box=(x1 - x, y1 - y, x2 - x, y2 - y))
        records.append(ImageRecord(name=name, root=tmp_path, size=(380, 380), faces=(face,)))
    datasets.write(records, f"coco:{tmp_path / 'faces.json'}")
    return tmp_path


def spec(photos: Path, **more: Any) -> dict[str, Any]:
    return {"data": f"coco:{photos / 'faces.json'}", "images": str(photos), **more}


def recipe_of(photos: Path, **options: Any) -> Any:
    ssd = importlib.import_module("facekit.training.ssd.recipe").Ssd
    return ssd(ssd.Options(**({"data": [spec(photos)]} | options)))


def batch_of(recipe: Any, count: int, step: int = 0, progress: float = 0.0) -> Any:
    torch = importlib.import_module("torch")
    keys = importlib.import_module("facekit.training").ItemKey
    items = recipe.train_items()
    asked = [items[keys(0, 0, index, step, progress)] for index in range(count)]
    return recipe.prepare(recipe.collate(asked), torch.Generator().manual_seed(step))


def made(boxes: Any, images_of: Any, ignore: Any, count: int) -> dict[str, Any]:
    """A batch of grey pictures with faces anywhere."""
    torch = importlib.import_module("torch")
    return {
        "image": torch.full((count, 3, 300, 300), 0.5),
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "images": torch.tensor(images_of, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.bool),
        "labelled": torch.ones(count, dtype=torch.bool),
    }


# Data.


def test_photos_are_shrunk_and_split(photos: Path) -> None:
    recipe = recipe_of(photos, held_out=0.25, max_side=190)
    kept, apart = recipe._photos[0], recipe._apart
    assert (len(kept), len(apart)) == (6, 2)
    assert not {photo.name for photo in kept} & {photo.name for photo in apart}
    assert kept[0].pixels.shape == (190, 190, 3)
    np.testing.assert_allclose(kept[0].boxes, [np.array(FACE) / 2])


def test_parts_weights_and_unlabelled_sources(photos: Path) -> None:
    sources = [
        spec(photos, part=[0, 0.5], weight=3),
        spec(photos, part=[0.5, 1], labelled=False),
    ]
    recipe = recipe_of(photos, data=sources, held_out=0.25)
    assert [len(kind) for kind in recipe._photos] == [3, 4]
    assert [photo.name for photo in recipe._photos[1]] == ["4.png", "5.png", "6.png", "7.png"]
    assert all(len(photo.boxes) == 0 for photo in recipe._photos[1])
    batch = batch_of(recipe, 64)
    assert 0.5 < batch["labelled"].float().mean() < 0.95
    unlabelled = (~batch["labelled"]).nonzero().flatten()
    assert len(unlabelled)


def test_no_photos_and_no_folder_of_images(photos: Path) -> None:
    with pytest.raises(DatasetError, match="no photos in its part"):
        recipe_of(photos, data=[spec(photos, part=[0.5, 0.5])])
    records = [ImageRecord(name="a.jpg", size=(5, 5))]
    datasets.write(records, f"wider_face:{photos / 'list.txt'}")
    with pytest.raises(ConfigError, match="give `images`"):
        recipe_of(photos, data=f"wider_face:{photos / 'list.txt'}")


def test_a_path_may_name_the_environment(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEWHERE", str(photos))
    source = {"data": "coco:$SOMEWHERE/faces.json", "images": "${SOMEWHERE}"}
    assert len(recipe_of(photos, data=source)._photos[0]) == 8


def test_sizes_follow_the_run_and_batches_have_as_many_pixels(photos: Path) -> None:
    sizes = [{"until": 0.5, "sides": [160]}, {"sides": [320, 640]}]
    recipe = recipe_of(photos, sizes=sizes, reference=320)
    assert batch_of(recipe, 8, progress=0.2)["image"].shape == (8, 3, 160, 160)
    late = {batch_of(recipe, 8, step, 0.7)["image"].shape for step in range(8)}
    assert late == {(8, 3, 320, 320), (2, 3, 640, 640)}


def test_the_key_decides_the_view(photos: Path) -> None:
    torch = importlib.import_module("torch")
    recipe = recipe_of(photos)
    one, again = batch_of(recipe, 4), batch_of(recipe, 4)
    assert all(torch.equal(one[name], again[name]) for name in one)


# Losses.


def test_no_faces_500_faces_and_degenerate_ones_have_finite_losses(photos: Path) -> None:
    torch = importlib.import_module("torch")
    recipe = recipe_of(photos)
    torch.manual_seed(0)
    network = recipe.network()
    random = np.random.default_rng(0)
    corner = random.uniform(0, 280, (500, 2))
    crowd = np.concatenate([corner, corner + random.uniform(2, 40, (500, 2))], axis=1)
    flat = [[10, 10, 10, 40], [60, 60, 50, 50], [0, 0, 300, 300], [-500, -500, -400, -400]]
    for batch in (
        made([], [], [], 2),
        made(crowd, random.integers(2, size=500), [False] * 500, 2),
        made(flat, [0, 0, 1, 1], [False] * 4, 2),
        made(flat, [0, 0, 1, 1], [True] * 4, 2),
    ):
        network.zero_grad()
        losses = recipe.loss(network, batch)
        losses["loss"].backward()
        assert all(bool(torch.isfinite(loss)) for loss in losses.values())
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(bool(torch.isfinite(grad).all()) for grad in gradients)


def test_unlabelled_photos_have_no_labels_to_learn(photos: Path) -> None:
    torch = importlib.import_module("torch")
    recipe = recipe_of(photos)
    network = recipe.network()
    batch = made([[50, 50, 90, 100]], [0], [False], 2)
    batch["labelled"][:] = False
    losses = recipe.loss(network, batch)
    assert float(losses["loss"].detach()) == 0
    batch["labelled"][0] = True
    assert float(recipe.loss(network, batch)["loss"].detach()) > 1
    del torch


def test_a_network_can_learn_eight_photos_by_heart(photos: Path) -> None:
    torch = importlib.import_module("torch")
    views = dict.fromkeys(("zoom_out", "min_iou", "face", "zoom", "mosaic", "flip", "natural"), 0)
    light = {"untouched": 1, "blur": 0, "noise": 0}
    recipe = recipe_of(
        photos, views={**views, "resizers": {"linear": 1}}, light=light, sizes=[{"sides": [96]}]
    )
    torch.manual_seed(0)
    network = recipe.network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    batch = batch_of(recipe, 8)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = recipe.loss(network, batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 5
    assert losses[-1] < 0.1


# Weights and teachers.


def test_shipped_weights_are_read_from_their_onnx_file(
    require: Any, photos: Path, astronaut: Image
) -> None:
    require("onnx")
    torch = importlib.import_module("torch")
    weights = importlib.import_module("facekit.training.detection.ssd_weights")
    network = weights.load("tiny_ssd")
    batch = prepare([astronaut])
    with torch.no_grad():
        logits, deltas = network(torch.from_numpy(batch))
        folded = weights.folded(network)(torch.from_numpy(batch))
    want = TinySSD()._forward(batch)
    for found in ((logits, deltas), folded):
        for have, wanted in zip(found, want, strict=True):
            np.testing.assert_allclose(have.numpy(), wanted, atol=2e-5)
    recipe = recipe_of(photos, weights="tiny_ssd")
    state = recipe.network().state_dict()
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())


def test_folding_and_saving_change_no_answer(require: Any, tmp_path: Path) -> None:
    require("safetensors")
    torch = importlib.import_module("torch")
    weights = importlib.import_module("facekit.training.detection.ssd_weights")
    save = importlib.import_module("safetensors.torch").save_file
    torch.manual_seed(0)
    network = weights.fresh().train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(4, 3, 64, 64))
    network.eval()
    save(network.state_dict(), tmp_path / "net.safetensors")
    picture = torch.rand(1, 3, 100, 70)
    with torch.no_grad():
        want = network(picture)
        for other in (weights.folded(network), weights.load(tmp_path / "net.safetensors").eval()):
            for have, wanted in zip(other(picture), want, strict=True):
                torch.testing.assert_close(have, wanted, atol=1e-5, rtol=1e-4)


def test_onnx_files_of_other_networks_are_refused(require: Any) -> None:
    require("onnx")
    weights = importlib.import_module("facekit.training.detection.ssd_weights")
    with pytest.raises(WeightsError, match="weights are of another network: there is no"):
        weights.load("resnet18")


def test_a_teachers_own_copy_has_only_labels_to_learn(require: Any, photos: Path) -> None:
    require("onnx")
    torch = importlib.import_module("torch")
    recipe = recipe_of(
        photos, weights="tiny_ssd", freeze_norms=True, teacher={"weights": "tiny_ssd"}
    )
    network = recipe.network()
    losses = recipe.loss(network, batch_of(recipe, 4))
    assert float(losses["teacher_score"].detach()) == pytest.approx(0, abs=1e-3)
    assert float(losses["teacher_box"].detach()) == pytest.approx(0, abs=1e-3)
    labels = losses["label_score"] + losses["label_box"]
    assert float(losses["loss"].detach()) == pytest.approx(0.4 * float(labels.detach()), abs=2e-3)
    norm = network.get_submodule("backbone.features.0.1")
    before = norm.running_mean.clone()
    assert torch.equal(norm.running_mean, before)
    assert not norm.training


# Measuring.


def test_validation_is_the_detectors_own_average_precision(require: Any, photos: Path) -> None:
    require("onnx")
    torch = importlib.import_module("torch")
    recipe = recipe_of(
        photos, held_out=1, data=[spec(photos)], measured_at=[300, "380:keep_aspect"]
    )
    with pytest.raises(ConfigError, match="no photos are left to train on"):
        recipe.train_items()
    weights = importlib.import_module("facekit.training.detection.ssd_weights")
    measure = importlib.import_module("facekit.training.ssd.measure")
    options = importlib.import_module("facekit.training.ssd.options")
    network = weights.load("tiny_ssd").eval()
    numbers = recipe.validate(network, torch.device("cpu"))
    assert numbers["ap50_at_300"] == 1
    assert 0.5 <= numbers["ap50_at_380_keep_aspect"] <= 1
    assert 0.5 < numbers["ap"] <= 1
    detector = TinySSD(TinySSD.Options(score_threshold=0.02))
    found = list(
        measure.detect(network, torch.device("cpu"), recipe._apart, options.Input.parse("300"))
    )
    for one, other in zip(found, detector.detect([p.pixels for p in recipe._apart]), strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    sheet = recipe.sheet(network, torch.device("cpu"))
    assert sheet.dtype == np.uint8


def test_sizes_to_measure_at_are_checked(photos: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="measured_at: '300x300'"):
        recipe_of(photos, measured_at=["300x300"])


# The engine.


def test_a_run_from_a_preset(require: Any, photos: Path, tmp_path: Path) -> None:
    require("onnx")
    training = importlib.import_module("facekit.training")
    values = {
        "preset": "ssd:finetune", "data": spec(photos), "out": str(tmp_path / "run"),
        "steps": 2, "batch_size": 2, "workers": 0, "accelerator": "cpu", "held_out": 0.25,
        "validate_every": 1, "sizes": [{"sides": [128]}],
    }  # fmt: skip
    result = training.train(values)
    detector = TinySSD(TinySSD.Options(weights=result.folder.best))
    assert detector.detect([photos / "0.png"])[0].image_size == (380, 380)
    assert result.folder.log.is_file()


@pytest.mark.parametrize("preset", ["default", "published", "finetune"])
def test_shipped_presets_are_valid(preset: str) -> None:
    ssd = importlib.import_module("facekit.training.ssd.recipe").Ssd
    sources = importlib.import_module("facekit.training.sources")
    config = sources.read_config(f"ssd:{preset}", ["data=coco:x.json"])
    options = ssd.Options(**config.options)
    assert config.recipe == "ssd"
    assert options.data[0].data == "coco:x.json"
