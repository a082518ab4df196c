"""How much memory a conversion takes, from ten thousand to a million images.

    python benchmarks/conversion_memory.py [--images 10000 100000 1000000] [--to coco csv ...]

Each conversion, from a synthetic annotation text of WIDER FACE with one to three faces an image,
runs in a process of its own, whose peak of resident memory is printed beside that of the same
process before it read anything. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

CONVERT = """
import json, resource, sys, time
from facekit import datasets
text, target = sys.argv[1:]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
datasets.write([datasets.ImageRecord(name="a.jpg", size=(768, 1024))], target)
before, start = peak(), time.process_time()
sized = (one.replace(size=(768, 1024)) for one in datasets.read(f"wider_face:{text}"))
losses = datasets.write(sized, target)
print(json.dumps([losses.images, losses.faces, time.process_time() - start, before, peak()]))
"""

FILES = {"coco": "out.json", "csv": "out.csv", "wider_face": "out.txt", "detectron2": "out.json"}


class Result(NamedTuple):
    """What a conversion did and took; seconds of the processor, memory in kB."""

    images: int
    faces: int
    seconds: float
    before: int
    peak: int


def synthesise(text: Path, images: int) -> None:
    """Write an annotation text."""
    with text.open("w") as file:
        for number in range(images):
            count = 1 + number % 3
            rows = [f"{40 * i} {number % 500} 30 40 0 0 0 0 {i} 0 \n" for i in range(count)]
            file.write(f"{number // 1000}--Event/{number}.jpg\n{count}\n{''.join(rows)}")


def measure(text: Path, target: str) -> Result:
    """Convert in a process of its own.

    Raises:
        SystemExit: If it fails.
    """
    command = [sys.executable, "-c", CONVERT, str(text), target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{target}: {done.stderr.strip().splitlines()[-1]}")
    return Result(*json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, and print one line a conversion."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--to", nargs="+", choices=FILES, default=["coco"])
    arguments = parser.parse_args()
    print(f"{'to':12} {'images':>9} {'faces':>9} {'seconds':>8} {'MB before':>10} {'MB peak':>8}")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "faces.txt"
        for images in arguments.images:
            synthesise(text, images)
            for name in arguments.to:
                one = measure(text, f"{name}:{Path(folder) / FILES[name]}")
                row = f"{one.images:9} {one.faces:9} {one.seconds:8.1f}"
                print(f"{name:12} {row} {one.before / 1024:10.1f} {one.peak / 1024:8.1f}")


if __name__ == "__main__":
    main()
