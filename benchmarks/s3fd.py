"""How fast S3FD's ``detect`` is, beside clcarwin's loop and face-alignment's detector.

    python benchmarks/s3fd.py [PHOTO] [--clcarwin CHECKOUT] [--venv DIR] [--threads 2] [--rounds 5]

Run it from a checkout, with the Python of an environment that has ``facekit[export,int8]``.
face-alignment is installed into an environment of its own that shares this one's packages;
``--venv`` keeps it. clcarwin's code is not packaged: give a checkout of clcarwin/SFD_pytorch.

All run on the same weights (those of ``tests/detectors/golden/s3fd_seeded.py``, or ``--weights``),
on one photo of 640 x 480, each in a process of its own that waits while another works. One round
asks each once; the best round counts, and so does the best of the matrix products between them.
Nothing is asserted: the numbers depend on the machine, their ratios less so.
"""

from __future__ import annotations

import argparse
import json
import math
import runpy
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import skimage.data

from facekit import images
from facekit.boxes import iou
from facekit.errors import MissingDependencyError
from facekit.metrics.average_precision import average_precision
from facekit.metrics.truth import Truth
from facekit.types import Detections

ROOT = Path(__file__).parents[1]
SIZE = (640, 480)
FLOPS = 194.8e9
NO_FACES = Detections(
    boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), image_size=(256, 256)
)
PEERS = ("face-alignment",)

# What every process does: make ready, then answer each line with seconds and boxes.
LOOP = """
import json, sys, time
import numpy as np
photo, weights, threads = np.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
{ready}
once()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    found = once()
    print(json.dumps({{"seconds": time.perf_counter() - start, **found}}), flush=True)
"""

FACEKIT = """
from facekit.detectors.s3fd import S3FD
detector = S3FD(S3FD.Options(weights=weights, threads=threads, score_threshold=0.05, {options}))
def once():
    (found,) = detector.detect([photo])
    return dict(boxes=found.boxes.tolist(), scores=found.scores.tolist())
"""

FORWARD = """
from facekit.detectors.s3fd import S3FD
detector = S3FD(S3FD.Options(weights=weights, threads=threads, score_threshold=0.05, {options}))
batch = detector._prepare(photo)[None]
def once():
    detector._run(batch)
    return dict()
"""

DECODING = """
from facekit.detectors.s3fd import S3FD
detector = S3FD(S3FD.Options(weights=weights, threads=threads, score_threshold=0.05, {options}))
batch = detector._prepare(photo)[None]
answer = detector._run(batch)
def once():
    start = time.perf_counter()
    found = detector._decode(answer[0][0], answer[1][0], photo.shape[:2])
    found = detector._to_detections([found], photo.shape[:2])
    return dict(faces=len(found))
"""

PRODUCTS = """
import torch
torch.set_num_threads(threads)
sides = [(1024, 1024, 1024), (2048, 2048, 1024), (512, 4800, 4608), (3072, 3072, 1024)]
pairs = [(torch.randn(m, k), torch.randn(k, n)) for m, n, k in sides]
def once():
    best = 0.0
    for one, two in pairs:
        start = time.perf_counter()
        one @ two
        best = max(best, 2 * one.numel() * two.shape[1] / (time.perf_counter() - start))
    return dict(peak=best)
"""

CLCARWIN = """
import torch, torch.nn as nn, torch.nn.functional as F, cv2, os
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
space = dict(torch=torch, nn=nn, F=F, np=np, cv2=cv2, Variable=lambda tensor, **_: tensor)
folder = sys.argv[4]
for name in ("net_s3fd.py", "bbox.py", "test.py"):
    text = open(os.path.join(folder, name)).read()
    if name == "test.py":
        # What Python 3 and a machine without a GPU need.
        text = text[text.index("def detect"):text.index("parser =")]
        text = text.replace("len(olist)/2", "len(olist)//2").replace(".cuda()", "")
    exec(text, space)
network = space["s3fd"]()
network.load_state_dict(torch.load(weights, weights_only=True))
network.eval()
bgr = np.ascontiguousarray(photo[..., ::-1])
def once():
    found = space["detect"](network, bgr)
    found = found[space["nms"](found, 0.3)]
    return dict(boxes=found[:, :4].tolist(), scores=found[:, 4].tolist())
"""

FACE_ALIGNMENT = """
import torch
from face_alignment.detection.sfd import FaceDetector
torch.set_num_threads(threads)
detector = FaceDetector("cpu", path_to_detector=weights, filter_threshold=0.05)
def once():
    with torch.no_grad():
        found = np.array(detector.detect_from_image(photo)).reshape(-1, 5)
    return dict(boxes=found[:, :4].tolist(), scores=found[:, 4].tolist())
"""


class Contender(NamedTuple):
    """A process, and what it is asked for."""

    name: str
    python: Path
    code: str
    weights: Path
    extra: str = ""


class Worker:
    """A contender's process, ready and waiting."""

    def __init__(self, contender: Contender, photo: Path, threads: int) -> None:
        command = [str(contender.python), "-W", "ignore", "-c"]
        command += [LOOP.format(ready=contender.code), str(photo), str(contender.weights)]
        self.name = contender.name
        self.answers: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [*command, str(threads), contender.extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read("ready")

    def ask(self) -> None:
        """Have it work once."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.answers.append(json.loads(self._read("{")))

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    @property
    def best(self) -> float:
        """The least seconds of all rounds."""
        return float(min(answer["seconds"] for answer in self.answers))

    @property
    def median(self) -> float:
        """The median of all rounds' seconds."""
        return float(statistics.median(answer["seconds"] for answer in self.answers))

    @property
    def found(self) -> Detections:
        """What it found in the last round."""
        last = self.answers[-1]
        return Detections(boxes=last["boxes"], scores=last["scores"], image_size=SIZE[::-1])

    def _read(self, start: str) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"{self.name}: ended without an answer")


def environment(folder: Path) -> Path:
    """Make the peers' environment, unless it is there, and return its Python.

    It sees the packages of the environment that runs this, so that all share one PyTorch.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {' and '.join(PEERS)} into {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        site = Path(next(folder.glob("lib/python*/site-packages")))
        (site / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS], check=True)
    return python


def seeded(folder: Path) -> Path:
    """Write the weights that tests show parity on."""
    import torch  # noqa: PLC0415 - only where no weights are given

    from facekit.networks.s3fd import S3FD  # noqa: PLC0415 - the same

    draw = runpy.run_path(str(ROOT / "tests/detectors/golden/s3fd_seeded.py"))["weights"]
    shapes = {name: tensor.shape for name, tensor in S3FD().state_dict().items()}
    path = folder / "s3fd.pth"
    torch.save({name: torch.from_numpy(one) for name, one in draw(shapes).items()}, path)
    return path


def photo_of(given: Path | None) -> Any:  # noqa: ANN401 - an image
    """Return the photo at 640 x 480, cut to 4 : 3."""
    # scikit-image's data functions have no types.
    astronaut: Any = skimage.data.astronaut
    photo: Any = images.read(given) if given else astronaut()
    height = min(photo.shape[0], photo.shape[1] * 3 // 4)
    return cv2.resize(photo[:height, : height * 4 // 3], SIZE, interpolation=cv2.INTER_AREA)


def export(weights: Path, folder: Path) -> dict[str, Path]:
    """Write the weights for each engine."""
    from facekit.export import export as write  # noqa: PLC0415 - torch

    files = {"torch": weights, "onnxruntime": folder / "s3fd.onnx", "openvino": folder / "s3fd.xml"}
    for name in ("onnxruntime", "openvino"):
        if not files[name].is_file():
            print(write("s3fd", weights, files[name], tolerance=1e-3), file=sys.stderr)
    return files


def quantised(weights: Path, photo: Any, folder: Path) -> Path | None:  # noqa: ANN401 - an image
    """Write the network in 8-bit arithmetic, measured on parts of the photo, or say why not."""
    from facekit.export import export as write  # noqa: PLC0415 - torch

    target = folder / "s3fd_int8.xml"
    if target.is_file():
        return target
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(12):
        x, y = rng.integers(0, SIZE[0] - 256), rng.integers(0, SIZE[1] - 256)
        part = np.ascontiguousarray(photo[y : y + 256, x : x + 256][:, :: rng.choice([-1, 1])])
        parts.append((part, NO_FACES))
    try:
        # Random weights have no answers worth keeping: what they cost is printed, not judged.
        print(write("s3fd", weights, target, int8=parts, tolerance=math.inf), file=sys.stderr)
    except MissingDependencyError as error:
        print(f"no 8-bit network: {error}", file=sys.stderr)
        return None
    return target


def contenders(
    files: Mapping[str, Path], int8: Path | None, peers: Path, clcarwin: Path | None
) -> list[Contender]:
    """Return all that is measured."""
    here, weights = Path(sys.executable), files["torch"]
    found = [Contender("matrix products", here, PRODUCTS, weights)]
    if clcarwin is not None:
        found.append(Contender("clcarwin", here, CLCARWIN, weights, str(clcarwin)))
    found.append(Contender("face-alignment", peers, FACE_ALIGNMENT, weights))
    for name, engine, options in (
        ("facekit torch f32", "torch", ""),
        ("facekit torch f32 fast", "torch", "fast=True"),
        ("facekit onnxruntime f32", "onnxruntime", ""),
        ("facekit openvino f32", "openvino", ""),
        ("facekit openvino bf16", "openvino", "precision='bf16'"),
        ("facekit torch bf16", "torch", "precision='bf16'"),
    ):
        found.append(Contender(name, here, FACEKIT.format(options=options), files[engine]))
    if int8 is not None:
        found.append(Contender("facekit openvino int8", here, FACEKIT.format(options=""), int8))
    found += [
        Contender(
            "forward, onnxruntime f32", here, FORWARD.format(options=""), files["onnxruntime"]
        ),
        Contender("forward, openvino f32", here, FORWARD.format(options=""), files["openvino"]),
        Contender("decode + nms", here, DECODING.format(options=""), files["openvino"]),
    ]
    return found


def cost(found: Detections, want: Detections) -> str:
    """Say in words how far boxes are from those of float32."""
    if not len(found) or not len(want):
        return f"{len(found)} boxes for {len(want)}"
    overlaps = iou(want.boxes, found.boxes)
    partner, same = overlaps.argmax(axis=1), overlaps.max(axis=1) > 0.5  # noqa: PLR2004 - IoU
    moved = np.abs(want.boxes - found.boxes[partner])[same].max(axis=1)
    scores = np.abs(want.scores - found.scores[partner])[same]
    truth = Truth(boxes=want.boxes.astype(np.float64), ignore=np.zeros(len(want), dtype=bool))
    ap = average_precision([truth], [found]).ap
    return (
        f"{len(found)} boxes for {len(want)}, {same.mean():.1%} found again; corners moved by "
        f"{np.median(moved):.2f} px (median), {moved.max():.2f} (most); scores by "
        f"{np.median(scores):.4f}, {scores.max():.4f}; AP {ap:.4f} with float32's boxes as truth"
    )


def report(workers: Sequence[Worker], threads: int) -> None:
    """Print what was measured."""
    by_name = {worker.name: worker for worker in workers}
    peak = max(answer["peak"] for answer in by_name["matrix products"].answers)
    print(f"{threads} threads; float32 matrix products reach {peak / 1e9:.0f} GFLOP/s")
    bases = [name for name in ("clcarwin", "face-alignment") if name in by_name]
    heads = "".join(f"{'x ' + name:>18}" for name in bases)
    print(f"{'detect':26}{'best s':>9}{'median s':>10}{heads}")
    for worker in workers:
        if "boxes" not in worker.answers[-1]:
            continue
        ratios = "".join(f"{by_name[name].best / worker.best:18.2f}" for name in bases)
        print(f"{worker.name:26}{worker.best:9.3f}{worker.median:10.3f}{ratios}")
    whole = by_name["facekit openvino f32"]
    for name in ("forward, onnxruntime f32", "forward, openvino f32"):
        speed = FLOPS / by_name[name].best
        share = speed / peak
        print(f"{name}: {by_name[name].best:.3f} s, {speed / 1e9:.0f} GFLOP/s, {share:.0%} of it")
    decoding = by_name["decode + nms"].best
    print(f"decode + nms: {decoding * 1e3:.1f} ms, {decoding / whole.best:.2%} of detect")
    rounded = ("torch f32 fast", "openvino bf16", "torch bf16", "openvino int8")
    for name in (*(f"facekit {one}" for one in rounded), *bases):
        if name in by_name:
            print(f"{name}: {cost(by_name[name].found, whole.found)}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--clcarwin", type=Path)
    parser.add_argument("--venv", type=Path)
    parser.add_argument("--files", type=Path, help="where exported weights are kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.files or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        peers = environment(arguments.venv or folder / "peers")
        files = export(arguments.weights or seeded(folder), folder)
        photo = photo_of(arguments.photo)
        np.save(folder / "photo.npy", photo)
        int8 = quantised(files["torch"], photo, folder)
        workers = [
            Worker(contender, folder / "photo.npy", arguments.threads)
            for contender in contenders(files, int8, peers, arguments.clcarwin)
        ]
        for _ in range(arguments.rounds):
            for worker in workers:
                worker.ask()
        for worker in workers:
            worker.close()
        report(workers, arguments.threads)


if __name__ == "__main__":
    main()
