"""Measure landmarks: interocular NME, on exact and on jittered boxes, and fit box transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from landmark_augment import jitter_square, plain_crop, to_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from landmark_data import Face
    from numpy.typing import NDArray

    Predictor = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """(N, 1, S, S) input in -1..1 to (N, 136) fractions of the crop minus 0.5."""

OUTER_EYE_CORNERS = (36, 45)
FAILURE = 0.08
"""A face whose NME is above this counts as a failure (300-W's usual threshold)."""


def interocular_errors(
    predicted: NDArray[np.float32], truth: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return each face's mean point error over the distance of the outer eye corners.

    Args:
        predicted: (n, 68, 2), pixels.
        truth: (n, 68, 2), pixels.

    Returns:
        (n,) fractions; multiply by 100 for per cent.
    """
    left, right = OUTER_EYE_CORNERS
    distance = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1)
    errors = np.linalg.norm(predicted - truth, axis=-1).mean(axis=-1)
    return np.asarray(errors / distance, dtype=np.float64)


def predict_faces(
    predictor: Predictor,
    faces: Sequence[Face],
    squares: NDArray[np.float32],
    size: int,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Return the points of each face in its own image's pixels, (n, 68, 2)."""
    points = []
    for start in range(0, len(faces), batch_size):
        pairs = zip(
            faces[start : start + batch_size], squares[start : start + batch_size], strict=True
        )
        crops, matrices = zip(*(plain_crop(face, box, size) for face, box in pairs), strict=True)
        outputs = predictor(to_input(crops)).reshape(len(crops), -1, 2)
        for output, matrix in zip(outputs, matrices, strict=True):
            linear, offset = matrix[:, :2], matrix[:, 2]
            points.append(((output + 0.5) * size - offset) @ np.linalg.inv(linear).T)
    return np.asarray(points, dtype=np.float32)


def face_errors(
    predictor: Predictor,
    faces: Sequence[Face],
    size: int,
    *,
    shift: float = 0.0,
    scale: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return each face's interocular NME, with its square jittered or exact.

    Args:
        predictor: The network.
        faces: The faces to measure on.
        size: Side of the network's input in pixels.
        shift: Largest centre shift per axis, as a fraction of the square's side.
        scale: Largest relative change of the square's side.
        seed: Of the jitter, so that two networks see the same boxes.
    """
    rng = np.random.default_rng(seed)
    squares = np.stack([jitter_square(face.square, shift, scale, rng) for face in faces])
    predicted = predict_faces(predictor, faces, squares, size)
    return interocular_errors(predicted, np.stack([face.points for face in faces]))


def summarise(errors: NDArray[np.float64]) -> str:
    """Return the mean, median and failure rate of errors as one line of text."""
    return (
        f"NME {100 * errors.mean():.2f} %, median {100 * np.median(errors):.2f} %, "
        f"above {100 * FAILURE:.0f} %: {100 * (errors > FAILURE).mean():.1f} % of {len(errors)}"
    )


def fit_box_transform(
    detector_boxes: NDArray[np.float32], canonical_squares: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """Fit the map from a detector's boxes to the canonical squares around the points, by medians.

    canonical centre = box centre + (dx * w, dy * h); canonical side = mean(sw * w, sh * h).

    Args:
        detector_boxes: (n, 4) x1, y1, x2, y2, row i the box of face i.
        canonical_squares: (n, 4) x1, y1, x2, y2.

    Returns:
        dx, dy, sw, sh.
    """
    boxes, squares = np.asarray(detector_boxes, float), np.asarray(canonical_squares, float)
    sizes = boxes[:, 2:] - boxes[:, :2]
    sides = squares[:, 2:] - squares[:, :2]
    shifts = (squares[:, 2:] + squares[:, :2] - boxes[:, 2:] - boxes[:, :2]) / 2 / sizes
    dx, dy = np.median(shifts, axis=0)
    sw, sh = np.median(sides / sizes, axis=0)
    return float(dx), float(dy), float(sw), float(sh)


def pfld_predictor(path: Path) -> tuple[Predictor, int]:
    """Return what runs a published PFLD file on our crops, and the side of its input, pixels.

    PFLD takes RGB in 0..1 at 112 px and answers 68 points in 0..1 of its crop.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        grey = (crops + 1) / 2
        answers = [
            session.run(None, {source.name: np.repeat(one[None], 3, axis=1)})[0] for one in grey
        ]
        points = np.concatenate([np.reshape(answer, (1, -1)) for answer in answers]) - 0.5
        return np.asarray(points, dtype=np.float32)

    return run, int(source.shape[-1])
