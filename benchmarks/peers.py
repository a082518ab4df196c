"""facekit's defaults beside published models, in one table each and one plot each.

    FACEKIT_DATA=data FACEKIT_WEIGHTS=weights python benchmarks/peers.py --out runs/peers

Detectors on the photos of WIDER FACE's validation part that are at hand, landmarkers on the part
of the landmark sets that `resnet18` was not trained on. Every model goes through the evaluator of
`facekit evaluate`; the peers are small adapters below, which is also what a plug-in looks like.
Haar needs OpenCV 4; the published tiny SSD needs torch, unless `--tiny-ssd` names it as ONNX.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from facekit import datasets
from facekit.batches import read_pairs
from facekit.boxes import IDENTITY, nms, square
from facekit.datasets import ImageRecord
from facekit.errors import FacekitError
from facekit.evaluation import Report, Result, evaluate_detector, evaluate_landmarker
from facekit.images import ImageLike, crop, read_all
from facekit.protocols import Detector, DetectorOptions, Options
from facekit.types import Detections, Landmarks

FloatArray = npt.NDArray[np.float32]

TWINS: Final = frozenset({"helen/13601448", "helen/1425648903", "helen/2267933931"})
"""People of the held-out part who are in another photo too; see resnet18's card."""


def session(path: Path) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Open an ONNX file on one thread; old exports warn about every weight."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class _Peer:
    """What the two detectors share."""

    Options = DetectorOptions
    class_names = ("face",)
    evaluation_threshold = 0.02
    score_threshold = 0.02
    box_transform = IDENTITY

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """Find the faces of each image."""
        return [self._one(image) for image in read_all(images)]

    def _one(self, image: npt.NDArray[np.uint8]) -> Detections:
        raise NotImplementedError


class YuNet(_Peer):
    """YuNet (Wu et al., 2023) by OpenCV, the longest side brought to 640 px."""

    name = "yunet"
    test_scale = "longest side 640 px"

    def __init__(self, path: Path) -> None:
        self._detector = cv2.FaceDetectorYN.create(
            str(path), "", (640, 640), self.score_threshold, 0.3, 5000
        )

    def _one(self, image: npt.NDArray[np.uint8]) -> Detections:
        height, width = image.shape[:2]
        scale = 640 / max(height, width)
        wanted = round(width * scale), round(height * scale)
        small = cv2.resize(image, wanted, interpolation=cv2.INTER_LINEAR)
        # The file has one input size: the rest is black.
        padded = np.zeros((640, 640, 3), dtype=np.uint8)
        padded[: wanted[1], : wanted[0]] = small
        _, rows = self._detector.detect(padded[..., ::-1].copy())
        table = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        table = table[np.argsort(-table[:, 14], kind="stable")]
        boxes = np.concatenate([table[:, :2], table[:, :2] + np.maximum(table[:, 2:4], 0)], axis=1)
        boxes /= np.array([wanted[0] / width, wanted[1] / height] * 2, dtype=np.float32)
        return Detections(boxes=boxes, scores=table[:, 14].clip(0, 1), image_size=(height, width))


class UltraLight(_Peer):
    """RFB-320 of Ultra-Light-Fast-Generic-Face-Detector-1MB: RGB, 320 x 240, (x - 127) / 128.

    The file's boxes are corners in 0..1, decoded; its own demo suppresses at overlap 0.3.
    """

    name = "rfb_320"
    test_scale = "320 x 240 px, stretched"

    def __init__(self, path: Path) -> None:
        self._session = session(path)

    def _one(self, image: npt.NDArray[np.uint8]) -> Detections:
        size = (image.shape[0], image.shape[1])
        small = cv2.resize(image, (320, 240), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        batch = ((small - 127) / 128).transpose(2, 0, 1)[None]
        scores, corners = self._session.run(["scores", "boxes"], {"input": batch})
        likely = scores[0, :, 1] > self.score_threshold
        scale = np.array([size[1], size[0]] * 2, dtype=np.float32)
        boxes, values = corners[0, likely] * scale, scores[0, likely, 1]
        boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
        kept = nms(boxes, values, 0.3)
        return Detections(boxes=boxes[kept], scores=values[kept], image_size=size)


class Pfld:
    """PFLD (Guo et al., 2019): RGB in 0..1, 112 x 112, 68 points in 0..1 of the crop."""

    Options = Options
    name = "pfld"
    scheme = "ibug68"
    point_count = 68
    test_scale = "crop of 112 x 112 px"
    # Of 1.0, 1.1, 1.2 and 1.3 the least error on the HELEN and AFW faces kept for choosing.
    crop_scale = 1.1

    def __init__(self, path: Path) -> None:
        self._session = session(path)

    def locate(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Landmarks]:
        """Place the points of each face."""
        answers = []
        for image, found in read_pairs(images, detections):
            squares = square(found.canonical_squares(), self.crop_scale).astype(np.float32)
            crops = [crop(image, box, (112, 112), border="replicate") for box in squares]
            points = np.zeros((0, 68, 2), np.float32)
            if crops:
                batch = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255
                (raw,) = self._session.run(["output"], {"input": batch})
                sides = (squares[:, 2:] - squares[:, :2])[:, None]
                points = squares[:, None, :2] + raw.reshape(-1, 68, 2) * sides
            answers.append(
                Landmarks(points=points, scheme=self.scheme, image_size=found.image_size)
            )
        return answers


def held_out(record: ImageRecord, residue: int = 0) -> bool:
    """Whether a landmark photo was kept apart when `resnet18` was trained; see its card."""
    stem = record.name.rsplit(".", 1)[0]
    # A person has many frames: the name without two digits. A photo may be there mirrored too.
    person = stem.startswith("p1")
    group = (
        re.sub(r"_\d\d$", "", stem) if person else re.sub(r"_\d$", "", stem.replace("_mirror", ""))
    )
    digest = hashlib.sha256(group.encode()).hexdigest()
    return group not in TWINS and int(digest[:8], 16) % 10 == residue


def detectors(weights: Path, tiny_ssd: Path) -> Iterator[tuple[str, Any]]:
    """Yield every detector that can run here, with its label."""
    yield "tiny_ssd, bundled", "tiny_ssd"
    yield "tiny_ssd, published", {"backend": "tiny_ssd", "weights": str(tiny_ssd)}
    yield "haar", "haar"
    yield "rfb_320", UltraLight(weights / "peers" / "version-RFB-320.onnx")
    yield "yunet", YuNet(weights / "peers" / "yunet_n_640_640.onnx")


def measure_detectors(arguments: argparse.Namespace) -> Report:
    """Measure the detectors."""
    records = list(datasets.read(f"wider_face:{arguments.data / 'wider'}", split="val"))
    results: list[Result] = []
    for label, detector in detectors(arguments.weights, arguments.tiny_ssd):
        part: str | dict[str, str] | Detector = detector
        try:
            results.append(
                evaluate_detector(
                    records,
                    part,
                    protocols=["ap50", "wider"],
                    ground_truth=arguments.data / "wider" / "ground_truth",
                    folder=arguments.out / "predictions" / label.replace(", ", "-"),
                    missing="skip",
                    label=label,
                    batch_size=1,
                )
            )
        except FacekitError as error:
            print(f"left out: {label}: {error}")
    return Report("WIDER FACE, validation part", tuple(results))


def measure_landmarkers(arguments: argparse.Namespace, name: str) -> Report:
    """Measure the landmarkers on one file of the landmark sets."""
    spec = f"ibug300w:{arguments.data / 'landmarks68' / name}"
    records = [record for record in datasets.read(spec) if held_out(record)]
    pfld = Pfld(arguments.weights / "peers" / "pfld68.onnx")
    results = [
        evaluate_landmarker(records, part, label=label)
        for label, part in (("resnet18", "resnet18"), ("pfld", pfld))
    ]
    return Report(f"{name}, held-out part", tuple(results))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("FACEKIT_DATA"))
    parser.add_argument("--weights", type=Path, default=os.environ.get("FACEKIT_WEIGHTS"))
    parser.add_argument("--tiny-ssd", type=Path, help="the published weights as ONNX")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.data is None or arguments.weights is None:
        parser.error("FACEKIT_DATA and FACEKIT_WEIGHTS, or --data and --weights, name the folders")
    if arguments.tiny_ssd is None:
        name = "wider_face_tiny_ssd_075x_from_ir.pth"
        arguments.tiny_ssd = arguments.weights / "tiny_ssd" / name
    reports = {"detectors": measure_detectors(arguments)}
    for file in ("labels_ibug_300W_train.xml", "labels_p1_train.xml"):
        reports[file.split("_")[1]] = measure_landmarkers(arguments, file)
    for name, report in reports.items():
        (arguments.out / name).mkdir(parents=True, exist_ok=True)
        report.save(arguments.out / name)
        print(report.to_markdown())


if __name__ == "__main__":
    main()
