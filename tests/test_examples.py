"""Every example runs as it stands, on a real photo, and does what its first line says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit import config
from facekit.images import read, write

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = {path.name for path in EXAMPLES.glob("*.py")}


def run(script: str, *arguments: object, folder: Path) -> str:
    """Run an example as a user would, elsewhere."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_example_is_listed_and_tested() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    tests = Path(__file__).read_text()
    assert len(SCRIPTS) >= 4
    for script in SCRIPTS:
        assert f"python {script}" in listed
        assert f'run("{script}"' in tests


def test_detect_photo(astronaut_path: Path, tmp_path: Path) -> None:
    said = run("detect_photo.py", astronaut_path, "out.png", folder=tmp_path).splitlines()
    assert said[0].startswith("score 0.9") or said[0].startswith("score 1.0")
    assert said[1:] == ["ibug68: 68 landmarks a face"]
    difference = read(tmp_path / "out.png").astype(int) - read(astronaut_path)
    assert np.abs(difference[60:180, 175:275]).max() > 100
    assert np.abs(difference[250:]).max() == 0


def test_swap_backend(astronaut_path: Path, tmp_path: Path) -> None:
    said = run("swap_backend.py", EXAMPLES / "facekit.yaml", astronaut_path, folder=tmp_path)
    assert said.splitlines() == [
        "detector tiny_ssd, from a score of 0.40",
        f"{astronaut_path}: 1 faces",
    ]


def test_the_configuration_is_whole() -> None:
    run_config = config.load(EXAMPLES / "facekit.yaml")
    assert run_config.detector.options == {"score_threshold": 0.4}
    assert run_config.landmarker is not None
    assert run_config.landmarker.options == {"threads": 1}


def test_align_folder(astronaut_path: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(astronaut_path, photos)
    (photos / "bad.jpg").write_text("no photo")
    said = run("align_folder.py", photos, "faces", folder=tmp_path).splitlines()
    assert said[0].startswith(f"skipped: {photos / 'bad.jpg'}")
    assert said[1] == "1 faces in faces"
    assert read(tmp_path / "faces" / "face_00000.png").shape == (112, 112, 3)


@pytest.fixture
def crowd(astronaut: npt.NDArray[np.uint8], tmp_path: Path) -> Path:
    """A large photo with one small face in each quarter."""
    picture = np.full((1200, 1200, 3), 128, np.uint8)
    head = astronaut[20:240, 120:340][::2, ::2]
    for y, x in ((130, 160), (150, 880), (820, 170), (850, 900)):
        picture[y : y + head.shape[0], x : x + head.shape[1]] = head
    path = tmp_path / "crowd.png"
    write(path, picture)
    return path


def test_tiled_detector(crowd: Path, tmp_path: Path) -> None:
    said = run("tiled_detector.py", crowd, "out.png", folder=tmp_path)
    assert said.startswith("4 faces; on the whole photo ")
    assert int(said.split()[-1]) < 4
    assert (tmp_path / "out.png").exists()


def test_hard_faces(astronaut_path: Path, tmp_path: Path) -> None:
    said = run("hard_faces.py", astronaut_path, "sheet.png", folder=tmp_path)
    assert said.splitlines() == ["turned", "masked", "cut off", "tiny"]
    assert read(tmp_path / "sheet.png").shape[1] == 640
