"""Why ``tiny_ssd`` and OpenVINO's ``face-detection-retail-0005.xml`` differ, on the same weights.

    FACEKIT_DATA=... python benchmarks/retail_0005.py IR.xml WEIGHTS

The network is the same, so every difference is what becomes of its answer. Each row changes one
thing more, from MMDetection 1.x's way, which is ``tiny_ssd``'s, until the boxes are those of the
IR's own ``DetectionOutput``. Needs ``facekit[openvino]``; the photos are those of WIDER FACE's
validation part that are at hand.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov

from facekit import datasets
from facekit.boxes import nms
from facekit.detectors.tiny_ssd import (
    _HEIGHTS,
    _WIDTHS,
    SIZE,
    SPEC,
    STANDARD_DEVIATIONS,
    _face_scores,
    anchors,
    prepare,
)
from facekit.evaluation.photos import read_photo
from facekit.evaluation.selection import is_at_hand
from facekit.images import RgbImage
from facekit.metrics.average_precision import average_precision
from facekit.metrics.truth import Truth
from facekit.types import Detections

Array = npt.NDArray[np.float32]
HEIGHTS = (50, 30, 10)
PIXEL = np.array([0, 0, 1, 1], dtype=np.float32)
"""From boxes that count pixels inclusively to continuous ones."""


@dataclasses.dataclass(frozen=True)
class Way:
    """What differs; as it stands here, MMDetection 1.x's way."""

    rounded: bool = True
    continuous: bool = False
    most: int | None = None
    clipped: bool = True

    def __call__(self, logits: Array, deltas: Array, size: tuple[int, int]) -> Detections:
        """Turn the network's answer into boxes."""
        scores = _face_scores(logits)
        rows = np.flatnonzero(scores > np.float32(0.02))
        rows = rows[np.argsort(-scores[rows], kind="stable")][: self.most]
        boxes = self._decode(deltas[rows], self._priors()[rows])
        scale = np.array([size[1], size[0]] * 2, dtype=np.float32) / SIZE
        if self.continuous:
            boxes *= scale
            kept = nms(boxes, scores[rows], 0.45)[:200]
        else:
            inclusive = (boxes - PIXEL) * scale
            kept = nms(inclusive, scores[rows], 0.45, inclusive=True)[:200]
            boxes = (inclusive + PIXEL).astype(np.float32)
        return Detections(boxes=boxes[kept], scores=scores[rows][kept], image_size=size)

    def _priors(self) -> Array:
        """Return anchors as continuous boxes."""
        if self.rounded:
            return np.add(anchors(), PIXEL)
        cells = np.repeat(anchors()[::9, :2] - anchors()[0, :2], 9, axis=0) + 8
        extents = np.tile(np.array([_WIDTHS, _HEIGHTS], dtype=np.float32).T, (len(cells) // 9, 1))
        return np.concatenate([cells - extents / 2, cells + extents / 2], axis=1).astype(np.float32)

    def _decode(self, deltas: Array, priors: Array) -> Array:
        scaled = deltas * STANDARD_DEVIATIONS
        extents = priors[:, 2:] - priors[:, :2]
        centres = (priors[:, 2:] + priors[:, :2]) / 2 + scaled[:, :2] * extents
        half = extents * np.exp(scaled[:, 2:]) / 2
        boxes: Array = np.concatenate([centres - half, centres + half], axis=1)
        return boxes.clip(PIXEL, SIZE - 1 + PIXEL) if self.clipped else boxes


WAYS = {
    "tiny_ssd: MMDetection 1.x": Way(),
    "scaled to the photo as continuous": Way(continuous=True),
    "anchors not rounded": Way(rounded=False),
    "both": Way(rounded=False, continuous=True),
    "and only the best 200 before NMS": Way(rounded=False, continuous=True, most=200),
    "and not clipped": Way(rounded=False, continuous=True, most=200, clipped=False),
}


def published(path: Path) -> Callable[[Array, tuple[int, int]], Detections]:
    """Return what runs the IR, ``DetectionOutput`` and all."""
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = ov.Core().compile_model(path, "CPU", exact)

    def run(rgb: Array, size: tuple[int, int]) -> Detections:
        rows: Array = model(rgb[:, ::-1] * 255)[0].reshape(-1, 7)
        rows = rows[(rows[:, 0] >= 0) & (rows[:, 2] > np.float32(0.02))]
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        scale = np.array([size[1], size[0]] * 2, dtype=np.float32)
        return Detections(boxes=rows[:, 3:] * scale, scores=rows[:, 2], image_size=size)

    return run


def answers(weights: Path, photos: Sequence[RgbImage]) -> Iterator[tuple[Array, Array, Array]]:
    """Yield each photo's input, logits and deltas."""
    network = SPEC.load(weights)
    for photo in photos:
        batch = prepare([photo])
        logits, deltas = network(batch)
        yield batch, logits[0], deltas[0]


def main(arguments: Sequence[str]) -> None:
    """Print a row of average precision for each way."""
    root = Path(os.environ["FACEKIT_DATA"]) / "wider"
    records = [
        record
        for record in datasets.read(
            f"wider_face:{root / 'wider_face_split' / 'wider_face_val_bbx_gt.txt'}",
            images=root / "WIDER_val" / "images",
        )
        if is_at_hand(record)
    ]
    truths = [Truth(record.boxes.astype(np.float64), record.ignored) for record in records]
    photos = [read_photo(record) for record in records]
    sizes = [(photo.shape[0], photo.shape[1]) for photo in photos]
    run = published(Path(arguments[0]))
    found: dict[str, list[Detections]] = {name: [] for name in (*WAYS, "the IR itself")}
    for size, (batch, logits, deltas) in zip(
        sizes, answers(Path(arguments[1]), photos), strict=True
    ):
        for name, way in WAYS.items():
            found[name].append(way(logits, deltas, size))
        found["the IR itself"].append(run(batch, size))
    print(f"{len(records)} photos; AP50 of faces at least so many pixels high")
    for name, those in found.items():
        values = [average_precision(truths, those, min_height=px).ap for px in HEIGHTS]
        print(f"{name:36}", *(f"{value:.4f}" for value in values), sum(map(len, those)), "boxes")
    last = zip(found["and not clipped"], found["the IR itself"], strict=True)
    apart = [
        float(np.abs(one.boxes - other.boxes).max(initial=0))
        for one, other in last
        if len(one) == len(other)
    ]
    print(
        f"not clipped, and the IR: as many boxes in {len(apart)} photos, {max(apart):.1e} px apart"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
