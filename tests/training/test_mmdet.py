"""MMDetection's own trainer on the tiny SSD: mmdet really installed, photos of one real face."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import create_detector, datasets, images
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, FacekitError, WeightsError
from facekit.mmlab.migrate import migrate
from facekit.training import Job, Outcome, train

pytestmark = pytest.mark.usefixtures("mmdet_trains")

Train = Callable[..., Any]
SIDE = 150
NOTHING = 1e-20
"""What a learning rate of 1e-30 moves weights by."""
SMALL = {
    "train_dataloader.dataset.times": 1,
    "train_dataloader.dataset.dataset.pipeline.4.scale": (SIDE, SIDE),
    "test_dataloader.dataset.pipeline.1.scale": (SIDE, SIDE),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, astronaut: npt.NDArray[np.uint8]) -> str:
    """Four photos of the astronaut's face, cut differently."""
    folder = tmp_path_factory.mktemp("photos")
    records = []
    for number, (x, y, side) in enumerate(
        [(0, 0, 512), (90, 20, 260), (60, 0, 330), (120, 30, 200)]
    ):
        name = f"{number}.jpg"
        images.write(folder / name, astronaut[y : y + side, x : x + side])
        face = FaceRecord(box=(179.0 - x, 59.0 - y, 270.0 - x, 169.0 - y))
        records.append(ImageRecord(name=name, root=folder, faces=(face,)))
    datasets.write(records, f"coco:{folder / 'faces.json'}")
    return f"coco:{folder / 'faces.json'}"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, old_mmdet_config: Path) -> Path:
    new = tmp_path_factory.mktemp("config") / "tiny_ssd.py"
    migrate(old_mmdet_config, new)
    return new


@pytest.fixture
def options(config: Path, data: str, old_mmdet_checkpoint: Path) -> dict[str, Any]:
    """Two epochs of two steps, from the shipped weights."""
    return {
        "config": str(config),
        "data": data,
        "load_from": str(old_mmdet_checkpoint),
        "overrides": SMALL,
        "epochs": 2,
        "batch_size": 2,
        "workers": 0,
        "lr": 1e-3,
        "schedule": "constant",
        "freeze_norms": True,
    }


@pytest.fixture
def small(options: dict[str, Any], tmp_path: Path) -> Train:
    """Train in this process; keywords change the configuration."""

    def run(*, resume: bool = False, **changes: Any) -> Any:
        values = {"recipe": "mmdet", **options, "out": str(tmp_path / "run"), **changes}
        return train(values, resume=resume)

    return run


def state(path: Path) -> dict[str, Any]:
    from facekit.mmlab import checkpoints

    return checkpoints.read(path).state


def same(one: Any, other: Any) -> bool:
    return float((one.double() - other.double()).abs().max()) < NOTHING


def difference(one: Path, other: Path) -> float:
    a, b = state(one), state(other)
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a)


def test_a_run_its_metrics_and_the_detector_that_it_makes(
    small: Train, data: str, astronaut: npt.NDArray[np.uint8], old_mmdet_checkpoint: Path
) -> None:
    result = small(validation=data)
    work = result.folder.work
    assert (result.step, result.interrupted) == (4, False)
    assert result.weights == work / "epoch_2.pth"
    assert (work / "epoch_1.pth").is_file()
    assert result.monitor == "coco/bbox_mAP_50"
    assert result.best == result.metrics["coco/bbox_mAP_50"] > 0.9
    assert list(work.glob("best_coco_bbox_mAP_50_epoch_*.pth"))
    assert 0 < difference(result.weights, old_mmdet_checkpoint) < 0.1
    # Its weights alone are those of the backend without mmdet.
    (alone,) = create_detector("tiny_ssd", weights=work / "last.safetensors").detect([astronaut])
    assert len(alone) == 1
    # The run keeps the config to detect with, its overrides included.
    detector = create_detector(
        "mmdet", config=work / "detector.py", weights=result.weights, score_threshold=0.5
    )
    (found,) = detector.detect([astronaut])
    assert len(found) == 1
    assert found.boxes[0] == pytest.approx([179, 59, 270, 169], abs=25)


def test_weights_to_start_from_are_the_ones_trained(
    small: Train, old_mmdet_checkpoint: Path
) -> None:
    still = small(lr=1e-30, epochs=1)
    assert difference(still.weights, old_mmdet_checkpoint) < NOTHING


def test_norms_move_where_they_may(small: Train, old_mmdet_checkpoint: Path) -> None:
    moved = state(small(lr=1e-30, epochs=1, freeze_norms=False).weights)
    before = state(old_mmdet_checkpoint)
    changed = {key for key in before if not same(moved[key], before[key])}
    assert changed
    assert all(key.endswith(("running_mean", "running_var", "batches_tracked")) for key in changed)


def test_from_scratch_the_seed_decides(small: Train, tmp_path: Path) -> None:
    options = {"load_from": None, "epochs": 1, "freeze_norms": False}
    one, same, other = (
        small(**options, seed=seed, out=str(tmp_path / name)).weights
        for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert difference(one, same) == 0
    assert difference(one, other) > 0


def test_an_epoch_and_one_more_are_two(small: Train, tmp_path: Path) -> None:
    # Without chance in the pipeline: mmdet draws it from one generator, which goes on.
    calm = {**SMALL, "train_dataloader.dataset.dataset.pipeline": _calm()}
    straight = small(overrides=calm, out=str(tmp_path / "straight"))
    small(overrides=calm, epochs=1)
    resumed = small(overrides=calm, resume=True)
    assert resumed.step == straight.step == 4
    assert difference(straight.weights, resumed.weights) < 1e-6
    for text in ("--resume", r"epoch_2\.pth", "2 epochs are over and the run has 2", "load_from"):
        with pytest.raises(ConfigError, match=text):
            small(overrides=calm, resume=True)
    # Another folder goes on from a checkpoint as well.
    options = {"load_from": None, "resume_from": str(tmp_path / "run" / "work" / "epoch_1.pth")}
    again = small(overrides=calm, **options, out=str(tmp_path / "again"))
    assert difference(straight.weights, again.weights) < 1e-6


def _calm() -> list[dict[str, Any]]:
    return [
        {"type": "LoadImageFromFile", "to_float32": True},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "Resize", "scale": (SIDE, SIDE), "keep_ratio": False},
        {"type": "PackDetInputs"},
    ]


def job(work: Path, *, stop_at: int | None = None, resume: bool = False) -> Job:
    asked = iter(range(1, 1000))
    work.mkdir(exist_ok=True)
    return Job(work, 0, resume, lambda: next(asked) == stop_at, is_first=True)


def test_a_stop_is_kept_and_gone_on_with(options: dict[str, Any], tmp_path: Path) -> None:
    module = importlib.import_module("facekit.training.mmdet.recipe")
    recipe = module.MMDetTraining(module.MMDetOptions(**options))
    stopped: Outcome = recipe.train(job(tmp_path / "work", stop_at=3))
    assert (stopped.interrupted, stopped.step) == (True, 3)
    assert stopped.weights == tmp_path / "work" / "stopped.pth"
    done: Outcome = recipe.train(job(tmp_path / "work", resume=True))
    # The epoch in whose middle it was stopped begins anew.
    assert (done.interrupted, done.step) == (False, 5)
    assert done.weights == tmp_path / "work" / "epoch_2.pth"


def bad(options: dict[str, Any], tmp_path: Path, wrong: str) -> dict[str, Any]:
    """Options with one thing wrong."""
    torch = importlib.import_module("torch")
    config = Path(options["config"])
    if wrong == "detecting alone":
        text = config.read_text().replace("optim_wrapper", "something")
        (tmp_path / "detect.py").write_text(text)
        return {**options, "config": str(tmp_path / "detect.py")}
    if wrong == "another model":
        torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
        return {**options, "load_from": str(tmp_path / "other.pth")}
    if wrong == "old checkpoint":
        return {**options, "load_from": None, "resume_from": options["load_from"], "epochs": 70}
    if wrong == "weights alone":
        return {**options, "load_from": None, "resume_from": options["load_from"], "epochs": 71}
    changes: dict[str, Any] = {
        "classes": {"classes": ["face", "mask"]},
        "both": {"resume_from": options["load_from"]},
        "missing": {"load_from": None, "resume_from": str(tmp_path / "none.pth")},
        "no photos": {"data": {"data": options["data"], "part": [0, 0.1]}},
        "nothing fits": {"strict": False},
    }
    if wrong == "nothing fits":
        torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
        return {**options, "load_from": str(tmp_path / "other.pth"), "strict": False}
    return {**options, **changes[wrong]}


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ("detecting alone", ConfigError, "is for detecting alone: it has no optim_wrapper"),
        ("classes", ConfigError, r"overrides: {model.bbox_head.num_classes: 2}, or other classes"),
        ("both", ConfigError, "load_from begins anew and resume_from goes on: give one of them"),
        ("another model", WeightsError, "weights of another model than the config's"),
        ("nothing fits", ConfigError, "nothing in it fits the model"),
        # The tutorial warns that training ends at once.
        ("old checkpoint", ConfigError, "70 epochs are over and the run has 70"),
        ("weights alone", WeightsError, "no checkpoint of mmengine to go on from.*load_from"),
        ("missing", WeightsError, r"none\.pth: no such file"),
        ("no photos", FacekitError, "no photos in its part"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    options: dict[str, Any], tmp_path: Path, wrong: str, kind: type[Exception], message: str
) -> None:
    values = {"recipe": "mmdet", **bad(options, tmp_path, wrong), "out": str(tmp_path / "run")}
    with pytest.raises(kind, match=message):
        train(values)
    assert not (tmp_path / "run").exists()


def test_what_fits_can_be_taken(options: dict[str, Any], tmp_path: Path) -> None:
    torch = importlib.import_module("torch")
    own = state(Path(options["load_from"]))
    head = "bbox_head.cls_convs.0.3.weight"
    own[head] = torch.zeros(36, *own[head].shape[1:])
    torch.save(own, tmp_path / "wider.pth")
    taken = {**options, "load_from": str(tmp_path / "wider.pth")}
    out = str(tmp_path / "run")
    with pytest.raises(WeightsError, match=head):
        train({"recipe": "mmdet", **taken, "out": out})
    values = {**taken, "strict": False, "lr": 1e-30, "epochs": 1}
    result = train({"recipe": "mmdet", **values, "out": out})
    assert result.weights is not None
    after = state(result.weights)
    assert after[head].shape[0] == 18
    assert all(same(after[key], own[key]) for key in after if key != head)


def test_two_processes_by_their_launcher(options: dict[str, Any], tmp_path: Path) -> None:
    """On CPUs; each takes half of the photos, the first writes.

    mmdet prints while it is imported, and none of that may be on standard output.
    """
    values = {"recipe": "mmdet", **options, "epochs": 1, "out": str(tmp_path / "run")}
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import torch; torch.set_num_threads(1)\n"
        "import facekit.detectors.mmdet\n"
        "from facekit.training import train\n"
        f"result = train({values!r})\n"
        "print(result.is_first, result.step)\n"
    )
    script = tmp_path / "two.py"
    script.write_text(code)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [*launcher, str(script)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(done.stdout.split("\n"))[1:] == ["False 1", "True 1"]
    assert (tmp_path / "run" / "work" / "epoch_1.pth").is_file()
