"""``facekit calibrate NAME --dataset FORMAT:PATH``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from typer.testing import Result

from facekit import create_landmarker, datasets, images
from facekit.datasets import FaceRecord, ImageRecord
from facekit.types import Detections

Facekit = Callable[..., Result]

SQUARE = (175.0, 82.0, 274.0, 181.0)
"""The square around the points of the astronaut's face, pixels."""


@pytest.fixture(scope="module")
def faces(astronaut: npt.NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve photos of the astronaut, turned and scaled, with her points."""
    folder = tmp_path_factory.mktemp("faces")
    square = Detections(
        boxes=np.array([SQUARE], np.float32),
        scores=np.ones(1, np.float32),
        image_size=astronaut.shape[:2],
    )
    points = create_landmarker().locate([astronaut], [square])[0].points[0]
    records = []
    for number in range(12):
        turn = cv2.getRotationMatrix2D((224.0, 130.0), 3.0 * (number - 5.5), 0.8 + 0.03 * number)
        turned = cv2.warpAffine(np.array(astronaut), turn, (448, 448))
        images.write(folder / f"{number}.png", np.asarray(turned, dtype=np.uint8))
        moved = points @ turn[:, :2].T + turn[:, 2]
        face = FaceRecord(
            box=(0, 0, 9, 9),
            landmarks=tuple((float(x), float(y)) for x, y in moved),
            scheme="ibug68",
        )
        records.append(ImageRecord(name=f"{number}.png", size=(448, 448), faces=(face,)))
    datasets.write(records, f"coco:{folder / 'faces.json'}")
    return f"coco:{folder / 'faces.json'}"


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_what_is_fitted_is_printed_and_written_as_a_configuration(
    facekit: Facekit, faces: str, astronaut_path: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"calibrated{suffix}"
    folder = str(Path(faces.partition(":")[2]).parent)
    arguments = ("--dataset", faces, "--images", folder, "-o", out)
    result = facekit("calibrate", "tiny_ssd", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in ("annotated squares", "boxes as they are", "transform fitted here"):
        assert words in result.stdout
    assert "fitted on 12 of 12 faces" in result.stdout
    read = json.loads if suffix == ".json" else yaml.safe_load
    detector = read(out.read_text(encoding="utf-8"))["detector"]
    assert detector["backend"] == "tiny_ssd"
    printed = result.stdout.partition("box_transform: ")[2].splitlines()[0]
    assert yaml.safe_load(printed) == detector["box_transform"]
    # The astronaut's box is wider than high, as all of the network's: so is the transform.
    assert 0.5 < detector["box_transform"]["sh"] < detector["box_transform"]["sw"] < 1.5
    done = facekit("detect", astronaut_path, "--config", out, "--json", tmp_path / "out.json")
    assert done.exit_code == 0


def test_what_cannot_be_calibrated_is_one_line(
    facekit: Facekit, faces: str, tmp_path: Path
) -> None:
    folder = str(Path(faces.partition(":")[2]).parent)
    result = facekit("calibrate", "tiny_sd", "--dataset", faces)
    assert result.exit_code == 2
    assert "tiny_ssd" in result.stderr
    out = tmp_path / "a.toml"
    result = facekit("calibrate", "tiny_ssd", "--dataset", faces, "--images", folder, "-o", out)
    assert result.exit_code == 2
    assert "written to .yaml, .yml, .json" in result.stderr
    assert len(result.stderr.splitlines()) == 1
