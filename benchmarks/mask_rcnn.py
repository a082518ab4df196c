"""How fast ``mask_rcnn`` is, beside Detectron2's own ``DefaultPredictor``.

    python benchmarks/mask_rcnn.py PHOTO... [--rounds 5] [--min-size 320] [--threads 1]

Run it with the Python of an environment that has ``facekit[mask_rcnn,export]`` and Detectron2 (a
checkout on ``PYTHONPATH`` will do). All run on the same weights, those of
``tests/detectors/golden/mask_rcnn_seeded.py`` in a whole R50-FPN, and on the same photos, each in
a process of its own that waits while another works. One round asks each once, for all photos; the
best round counts. On a machine that others use, the processor's seconds say more than the clock's.
Nothing is asserted: the numbers depend on the machine, their ratios less so.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
SEEDED = runpy.run_path(str(ROOT / "tests/detectors/golden/mask_rcnn_seeded.py"))
CONFIG = """\
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  MASK_ON: True
  BACKBONE: {{NAME: "build_resnet_fpn_backbone"}}
  RESNETS: {{OUT_FEATURES: ["res2", "res3", "res4", "res5"], DEPTH: 50}}
  FPN: {{IN_FEATURES: ["res2", "res3", "res4", "res5"]}}
  ANCHOR_GENERATOR:
    SIZES: [[32], [64], [128], [256], [512]]
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS: {{NAME: "StandardROIHeads", IN_FEATURES: ["p2", "p3", "p4", "p5"], NUM_CLASSES: 80}}
  ROI_BOX_HEAD: {{NAME: "FastRCNNConvFCHead", NUM_FC: 2, POOLER_RESOLUTION: 7}}
  ROI_MASK_HEAD: {{NAME: "MaskRCNNConvUpsampleHead", NUM_CONV: 4, POOLER_RESOLUTION: 14}}
INPUT: {{MIN_SIZE_TEST: {size}, MAX_SIZE_TEST: {longest}}}
VERSION: 2
"""

LOOP = """
import json, sys, time
import numpy as np
folder, threads = sys.argv[1], int(sys.argv[2])
with np.load(folder + "/photos.npz") as file:
    photos = [file[name] for name in sorted(file)]
{ready}
found = once()
print("ready", flush=True)
for _ in sys.stdin:
    start, worked = time.perf_counter(), time.process_time()
    found = once()
    seconds, cpu = time.perf_counter() - start, time.process_time() - worked
    # Of this process since its start; getrusage also counts what it was forked from.
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    print(json.dumps(dict(seconds=seconds, cpu=cpu, peak=peak, found=found)), flush=True)
"""

DETECTRON2 = """
import torch
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor
torch.set_num_threads(threads)
config = get_cfg()
config.merge_from_file(folder + "/r50.yaml")
config.MODEL.DEVICE, config.MODEL.WEIGHTS = "cpu", folder + "/r50.pth"
predictor = DefaultPredictor(config)
def once():
    answers = [predictor(np.ascontiguousarray(one[..., ::-1]))["instances"] for one in photos]
    return [[one.pred_boxes.tensor.tolist(), one.scores.tolist()] for one in answers]
"""

FACEKIT = """
from facekit import create_detector
options = dict(weights=folder + "/{weights}", threads=threads) | dict({options})
if "{weights}".endswith(".pth"):
    options["config"] = folder + "/r50.yaml"
detector = create_detector("mask_rcnn", **{{"batch_size": 1}} | options)
{change}
def once():
    answers = detector.detect(photos)
    return [[one.boxes.tolist(), one.scores.tolist()] for one in answers]
"""

CHANNELS_LAST = """
import torch
detector.run.network.to(memory_format=torch.channels_last)
"""

BFLOAT16 = """
import torch
plain = detector.run.network.forward
def forward(images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = plain(images)
    return [type(one)(*(x if x is None or not x.is_floating_point() else x.float() for x in one))
            for one in found]
detector.run.network.forward = forward
"""

COMPILED = """
import torch
network = detector.run.network
network.backbone = torch.compile(network.backbone, dynamic=False)
network.roi_heads.mask_head.forward = torch.compile(network.roi_heads.mask_head.forward)
"""


class Contender(NamedTuple):
    """A process's name and what it does."""

    name: str
    code: str


class Worker:
    """A contender's process, ready and waiting."""

    def __init__(self, contender: Contender, folder: Path, threads: int) -> None:
        code = LOOP.format(ready=contender.code)
        command = [sys.executable, "-W", "ignore", "-c", code, str(folder), str(threads)]
        self.name = contender.name
        self.answers: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self._read("ready") is not None

    def ask(self) -> None:
        """Have it work once."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        line = self._read("{")
        if line is None:
            self.ready = False
        else:
            self.answers.append(json.loads(line))

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def of(self, key: str) -> list[float]:
        """Return one of its numbers of every round."""
        return [float(answer[key]) for answer in self.answers]

    def _read(self, start: str) -> str | None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return next((line for line in self._process.stdout if line.startswith(start)), None)


def prepare(folder: Path, photos: list[Path], size: int) -> None:
    """Write the photos, the configuration and the weights for all."""
    import torch  # noqa: PLC0415 - which --help does not need

    from facekit import images  # noqa: PLC0415 - the same
    from facekit.detectors._mask_rcnn_config import read_config  # noqa: PLC0415 - the same
    from facekit.networks.mask_rcnn import MaskRCNN  # noqa: PLC0415 - the same

    pixels = {f"{index:03}": images.read(path) for index, path in enumerate(photos)}
    np.savez(folder / "photos.npz", allow_pickle=False, **pixels)
    config = folder / "r50.yaml"
    config.write_text(CONFIG.format(size=size, longest=size * 5 // 3), encoding="utf-8")
    shapes = {k: v.shape for k, v in MaskRCNN(read_config(config).settings()).state_dict().items()}
    state = {key: torch.from_numpy(value) for key, value in SEEDED["weights"](shapes).items()}
    torch.save({"model": state}, folder / "r50.pth")


def contenders(rows: list[str]) -> list[Contender]:
    """Return those that are wanted."""
    changes = {
        "facekit": ("r50.pth", "", ""),
        "facekit, fast": ("r50.pth", "fast=True", ""),
        "facekit, fast, batch of 4": ("r50.pth", "fast=True, batch_size=4", ""),
        "facekit, batch of 4": ("r50.pth", "batch_size=4", ""),
        "facekit, channels last": ("r50.pth", "", CHANNELS_LAST),
        "facekit, compiled": ("r50.pth", "", COMPILED),
        "facekit, bfloat16": ("r50.pth", "", BFLOAT16),
        "facekit, exported to ONNX": ("r50.onnx", "", ""),
    }
    found = [Contender("detectron2", DETECTRON2)]
    for name, (weights, options, change) in changes.items():
        code = FACEKIT.format(weights=weights, options=options, change=change)
        found.append(Contender(name, code))
    return [one for one in found if not rows or one.name in rows]


def cost(found: list[Any], wanted: list[Any]) -> str:
    """Say in words how far boxes and scores are from Detectron2's, each from its nearest."""
    moved, scores, counts = 0.0, 0.0, [0, 0]
    for (boxes, sure), (want, wanted_sure) in zip(found, wanted, strict=True):
        counts = [counts[0] + len(boxes), counts[1] + len(want)]
        apart = np.abs(np.array(boxes)[None] - np.array(want)[:, None]).max(axis=2)
        near = apart.argmin(axis=1)
        moved = max(moved, float(apart.min(axis=1).max()))
        scores = max(scores, float(np.abs(np.array(sure)[near] - np.array(wanted_sure)).max()))
    return f"{counts[0]} boxes for {counts[1]}, off by {moved:.2g} px; scores by {scores:.2g}"


def report(workers: list[Worker], threads: int) -> None:
    """Print what was measured."""
    base = workers[0]
    print(f"{threads} threads; seconds for all photos; x: how often {base.name}'s")
    columns = ("best", "x", "median", "x", "CPU", "x", "peak MB")
    print(f"{'':28}" + "".join(f"{column:>9}" for column in columns))
    for worker in workers:
        if not worker.answers:
            print(f"{worker.name:28} did not run")
            continue
        numbers: list[float] = []
        kinds: list[tuple[str, Any]] = [("seconds", min), ("seconds", statistics.median)]
        for key, of in [*kinds, ("cpu", min)]:
            own = of(worker.of(key))
            numbers += [own, of(base.of(key)) / own]
        numbers.append(max(worker.of("peak")))
        line = "".join(f"{number:9.2f}" for number in numbers)
        difference = cost(worker.answers[-1]["found"], base.answers[-1]["found"])
        print(f"{worker.name:28}{line}  {difference}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--files", type=Path, help="where weights are kept")
    parser.add_argument("--min-size", type=int, default=320)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--row", action="append", help="only this one; the first is the base")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.files or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, arguments.photos, arguments.min_size)
        rows = contenders(arguments.row or [])
        if any(one.name.endswith("ONNX") for one in rows) and not (folder / "r50.onnx").is_file():
            from facekit.export import export  # noqa: PLC0415 - torch

            options = {"config": folder / "r50.yaml", "photo": arguments.photos[0]}
            print(export("mask_rcnn", folder / "r50.pth", folder / "r50.onnx", **options))
        workers = [Worker(one, folder, arguments.threads) for one in rows]
        for _ in range(arguments.rounds):
            for worker in workers:
                if worker.ready:
                    worker.ask()
        for worker in workers:
            worker.close()
        report(workers, arguments.threads)


if __name__ == "__main__":
    main()
