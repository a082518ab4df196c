"""How many CPU seconds the first ``facekit detect`` of a process costs, imports included.

    python benchmarks/cold_start.py [PHOTO] [--runs 5]

Run it with the Python of the environment to be measured. CPU seconds are user + system of the
whole child process with all its threads, as the kernel counts them; the photo is scikit-image's
astronaut unless another is given. Nothing is asserted: the numbers depend on the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What one process took, in seconds."""

    cpu: float
    wall: float


def measure(command: Sequence[str]) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: If it fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return Cost(usage.ru_utime + usage.ru_stime, wall)


def astronaut() -> Path:
    """Return the file of scikit-image's photo, without importing scikit-image."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("give a photo, or install scikit-image for its own")
    return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"


def main() -> None:
    """Measure, and print one line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    photo = str(arguments.photo or astronaut())
    facekit = str(Path(sys.executable).parent / "facekit")
    with tempfile.TemporaryDirectory() as folder:
        outputs = ["-o", f"{folder}/faces.jpg", "--json", f"{folder}/faces.json"]
        commands = {
            "facekit detect": [facekit, "detect", photo, *outputs],
            "facekit --help": [facekit, "--help"],
            "import facekit": [sys.executable, "-c", "import facekit"],
            "python alone": [sys.executable, "-c", "pass"],
        }
        print(f"{'command':16} {'first CPU s':>12} {'median CPU s':>13} {'median wall s':>14}")
        for name, command in commands.items():
            costs = [measure(command) for _ in range(arguments.runs)]
            cpu = statistics.median(cost.cpu for cost in costs)
            wall = statistics.median(cost.wall for cost in costs)
            print(f"{name:16} {costs[0].cpu:12.2f} {cpu:13.2f} {wall:14.2f}")


if __name__ == "__main__":
    main()
