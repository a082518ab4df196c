"""How fast WIDER FACE becomes COCO when image sizes come from headers, not from decoded images.

    python benchmarks/converting_to_coco.py TEXT:IMAGES [TEXT:IMAGES ...] [--runs 3]

Each TEXT is an annotation text and IMAGES its folder of images, such as
``wider_face_val_bbx_gt.txt:WIDER_val/images``; images that are not there are left out of every
run, and counted. The same conversion runs with sizes from facekit's headers, and with each image
opened and decoded whole, by OpenCV and by Pillow. After one warm-up, which also fills the file
cache, the best of the runs counts. Nothing is asserted: the numbers depend on the machine, their
ratio less so.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
from PIL import Image

from facekit import datasets
from facekit.datasets import ImageRecord

Size = tuple[int, int] | None


def by_opencv(record: ImageRecord) -> Size:
    """Decode an image with OpenCV; height and width, pixels."""
    image = cv2.imread(str(record.path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{record.path}: OpenCV cannot decode it")
    return (image.shape[0], image.shape[1])


def by_pillow(record: ImageRecord) -> Size:
    """Decode an image with Pillow; height and width, pixels."""
    with Image.open(str(record.path)) as image:
        image.load()
        return (image.height, image.width)


def by_header(_: ImageRecord) -> Size:
    """Leave the size to the writer, which reads headers."""
    return None


WAYS: dict[str, Callable[[ImageRecord], Size]] = {
    "decoded by Pillow": by_pillow,
    "decoded by OpenCV": by_opencv,
    "headers": by_header,
}


def convert(records: list[ImageRecord], size_of: Callable[[ImageRecord], Size], out: Path) -> float:
    """Write records whose sizes are found in some way; seconds of the processor."""
    start = time.process_time()
    sized = (record.replace(size=size_of(record)) for record in records)
    datasets.write(sized, f"coco:{out}")
    return time.process_time() - start


def present(text: str, images: str) -> tuple[list[ImageRecord], int]:
    """Read the records whose images are there, and count the others."""
    records = list(datasets.read(f"wider_face:{text}", images=images))
    there = [one for one in records if one.path is not None and one.path.is_file()]
    return there, len(records) - len(there)


def main() -> None:
    """Measure, and print one line a way of finding sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", metavar="TEXT:IMAGES", nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    records: list[ImageRecord] = []
    for word in arguments.sets:
        text, _, images = word.partition(":")
        found, missing = present(text, images)
        print(f"{Path(text).name}: {len(found)} images, {missing} more are not there")
        records += found
    if not records:
        raise SystemExit("no image is there")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        best = {
            name: min([convert(records, way, out) for _ in range(arguments.runs + 1)][1:])
            for name, way in WAYS.items()
        }
    print(f"{'sizes':20} {'seconds':>9} {'us an image':>12} {'headers are faster by':>22}")
    for name, seconds in best.items():
        ratio = seconds / best["headers"]
        print(f"{name:20} {seconds:9.3f} {seconds / len(records) * 1e6:12.0f} {ratio:21.1f}x")


if __name__ == "__main__":
    main()
