r"""What the size of the input costs and brings: one checkpoint of ``tfod`` at several sizes.

    python benchmarks/tfod_sizes.py runs/faces exported/ \
        --dataset wider_face:wider_face_val_bbx_gt.txt --images WIDER_val/images \
        --photos tfrecord:prepared/train.record

Run it where ``facekit[litert,tfod_train]`` and the API are installed (docs/tfod-training.md). The
run's newest checkpoint is exported to TFLite at each size, in floats and, with ranges measured on
``--photos``, in 8-bit integers; what is exported already stays. Each is measured on ``--dataset``,
those of its images that are at hand: average precision at overlap 0.5, and the best time of one
photo on one thread, the graph alone, suppression within it. Times depend on the machine, their
ratios less so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import facekit
from facekit import datasets, evaluation
from facekit.cli import tfod_run
from facekit.evaluation.photos import read_photo
from facekit.evaluation.selection import is_at_hand

HEIGHTS = (100.0, 50.0, 30.0)
TRAINED = 224
ROUNDS = 40
COUNT = 100


class Row(NamedTuple):
    """A line of the table: precision by height, and milliseconds, of floats and of integers."""

    size: int
    floats: list[float]
    integers: list[float]
    ms: tuple[float, float]


def exported(run: Path, folder: Path, size: int, photos: str | None) -> Path:
    """Return the model of a size, exported where it is not there yet."""
    path = folder / f"{size}{'' if photos is None else '_int8'}" / "faces.tflite"
    if not path.is_file():
        tfod_run.export(run, path, photos=photos, images=None, count=COUNT, input_size=size)
    return path


def measured(path: Path, records: Sequence[Any]) -> tuple[list[float], float]:
    """Return a model's average precision by height, and its best milliseconds."""
    detector: Any = facekit.create_detector("tfod", weights=path, score_threshold=0, threads=1)
    found = evaluation.evaluate_detector(records, detector, heights=HEIGHTS)
    values = [found.values[f"AP50, {height:g} px"] for height in HEIGHTS]
    batch = detector._prepare([read_photo(records[0])])  # noqa: SLF001 - the graph alone is timed
    return values, 1000 * min(_times(detector, batch))


def _times(detector: Any, batch: Any) -> Iterator[float]:  # noqa: ANN401 - the adapter, its input
    for _ in range(ROUNDS):
        start = time.perf_counter()
        detector._forward(batch)  # noqa: SLF001 - the graph alone is timed
        yield time.perf_counter() - start


def shown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table as Markdown."""
    heads = [f"AP {height:g} px" for height in HEIGHTS]
    columns = ["input", *heads, *(f"INT8 {head}" for head in heads), "ms", "INT8 ms", "time"]
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    base = next((row.ms[0] for row in rows if row.size == TRAINED), rows[0].ms[0])
    for row in rows:
        numbers = [f"{value:.3f}" for value in (*row.floats, *row.integers)]
        times = [f"{value:.1f}" for value in row.ms]
        yield "| " + " | ".join([str(row.size), *numbers, *times, f"{row.ms[0] / base:.2f}"]) + " |"


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dataset", required=True, metavar="FORMAT:PATH")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--photos", required=True, metavar="FORMAT:PATH")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 160, 224, 320])
    options = parser.parse_args()
    records = [
        one for one in datasets.read(options.dataset, images=options.images) if is_at_hand(one)
    ]
    rows = []
    for size in options.sizes:
        sides = [
            measured(exported(options.run, options.folder, size, photos), records)
            for photos in (None, options.photos)
        ]
        rows.append(Row(size, sides[0][0], sides[1][0], (sides[0][1], sides[1][1])))
        print(
            f"{size}: {np.round(rows[-1].floats, 3)} {np.round(rows[-1].integers, 3)}", flush=True
        )
    print("\n".join(shown(rows)))


if __name__ == "__main__":
    main()
