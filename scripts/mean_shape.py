"""Compute facekit's 68-point mean shape from hand-placed annotations.

    python scripts/mean_shape.py annotations.xml > src/facekit/mean_shape.py

The annotations are a dlib XML file of faces with 68 parts in the iBUG 300-W scheme. The mean is
generalised Procrustes analysis (Gower, "Generalized Procrustes analysis", Psychometrika 40, 1975)
over similarities, of every face and its mirror image, so that the shape is symmetric.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from defusedxml import ElementTree

Shape = npt.NDArray[np.float64]

MIRROR = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *[45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],
    *[54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55],
    *[64, 63, 62, 61, 60, 67, 66, 65],
]
"""The point that each point becomes when the image is mirrored."""

HEADER = '''"""The mean shape of 68 hand-placed landmarks, iBUG 300-W scheme.

Made by ``scripts/mean_shape.py``: generalised Procrustes mean over similarities of {count:,}
annotated faces (HELEN's training part and AFW, as 300-W publishes them) and their mirror images,
upright, scaled so that its longer side just fills the unit square, and centred in it.
"""

from __future__ import annotations

__all__ = ["MEAN_SHAPE_68"]

# fmt: off
MEAN_SHAPE_68: tuple[tuple[float, float], ...] = (
'''


def read_shapes(file: Path) -> Shape:
    """Read ``(n, 68, 2)`` points of a dlib XML file."""
    boxes = ElementTree.parse(file).iter("box")
    parts = [
        sorted(
            (int(part.attrib["name"]), float(part.attrib["x"]), float(part.attrib["y"]))
            for part in box
        )
        for box in boxes
    ]
    return np.array([[point[1:] for point in face] for face in parts if len(face) == len(MIRROR)])


def normalised(shapes: Shape) -> Shape:
    """Move each shape's centre to the origin and scale it to unit norm."""
    centred = shapes - shapes.mean(axis=-2, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=(-2, -1), keepdims=True))


def procrustes_mean(shapes: Shape, rounds: int = 20) -> Shape:
    """Turn every shape onto the mean, average, and repeat."""
    shapes = normalised(np.concatenate([shapes, shapes[:, MIRROR] * [-1, 1]]))
    mean = shapes[0]
    for _ in range(rounds):
        u, _, vt = np.linalg.svd(shapes.transpose(0, 2, 1) @ mean)
        turned = shapes @ u @ (np.linalg.det(u @ vt)[:, None, None] ** [[0, 0], [1, 1]] * vt)
        mean = normalised(turned.mean(axis=0))
    return upright((mean + mean[MIRROR] * [-1, 1]) / 2)


def upright(shape: Shape) -> Shape:
    """Turn the mean so that the eyes are level, and fit it into the unit square."""
    across = shape[42:48].mean(axis=0) - shape[36:42].mean(axis=0)
    cos, sin = across / np.linalg.norm(across)
    level = shape @ np.array([[cos, -sin], [sin, cos]])
    low, high = level.min(axis=0), level.max(axis=0)
    return np.asarray((level - (low + high) / 2) / (high - low).max() + 0.5)


def main() -> None:
    """Print the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    shapes = read_shapes(parser.parse_args().annotations)
    print(HEADER.format(count=len(shapes)), end="")
    rows = [f"({x:.4f}, {y:.4f})," for x, y in procrustes_mean(shapes)]
    for i in range(0, len(rows), 4):
        print("    " + " ".join(rows[i : i + 4]))
    print(")\n# fmt: on")


if __name__ == "__main__":
    main()
