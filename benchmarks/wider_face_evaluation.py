"""How fast WIDER FACE's protocol is computed, beside the popular Python port of it.

    git clone https://github.com/wondervictor/WiderFace-Evaluation port
    python benchmarks/wider_face_evaluation.py port eval_tools/ground_truth [--runs 5] [--venv DIR]

``ground_truth`` is the folder of the official ``eval_tools`` with four ``.mat`` files. Predictions
are made up: 300 for each of the 3,226 images, of which many lie on faces, more than once. Run it
with the Python 3.11 of an environment that has facekit and scipy (``facekit[eval]``).

The port runs unchanged, in a process and an environment of its own with the last NumPy that it
works with (``--venv`` keeps it). Times are of the processor. Neither side's reading of predictions
is counted: the port's time is that of its ``evaluation`` less that of its ``get_preds``. AP is
printed too, so that a wrong answer cannot be fast; the two differ from the seventh digit on, as
``docs/metrics.md`` explains. Nothing is asserted: the numbers depend on the machine, their ratio
less so.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from facekit.metrics.wider_face import SETTINGS, WiderTruth, wider_face

Floats = npt.NDArray[np.float64]

PORT_NEEDS = ("numpy==1.23.5", "scipy==1.10.1", "cython", "setuptools<81", "tqdm", "ipython")

PORT = """
import json, sys, time
import evaluation
predictions, truth, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
found = {}
evaluation.print = lambda text: found.update([text.split(" Val AP: ")]) if " AP: " in text else None
def timed(call):
    start = time.process_time()
    call()
    return time.process_time() - start
reading = min(timed(lambda: evaluation.get_preds(predictions)) for _ in range(2))
whole = min(timed(lambda: evaluation.evaluation(predictions, truth)) for _ in range(runs))
print(json.dumps({"seconds": whole - reading, "aps": {k: float(v) for k, v in found.items()}}))
"""


class Found(NamedTuple):
    """One image's predictions."""

    boxes: Floats
    scores: Floats


class Image(NamedTuple):
    """One image's name and truth."""

    name: str
    truth: WiderTruth


def read_truth(folder: Path) -> list[Image]:
    """Read the official ground truth."""
    cells = loadmat(folder / "wider_face_val.mat")
    lists = {name: loadmat(folder / f"wider_{name}_val.mat")["gt_list"] for name in SETTINGS}
    return list(_images(cells, lists))


def _images(cells: Any, lists: Any) -> Iterator[Image]:  # noqa: ANN401 - the .mat's cells
    for event, (label,) in enumerate(cells["event_list"]):
        for number, (file,) in enumerate(cells["file_list"][event, 0]):
            boxes = np.asarray(cells["face_bbx_list"][event, 0][number, 0], dtype=np.float64)
            counted = {name: np.zeros(len(boxes), dtype=bool) for name in lists}
            for name, cell in lists.items():
                counted[name][cell[event, 0][number, 0].ravel().astype(int) - 1] = True
            yield Image(f"{label[0]}/{file[0]}", WiderTruth(boxes, counted))


def predict(truth: WiderTruth, random: np.random.Generator, count: int) -> Floats:
    """Make up ``(count, 5)`` predictions, ``x y width height score``, by falling score."""
    faces = truth.boxes[random.integers(0, len(truth), count)]
    near = faces + random.normal(0, 0.12, faces.shape) * np.maximum(faces[:, [2, 3, 2, 3]], 1)
    anywhere = np.concatenate(
        [random.uniform(0, 1000, (count, 2)), random.uniform(5, 200, (count, 2))], axis=1
    )
    on_face = random.random(count) < 0.4  # noqa: PLR2004 - about two in five
    rows = np.where(on_face[:, None], near, anywhere)
    rows[:, 2:] = np.maximum(rows[:, 2:], 1)
    scores = random.beta(1 + 2 * on_face, 2)
    table = np.column_stack([rows.round(1), scores.round(6)])
    return table[np.argsort(-table[:, 4], kind="stable")]


def write(images: Sequence[Image], tables: Sequence[Floats], folder: Path) -> None:
    """Write the official layout, which the port reads."""
    for image, table in zip(images, tables, strict=True):
        path = folder / f"{image.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{x:.1f} {y:.1f} {w:.1f} {h:.1f} {score:.6f}" for x, y, w, h, score in table]
        path.write_text("\n".join([f"{path.stem}.jpg", str(len(table)), *lines, ""]))


def measure_facekit(
    images: Sequence[Image], tables: Sequence[Floats], runs: int
) -> tuple[float, dict[str, float]]:
    """Return the seconds of the best run, and AP by setting."""
    truths = [image.truth for image in images]
    found = [
        Found(np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1), table[:, 4])
        for table in tables
    ]
    best, aps = float("inf"), {}
    for _ in range(runs):
        start = time.process_time()
        curves = wider_face(truths, found)
        best = min(best, time.process_time() - start)
        aps = {setting: curve.ap for setting, curve in curves.items()}
    return best, aps


def measure_port(
    checkout: Path, place: Path, predictions: Path, truth: Path, runs: int
) -> tuple[float, dict[str, float]]:
    """Build a copy of the port, run it, and return the same."""
    python = place / "bin" / "python"
    if not python.is_file():
        venv.create(place, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PORT_NEEDS], check=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "port"
        shutil.copytree(checkout, copy)
        build = [str(python), "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(build, cwd=copy, check=True, capture_output=True)
        command = [str(python), "-c", PORT, str(predictions), str(truth), str(runs)]
        done = subprocess.run(
            command,
            cwd=copy,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], {name.strip().lower(): ap for name, ap in answer["aps"].items()}


def main() -> None:
    """Measure both, and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("port", type=Path)
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--detections", type=int, default=300, help="an image")
    parser.add_argument("--runs", type=int, default=5, help="of facekit; the port runs once")
    parser.add_argument("--venv", type=Path)
    arguments = parser.parse_args()
    images = read_truth(arguments.ground_truth)
    random = np.random.default_rng(0)
    tables = [predict(image.truth, random, arguments.detections) for image in images]
    print(f"{len(images)} images, {sum(map(len, tables)):,} predictions, ", end="")
    print(f"{len(SETTINGS)} settings; Python {platform.python_version()}, NumPy {np.__version__}")
    ours = measure_facekit(images, tables, arguments.runs)
    with tempfile.TemporaryDirectory() as folder:
        write(images, tables, Path(folder) / "predictions")
        place = (arguments.venv or Path(folder) / "venv").resolve()
        theirs = measure_port(
            arguments.port, place, Path(folder) / "predictions", arguments.ground_truth.resolve(), 1
        )
    print(f"{'':8} {'seconds':>9} {'ratio':>8} " + " ".join(f"{name:>20}" for name in SETTINGS))
    for name, (seconds, aps) in (("port", theirs), ("facekit", ours)):
        row = " ".join(f"{aps[setting]:20.16f}" for setting in SETTINGS)
        print(f"{name:8} {seconds:9.3f} {theirs[0] / seconds:7.1f}x {row}")


if __name__ == "__main__":
    main()
