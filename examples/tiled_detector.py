"""A detector of your own: tiny_ssd on overlapping tiles, which finds small faces in large photos.

Run it: tiled_detector.py PHOTO OUT.jpg. To give it a name that configurations and the command line
know, ship it in a package whose pyproject.toml has an entry point; facekit.testing has its tests:

    [project.entry-points."facekit.detectors"]
    tiled = "your_package.tiled_detector:Tiled"
"""

import sys
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

import facekit
from facekit.boxes import nms
from facekit.images import ImageLike, RgbImage, read_all
from facekit.protocols import DetectorOptions


class Tiled:
    """Finds faces of at least a fifteenth of a tile."""

    class Options(DetectorOptions):
        """What a configuration may set, beside the score threshold."""

        tile: int = Field(default=300, ge=64)  # the network's own input: nothing is rescaled

    name: ClassVar[str] = "tiled"
    class_names: tuple[str, ...] = ("face",)
    evaluation_threshold = 0.02

    def __init__(self, options: Options | None = None) -> None:
        """Build the detector that looks at the tiles."""
        options = options or self.Options()
        self._tile = options.tile
        self._inner = facekit.create_detector(
            score_threshold=options.score_threshold, box_transform=options.box_transform
        )
        self.score_threshold = self._inner.score_threshold
        self.box_transform = self._inner.box_transform

    def detect(self, images: Sequence[ImageLike]) -> list[facekit.Detections]:
        """Find the faces of each image."""
        return [self._detect_one(image) for image in read_all(images)]

    def _detect_one(self, image: RgbImage) -> facekit.Detections:
        height, width = image.shape[:2]
        size, step = self._tile, self._tile // 2
        rows, columns = range(0, max(height - step, 1), step), range(0, max(width - step, 1), step)
        corners = [(x, y) for y in rows for x in columns]
        found = self._inner.detect([image[y : y + size, x : x + size] for x, y in corners])
        boxes = np.concatenate(
            [
                part.boxes + np.array([x, y, x, y])
                for part, (x, y) in zip(found, corners, strict=True)
            ]
        )
        scores = np.concatenate([part.scores for part in found])
        best = nms(boxes, scores, 0.3)
        return facekit.Detections(
            boxes=boxes[best],
            scores=scores[best],
            image_size=(height, width),
            box_transform=self.box_transform,
        )


if __name__ == "__main__":
    photo, out = sys.argv[1:]
    faces = facekit.FaceAnalyzer(detector=Tiled())(photo)
    print(f"{len(faces)} faces; on the whole photo {len(facekit.FaceAnalyzer()(photo))}")
    facekit.write_image(out, facekit.draw_faces(photo, faces))
