"""Small datasets of real photos, laid out as WIDER FACE is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.datasets import FaceRecord, ImageRecord
from facekit.images import write
from facekit.types import Detections

Photo = npt.NDArray[np.uint8]

FACE = (176.0, 60.0, 272.0, 172.0)
"""Eileen Collins' face in scikit-image's photo, pixels."""


@pytest.fixture
def album(tmp_path: Path, astronaut: Photo) -> Path:
    """Two events: the photo, its mirror image, and a part of it without a face."""
    root = tmp_path / "WIDER"
    photos = root / "WIDER_val" / "images"
    for event in ("0--Parade", "4--Dancing"):
        (photos / event).mkdir(parents=True)
    (root / "wider_face_split").mkdir()
    write(photos / "0--Parade" / "a.jpg", astronaut)
    write(photos / "0--Parade" / "b.jpg", astronaut[:, ::-1])
    write(photos / "4--Dancing" / "c.jpg", astronaut[300:, :200])
    x1, y1, x2, y2 = map(int, FACE)
    width, height = x2 - x1, y2 - y1
    lines = [
        *("0--Parade/a.jpg", "1", f"{x1} {y1} {width} {height} 0 0 0 0 0 0"),
        *("0--Parade/b.jpg", "1", f"{512 - x2} {y1} {width} {height} 0 0 0 0 0 0"),
        *("4--Dancing/c.jpg", "0", "0 0 0 0 0 0 0 0 0 0"),
    ]
    text = root / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    text.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return root


@pytest.fixture
def record() -> Callable[..., ImageRecord]:
    """Make an image with faces, not at hand."""

    def make(name: str, *boxes: tuple[float, float, float, float]) -> ImageRecord:
        return ImageRecord(name=name, faces=tuple(FaceRecord(box=box) for box in boxes))

    return make


@pytest.fixture
def found() -> Callable[..., Detections]:
    """Make detections of ``x1, y1, x2, y2, score``."""

    def make(*rows: tuple[float, float, float, float, float]) -> Detections:
        table = np.array(rows, dtype=np.float32).reshape(-1, 5)
        return Detections(boxes=table[:, :4], scores=table[:, 4], image_size=(100, 200))

    return make
