"""The tiny SSD's tutorial in miniature, command by command, with MMDetection itself.

Sixty steps teach the shipped weights what they are bad at, faces that are upside down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from typer.testing import Result

from facekit import datasets, images
from facekit.datasets.records import FaceRecord, ImageRecord

pytestmark = pytest.mark.usefixtures("mmdet_trains")

Facekit = Callable[..., Result]
Photo = npt.NDArray[np.uint8]

FACE = np.array([179.0, 59.0, 270.0, 169.0])
SIDE = 360
# A square of the photo that has the face in it, and how many of it stand in a row.
TRAINED = [(0, 0, 512, 3), (90, 0, 300, 3), (30, 10, 400, 3), (50, 20, 350, 2)] * 2
HELD_OUT = [(60, 0, 330, 3), (20, 0, 450, 3), (100, 10, 280, 4), (10, 0, 480, 2)]


def mosaic(photo: Photo, cut: tuple[int, int, int, int]) -> tuple[Photo, list[FaceRecord]]:
    """Upside-down copies of a part of the photo, side by side, with their faces."""
    x, y, side, count = cut
    cell = SIDE // count
    tile = cv2.resize(photo[y : y + side, x : x + side][::-1], (cell, cell))
    left, top, right, bottom = FACE - [x, y, x, y]
    box = np.array([left, side - bottom, right, side - top]) * cell / side
    corners = [(column * cell, row * cell) for row in range(count) for column in range(count)]
    faces = [FaceRecord(box=tuple((box + np.tile(corner, 2)).tolist())) for corner in corners]
    return np.tile(tile, (count, count, 1)), faces


@pytest.fixture
def wider(tmp_path: Path, astronaut: Photo) -> Path:
    """A folder laid out as WIDER FACE is, eight photos to train on and four held out."""
    root = tmp_path / "WIDER"
    (root / "wider_face_split").mkdir(parents=True)
    for split, cuts in (("train", TRAINED), ("val", HELD_OUT)):
        folder = root / f"WIDER_{split}" / "images"
        records = []
        for number, cut in enumerate(cuts):
            photo, faces = mosaic(astronaut, cut)
            name = f"0--Parade/{number}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            images.write(folder / name, photo)
            records.append(ImageRecord(name=name, root=folder, faces=tuple(faces)))
        text = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        datasets.write(records, f"wider_face:{text}")
    return root


def settings(wider: Path, config: Path) -> dict[str, Any]:
    """The tutorial's fine-tuning, for three epochs of twenty steps."""
    return {
        "recipe": "mmdet",
        "config": str(config),
        "data": f"wider_face:{wider / 'wider_face_split' / 'wider_face_train_bbx_gt.txt'}",
        "load_from": "tiny_ssd",
        "freeze_norms": True,
        "epochs": 3,
        "batch_size": 2,
        "workers": 0,
        "lr": 2e-3,
        "schedule": "constant",
        "overrides": {"train_dataloader.dataset.times": 5},
    }


def done(result: Result) -> str:
    assert result.exit_code == 0, result.stderr[-2000:]
    return result.stdout


def test_the_tutorial_command_by_command(
    facekit: Facekit, wider: Path, old_mmdet_config: Path, tmp_path: Path, require: Any
) -> None:
    for package in ("faster_coco_eval", "onnxscript", "openvino"):
        require(package)
    config, run, faces = tmp_path / "tiny_ssd_3x.py", tmp_path / "run", tmp_path / "faces.yaml"
    work = run / "work"
    done(facekit("mmdet", "migrate", old_mmdet_config, config))
    annotation = tmp_path / "train.json"
    done(facekit("convert", f"wider_face:{wider}", f"mmdet:{annotation}", "--split", "train"))
    assert len(json.loads(annotation.read_text())["images"]) == len(TRAINED)

    faces.write_text(yaml.safe_dump(settings(wider, config)))
    done(facekit("train", faces, "--set", "min_size=17", "--out", run))
    logged = "".join(path.read_text() for path in work.glob("*/*.log"))
    assert "Epoch(train) [3][20/20]" in logged
    assert (work / "epoch_3.pth").is_file()
    # The tutorial warns that training would end at once.
    over = facekit("train", run, "--resume")
    assert over.exit_code == 2
    assert "3 epochs are over" in over.stderr

    def scores(*words: object, out: str) -> list[dict[str, float]]:
        protocols = [word for name in ("ap50", "wider", "coco") for word in ("--protocol", name)]
        words = (*words, "--dataset", f"wider_face:{wider}", "--split", "val", *protocols)
        printed = done(facekit("evaluate", *words, "--out", tmp_path / out, "--json", "--no-plots"))
        return [one["values"] for one in json.loads(printed)["results"]]

    last = work / "last.safetensors"
    detector = {"backend": "mmdet", "config": str(work / "detector.py")}
    detector["weights"] = str(work / "epoch_3.pth")
    (tmp_path / "mmdet.yaml").write_text(yaml.safe_dump({"detector": detector}))
    several = ("tiny_ssd", f"tiny_ssd={last}", tmp_path / "mmdet.yaml")
    before, after, by_mmdet = scores(*_each("--detector", several), out="scores")
    for name in ("AP50, 10 px", "WIDER hard, by height", "COCO AP50", "COCO AP"):
        assert after[name] > before[name] + 0.05, name
    assert after == pytest.approx(by_mmdet, abs=2e-3, nan_ok=True)
    texts = tmp_path / "scores" / "predictions" / "tiny_ssd-last"
    assert len(list(texts.glob("0--Parade/*.txt"))) == len(HELD_OUT)
    (again,) = scores("--predictions", texts, out="again")
    assert again == pytest.approx(after, abs=1e-3, nan_ok=True)

    raw, boxes, ir = (tmp_path / name for name in ("raw.onnx", "boxes.onnx", "boxes.xml"))
    done(facekit("export", "tiny_ssd", last, raw))
    done(facekit("export", "tiny_ssd", raw, boxes, "--with-nms"))
    done(facekit("export", "tiny_ssd", raw, ir, "--with-nms"))
    exported = [f"tiny_ssd={file}" for file in (raw, boxes, ir)]
    for one in scores(*_each("--detector", exported), out="exported"):
        assert one == pytest.approx(after, abs=0.02, nan_ok=True)

    for words in (("tiny_ssd", "--weights", last), ("mmdet", "--config", work / "detector.py")):
        assert "1.03 M parameters, 0.480 GMAC for one" in done(facekit("summary", *words))


def _each(option: str, values: Sequence[object]) -> list[object]:
    """Repeat an option before each value."""
    return [word for value in values for word in (option, value)]
