"""What a backend costs: time for one image and memory, measured in a process of its own.

``python -m facekit.evaluation.cost`` reads a request as JSON from standard input, builds the
backend, runs it, and writes the result as JSON: nothing else is in that process's memory.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facekit import images, registry
from facekit.config import BackendConfig
from facekit.errors import BackendError
from facekit.evaluation.candidates import Candidate
from facekit.images import RgbImage
from facekit.registry import Role
from facekit.types import Detections

__all__ = ["Cost", "measure_cost"]

RUNS: Final = 20
_WARM_UP: Final = 3
_LINE: Final = "facekit-cost "
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a backend costs.

    Attributes:
        milliseconds: Median time of one call with one image, that is in memory already.
        runs: Of how many calls.
        threads: The CPU threads that the backend was told to use; 0 where it cannot be told.
        image_size: Height and width of the image, pixels.
        faces: Faces in it, for a landmarker or classifier.
        peak_mb: The most memory that the process had, MB (10^6 bytes); ``None`` where the system
            does not tell.
        start_mb: What it had before the backend was built, MB.
        machine: The processor.
    """

    milliseconds: float
    runs: int
    threads: int
    image_size: tuple[int, int]
    faces: int
    peak_mb: float | None
    start_mb: float | None
    machine: str


def measure_cost(
    candidate: Candidate,
    image: RgbImage,
    boxes: npt.ArrayLike | None = None,
    *,
    runs: int = RUNS,
) -> Cost:
    """Measure a backend on one image, on one thread where it can be told.

    Args:
        candidate: The backend with its options.
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(n, 4)`` canonical squares, pixels, for a landmarker or classifier.
        runs: How many calls.

    Raises:
        BackendError: If the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "image.png"
        images.write(photo, image)
        request = {
            "role": candidate.role,
            "backend": candidate.config.backend,
            "options": candidate.config.options,
            "image": str(photo),
            "boxes": [] if boxes is None else np.asarray(boxes, float).tolist(),
            "runs": runs,
        }
        done = subprocess.run(
            [sys.executable, "-m", "facekit.evaluation.cost"],
            input=json.dumps(request, default=str),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, "1")},
        )
    # Backends print what they like; ours is the line that begins so.
    lines = [line for line in done.stdout.splitlines() if line.startswith(_LINE)]
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        message = f"{candidate.label}: its cost cannot be measured: {reason}"
        raise BackendError(message)
    answer = json.loads(lines[-1].removeprefix(_LINE))
    return Cost(**{**answer, "image_size": tuple(answer["image_size"])})


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Measure what a request names."""
    role: Role = request["role"]
    options, threads = dict(request["options"]), 0
    named = BackendConfig(backend=request["backend"], **options)
    candidate = Candidate(label=request["backend"], role=role, config=named)
    owner = registry.load_class(registry.find(role, request["backend"]))
    if "threads" in owner.Options.model_fields:
        threads = 1
    start = _peak_mb()
    part = candidate.build(**({"threads": 1} if threads else {}))
    image = images.read(request["image"])
    faces = _faces(request["boxes"], image)

    def call() -> None:
        if role == "detector":
            part.detect([image])
        elif role == "landmarker":
            part.locate([image], [faces])
        else:
            part.classify([image], [faces])

    for _ in range(_WARM_UP):
        call()
    times = []
    for _ in range(request["runs"]):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return {
        "milliseconds": 1000 * statistics.median(times),
        "runs": len(times),
        "threads": threads,
        "image_size": image.shape[:2],
        "faces": len(faces),
        "peak_mb": _peak_mb(),
        "start_mb": start,
        "machine": _machine(),
    }


def _faces(boxes: list[list[float]], image: RgbImage) -> Detections:
    """Return squares as a detector gives them."""
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    size = (image.shape[0], image.shape[1])
    return Detections(boxes=array, scores=np.ones(len(array), np.float32), image_size=size)


def _peak_mb() -> float | None:
    """Return the most memory that this process ever had, MB; ``None`` where nobody tells."""
    try:
        # Linux hands ru_maxrss down from the process that started this one; this it does not.
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        pass
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6


def _machine() -> str:
    """Name the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def main() -> None:
    """Answer one request."""
    print(_LINE + json.dumps(_answer(json.load(sys.stdin))))  # noqa: T201 - the other process reads it


if __name__ == "__main__":
    main()
