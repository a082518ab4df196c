"""What ``tiny_ssd`` adds to its network's own time, and how much longer mmdet takes.

    python benchmarks/tiny_ssd.py [PHOTO] [--threads 1] [--rounds 200] [--weights FILE.onnx]
        [--also FILE.xml ...] [--parts]

Three do the same photo of 640 x 480 by turns, once a round: ONNX Runtime's bare session on an
input that is ready, ``tiny_ssd`` from the photo's array to boxes, and MMDetection's own
``inference_detector`` on the same weights, which needs ``facekit[mmdet,export]``.

The best round and the median one count, and their ratios; on a busy machine the processor's time
says more than the clock's.
``--parts`` also times the steps of ``tiny_ssd``, ``--also`` other files of it: rounded to 8 bits,
or with suppression inside. Nothing is asserted but that the boxes agree.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime as ort
import skimage.data

from facekit import images, weights
from facekit.detectors.tiny_ssd import SPEC, TinySSD, prepare, to_detections
from facekit.engines import FloatArray
from facekit.images import RgbImage

ROOT = Path(__file__).parents[1]
OLD_CONFIG = ROOT / "tests" / "data" / "mmdet" / "tiny_ssd_1x.txt"
SIZE = (640, 480)
CLOSE = 1e-2
Call = Callable[[], object]
TOGETHER = 3
"""Calls one after the other, so that each finds its own data in the processor's caches."""


def bare_session(path: Path, batch: FloatArray, threads: int) -> Call:
    """Return a call of ONNX Runtime alone."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: batch}
    return lambda: session.run(None, feed)


def by_mmdet(path: Path, photo: RgbImage, threads: int, folder: Path) -> Callable[[], Any]:
    """Return a call of ``inference_detector``, on the weights of an ONNX file."""
    import torch  # noqa: PLC0415 - optional

    from facekit.mmlab.migrate import migrate  # noqa: PLC0415 - beside it
    from facekit.training.detection import ssd_weights  # noqa: PLC0415 - torch

    # Makes mmdet importable where its compiled ops lack, and knows the tiny SSD's parts.
    importlib.import_module("facekit.mmlab.predictor")
    apis = importlib.import_module("mmdet.apis")
    torch.set_num_threads(threads)
    state = dict(ssd_weights.load(str(path)).state_dict())
    state["bbox_head.loss_weights"] = torch.zeros(2)
    checkpoint, config = folder / "tiny_ssd.pth", folder / "tiny_ssd.py"
    torch.save({"state_dict": state, "meta": {"CLASSES": ["face"]}}, checkpoint)
    migrate(OLD_CONFIG, config)
    model = apis.init_detector(str(config), str(checkpoint), device="cpu")
    bgr = np.ascontiguousarray(photo[..., ::-1])
    return lambda: apis.inference_detector(model, bgr).pred_instances


class Spent(NamedTuple):
    """Milliseconds of a call: on the clock, and of the processor."""

    wall: float
    processor: float


def timed(calls: Mapping[str, Call], rounds: int) -> dict[str, list[Spent]]:
    """Return what each call takes, the best of a few each round; all take turns."""
    spent: dict[str, list[Spent]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            several = [once(call) for _ in range(TOGETHER)]
            spent[name].append(Spent(*map(min, zip(*several, strict=True))))
    return spent


def once(call: Call) -> Spent:
    """Return what one call takes."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return Spent((time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3)


def show(spent: Mapping[str, Sequence[Spent]]) -> None:
    """Print each call's best and median, and how many times ``tiny_ssd``'s they are."""
    for kind in Spent._fields:
        print(
            f"\n{kind:20} {'best ms':>9} {'median ms':>9} {'of tiny_ssd: best':>18} {'median':>7}"
        )
        times = {name: [getattr(one, kind) for one in ones] for name, ones in spent.items()}
        own = times["tiny_ssd"]
        for name, ones in times.items():
            best, middle = min(ones), statistics.median(ones)
            shares = best / min(own), middle / statistics.median(own)
            print(f"{name:20} {best:9.2f} {middle:9.2f} {shares[0]:18.3f} {shares[1]:7.3f}")
        bare = times["bare session"]
        ratios = min(own) / min(bare), statistics.median(own) / statistics.median(bare)
        print(
            f"tiny_ssd / bare session: {ratios[0]:.3f} by the best, {ratios[1]:.3f} by the median"
        )


def resized(path: str | None) -> RgbImage:
    """Return a photo at the size that is measured; by default scikit-image's astronaut."""
    photo = skimage.data.astronaut() if path is None else images.read(path)  # type: ignore[no-untyped-call]
    small: RgbImage = cv2.resize(photo, SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def built(path: Path, asked: argparse.Namespace) -> TinySSD:
    """Return the detector with these weights."""
    options = {"weights": path, "threads": asked.threads, "score_threshold": asked.threshold}
    return TinySSD(TinySSD.Options.model_validate(options))


def detecting(path: Path, photo: RgbImage, asked: argparse.Namespace) -> Call:
    """Return a call of the detector with other weights."""
    detector = built(path, asked)
    return lambda: detector.detect([photo])


def parts(path: Path, photo: RgbImage, asked: argparse.Namespace) -> dict[str, Call]:
    """Return the detector's steps as calls."""
    network, batch = SPEC.load(path, threads=asked.threads), prepare([photo])
    logits, deltas = network(batch)
    size = (photo.shape[0], photo.shape[1])
    return {
        "  prepare": lambda: prepare([photo]),
        "  network": lambda: network(batch),
        "  boxes": lambda: to_detections(
            logits[0], deltas[0], size, score_threshold=asked.threshold
        ),
    }


def check_agreement(detector: TinySSD, photo: RgbImage, mmdet: Callable[[], Any]) -> None:
    """Stop if the two do not find the same."""
    (own,), theirs = detector.detect([photo]), mmdet()
    kept = theirs.scores.numpy() > detector.score_threshold
    apart = np.abs(own.boxes - theirs.bboxes.numpy()[kept]).max()
    print(f"{len(own)} boxes above {detector.score_threshold}, at most {apart:.1e} px apart")
    if apart > CLOSE:
        sys.exit("the two do not find the same")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--weights", default="tiny_ssd", help="an .onnx file, or a known name")
    parser.add_argument("--threshold", type=float, default=0.5, help="score of boxes that count")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--also", action="append", type=Path, default=[])
    asked = parser.parse_args()
    photo = resized(asked.photo)
    path = weights.resolve(asked.weights, default="tiny_ssd")
    detector = built(path, asked)
    calls: dict[str, Call] = {
        "bare session": bare_session(path, prepare([photo]), asked.threads),
        "tiny_ssd": lambda: detector.detect([photo]),
    }
    for file in asked.also:
        calls[file.name] = detecting(file, photo, asked)
    if asked.parts:
        calls |= parts(path, photo, asked)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if importlib.util.find_spec("mmengine") is None:
            print("mmdet is not installed, and left out")
        else:
            mmdet = by_mmdet(path, photo, asked.threads, Path(folder))
            check_agreement(detector, photo, mmdet)
            calls["inference_detector"] = mmdet
        spent = timed(calls, asked.rounds)
    print(f"{asked.rounds} rounds, {asked.threads} thread(s), {SIZE[0]} x {SIZE[1]}, ONNX Runtime")
    show(spent)


if __name__ == "__main__":
    main()
