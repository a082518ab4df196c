"""How fast WIDER FACE's annotation text becomes records, beside datumaro's reader.

    python benchmarks/wider_face_reading.py wider_face_val_bbx_gt.txt [--runs 5] [--venv DIR]

Run it with the Python of an environment that has facekit. datumaro gets an environment of its
own, which is made once (``--venv`` keeps it). Each reader runs in a process of its own, imports
not counted: one warm-up, then the best of the runs, every record held in a list as datumaro does.
facekit is measured four ways: records whose faces are checked columns of numbers; the same, and
every column used as an array; the same, and every face made an object as datumaro's are; and
records that are counted and let go. Nothing is asserted: the numbers depend on the machine, their
ratio less so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DATUMARO = "datumaro==1.13.12"

TIMING = """
import json, resource, sys, time
path, runs = sys.argv[1], int(sys.argv[2])
{reader}
faces = read(path)
best = min(timed(lambda: read(path)) for _ in range(runs))
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([best, *faces, memory]))
"""

TIMED = """
def timed(call):
    start = time.process_time()
    call()
    return time.process_time() - start
"""

FACEKIT = f"""{TIMED}
from facekit.datasets import wider_face
def read(path):
    records = list(wider_face.read(path))
    return len(records), sum(len(record.faces) for record in records)
"""

ARRAYS = f"""{TIMED}
from facekit.datasets import wider_face
def read(path):
    records = list(wider_face.read(path))
    kept = [(one.boxes, one.ignored, one.faces.attributes) for one in records if one.faces]
    return len(records), sum(len(boxes) for boxes, _, _ in kept)
"""

OBJECTS = f"""{TIMED}
from facekit.datasets import wider_face
def read(path):
    records = [(record, list(record.faces)) for record in wider_face.read(path)]
    return len(records), sum(len(faces) for _, faces in records)
"""

STREAM = f"""{TIMED}
from facekit.datasets import wider_face
def read(path):
    images = faces = 0
    for record in wider_face.read(path):
        images += 1
        faces += len(record.faces)
    return images, faces
"""

OTHER = f"""{TIMED}
from datumaro.components.annotation import Bbox
from datumaro.plugins.data_formats.widerface import WiderFaceBase
def read(path):
    items = list(WiderFaceBase(path, subset="val"))
    return len(items), sum(isinstance(one, Bbox) for item in items for one in item.annotations)
"""


class Result(NamedTuple):
    """What one reader took and gave."""

    seconds: float
    images: int
    faces: int
    memory: int


def measure(python: Path, reader: str, text: Path, runs: int) -> Result:
    """Time a reader in a process of its own.

    Raises:
        SystemExit: If it fails.
    """
    command = [str(python), "-c", TIMING.format(reader=reader), str(text), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    return Result(*json.loads(done.stdout.splitlines()[-1]))


def environment(folder: Path) -> Path:
    """Make datumaro's environment, unless it is there, and return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {DATUMARO} into {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", DATUMARO], check=True)
    return python


def compare(text: Path, runs: int, folder: Path) -> Sequence[tuple[str, Result]]:
    """Measure every reader."""
    here = Path(sys.executable)
    return [
        ("datumaro", measure(environment(folder), OTHER, text, runs)),
        ("facekit", measure(here, FACEKIT, text, runs)),
        ("facekit, arrays used", measure(here, ARRAYS, text, runs)),
        ("facekit, objects made", measure(here, OBJECTS, text, runs)),
        ("facekit, streamed", measure(here, STREAM, text, runs)),
    ]


def main() -> None:
    """Measure, and print one line a reader."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("text", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--venv", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.venv or Path(folder) / "datumaro"
        results = compare(arguments.text.resolve(), arguments.runs, place)
    base = results[0][1].seconds
    print(f"{'reader':21} {'images':>7} {'faces':>8} {'seconds':>9} {'ratio':>7} {'peak MB':>8}")
    for name, (seconds, images, faces, memory) in results:
        ratio = base / seconds
        row = f"{images:7} {faces:8} {seconds:9.3f} {ratio:6.1f}x {memory / 1024:8.0f}"
        print(f"{name:21} {row}")


if __name__ == "__main__":
    main()
