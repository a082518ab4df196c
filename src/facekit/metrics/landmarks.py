"""How far landmarks are from where they were annotated: NME, CED, AUC and failure rate.

An error is a distance in pixels over a length of the same face, so that large faces weigh as much
as small ones. ``interocular`` is the distance of the outer eye corners (points 36 and 45 of the
68, from 0), ``interpupil`` that of the means of the six points of each eye, ``box_diagonal`` the
diagonal of a box. Reports of 300-W use the first, older ones the second, sets with profiles the
third.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from facekit.errors import MetricsError

__all__ = [
    "REGIONS",
    "THRESHOLD",
    "LandmarkScores",
    "Normalisation",
    "landmark_scores",
    "nme",
    "normalising_lengths",
    "point_errors",
]

Floats = npt.NDArray[np.float64]
Normalisation = Literal["interocular", "interpupil", "box_diagonal"]

REGIONS: Final[Mapping[str, slice]] = MappingProxyType(
    {
        "jaw": slice(0, 17),
        "brows": slice(17, 27),
        "nose": slice(27, 36),
        "eyes": slice(36, 48),
        "mouth": slice(48, 68),
    }
)
"""The points of the 68 by part of the face, from 0."""

THRESHOLD: Final = 0.08
"""The error beyond which a face has failed, in 300-W's reports."""

_POINTS: Final = 68
_OUTER_CORNERS: Final = (36, 45)
_EYES: Final = (slice(36, 42), slice(42, 48))
_COORDINATES: Final = 4
_STEPS: Final = 1000


def point_errors(
    predicted: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    normalise: Normalisation = "interocular",
    boxes: npt.ArrayLike | None = None,
) -> Floats:
    """Return the normalised error of every point.

    Args:
        predicted: ``(n, k, 2)`` x, y, pixels. A face whose points are all NaN was not found.
        truth: ``(n, k, 2)`` x, y, pixels.
        normalise: The length that errors are divided by; the two of the eyes need 68 points.
        boxes: ``(n, 4)`` xyxy, pixels, for ``box_diagonal``; by default the smallest boxes around
            the annotated points.

    Returns:
        ``(n, k)`` float64; a row of NaN for a face that was not found.

    Raises:
        MetricsError: If shapes disagree, a number is not finite, or a length is 0.
    """
    annotated, ours = _points(truth, "truth"), _points(predicted, "predicted")
    if annotated.shape != ours.shape:
        message = f"{ours.shape} predicted points do not belong to {annotated.shape} annotated ones"
        raise MetricsError(message)
    _check_faces(annotated, "truth", missing=False)
    _check_faces(ours, "predicted", missing=True)
    lengths = normalising_lengths(annotated, normalise=normalise, boxes=boxes)
    errors: Floats = np.linalg.norm(ours - annotated, axis=2) / lengths[:, None]
    return errors


def nme(
    predicted: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    normalise: Normalisation = "interocular",
    boxes: npt.ArrayLike | None = None,
) -> Floats:
    """Return each face's normalised mean error, a fraction; see :func:`point_errors`.

    Returns:
        ``(n,)`` float64; NaN for a face that was not found.
    """
    errors: Floats = point_errors(predicted, truth, normalise=normalise, boxes=boxes).mean(axis=1)
    return errors


def normalising_lengths(
    truth: npt.ArrayLike, *, normalise: Normalisation, boxes: npt.ArrayLike | None = None
) -> Floats:
    """Return the length that each face's errors are divided by.

    Args:
        truth: ``(n, k, 2)`` x, y, pixels.
        normalise: Which length.
        boxes: As in :func:`point_errors`.

    Returns:
        ``(n,)`` float64, pixels.

    Raises:
        MetricsError: If the points or boxes do not fit the length, or one is 0.
    """
    points = _points(truth, "truth")
    if normalise not in get_args(Normalisation):
        message = f"normalise must be {' or '.join(get_args(Normalisation))}, got {normalise!r}"
        raise MetricsError(message)
    if normalise == "box_diagonal":
        lengths = _diagonals(points, boxes)
    else:
        if points.shape[1] != _POINTS:
            message = f"{normalise} needs {_POINTS} points, got {points.shape[1]}: use box_diagonal"
            raise MetricsError(message)
        lengths = _between_eyes(points, normalise)
    if (lengths <= 0).any():
        message = f"face {int((lengths <= 0).argmax())}: its {normalise} length is 0"
        raise MetricsError(message)
    return lengths


def _between_eyes(points: Floats, normalise: Normalisation) -> Floats:
    """Return the distance of the outer corners, or of the eyes' means."""
    if normalise == "interocular":
        left, right = (points[:, point] for point in _OUTER_CORNERS)
    else:
        left, right = (points[:, eye].mean(axis=1) for eye in _EYES)
    distances: Floats = np.linalg.norm(right - left, axis=1)
    return distances


def _diagonals(points: Floats, boxes: npt.ArrayLike | None) -> Floats:
    """Return the diagonal of each box, or of the smallest box around the points."""
    if boxes is None:
        sides = np.ptp(points, axis=1) if points.size else np.zeros((len(points), 2))
    else:
        xyxy = np.asarray(boxes, dtype=np.float64)
        if xyxy.shape != (len(points), _COORDINATES):
            message = f"boxes must have shape ({len(points)}, 4), got {xyxy.shape}"
            raise MetricsError(message)
        sides = xyxy[:, 2:] - xyxy[:, :2]
        if not (sides >= 0).all():
            message = f"box {int((~(sides >= 0).all(axis=1)).argmax())} has no size"
            raise MetricsError(message)
    diagonals: Floats = np.linalg.norm(sides, axis=1)
    return diagonals


def _points(value: npt.ArrayLike, owner: str) -> Floats:
    """Return ``(n, k, 2)`` float64."""
    points = np.asarray(value, dtype=np.float64)
    if points.ndim != 3 or points.shape[2] != 2 or not points.shape[1]:  # noqa: PLR2004 - x and y
        message = f"{owner} points must have shape (n, k, 2), got {points.shape}"
        raise MetricsError(message)
    return points


def _check_faces(points: Floats, owner: str, *, missing: bool) -> None:
    """Refuse a face with a number that is not finite, unless the whole face is missing."""
    allowed = np.isfinite(points).all(axis=(1, 2))
    if missing:
        allowed |= np.isnan(points).all(axis=(1, 2))
    if not allowed.all():
        message = f"{owner}: face {int(np.argmin(allowed))} has a point that is not finite"
        raise MetricsError(message)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LandmarkScores:
    """How good landmarks are on a set of faces.

    Attributes:
        nme: Mean of the faces' normalised mean errors, a fraction; of those that were found.
        auc: Area under the CED from 0 to the threshold over the threshold: 0 to 1, exact.
        failure_rate: Share of faces whose error is above the threshold or that were not found.
        threshold: The threshold of both.
        ced_x: ``(1001,)``: errors from 0 to twice the threshold.
        ced_y: ``(1001,)``: the share of all faces whose error is at most that.
        per_region: NME of each part of the face; empty where there are not 68 points.
        per_face: ``(n,)``: each face's normalised mean error; NaN where it was not found.
        faces: The number of faces.
        missing: How many of them were not found.
    """

    nme: float
    auc: float
    failure_rate: float
    threshold: float
    ced_x: Floats
    ced_y: Floats
    per_region: Mapping[str, float]
    per_face: Floats
    faces: int
    missing: int


def landmark_scores(errors: npt.ArrayLike, *, threshold: float = THRESHOLD) -> LandmarkScores:
    """Return what is reported of normalised errors.

    Args:
        errors: ``(n, k)`` of :func:`point_errors`, or ``(n,)`` of :func:`nme`, which leaves out
            the parts of the face. A face that was not found is NaN: it has failed, adds nothing to
            the area, and is left out of the mean errors.
        threshold: The error beyond which a face has failed.

    Raises:
        MetricsError: If there is no face, an error is negative, or the threshold is not positive.
    """
    points = np.asarray(errors, dtype=np.float64)
    if points.ndim not in {1, 2} or not points.size:
        message = f"errors must be of at least one face, (n,) or (n, k), got shape {points.shape}"
        raise MetricsError(message)
    if not threshold > 0:
        message = f"threshold must be above 0, got {threshold}"
        raise MetricsError(message)
    if (points < 0).any():
        message = "errors are distances: none is negative"
        raise MetricsError(message)
    faces: Floats = points if points.ndim == 1 else points.mean(axis=1)
    found = faces[~np.isnan(faces)]
    xs = np.linspace(0, 2 * threshold, _STEPS + 1)
    return LandmarkScores(
        nme=_mean(found),
        # The integral of a staircase of steps of 1 / n at each error is exact, without a grid.
        auc=float(np.clip(1 - found / threshold, 0, None).sum() / len(faces)),
        failure_rate=float(1 - (found <= threshold).sum() / len(faces)),
        threshold=threshold,
        ced_x=xs,
        ced_y=np.searchsorted(np.sort(found), xs, side="right") / len(faces),
        per_region=_per_region(points),
        per_face=faces,
        faces=len(faces),
        missing=len(faces) - len(found),
    )


def _per_region(errors: Floats) -> Mapping[str, float]:
    """Return the mean error of each part of the faces that were found."""
    if errors.ndim == 1 or errors.shape[1] != _POINTS:
        return MappingProxyType({})
    found = errors[~np.isnan(errors).any(axis=1)]
    return MappingProxyType({name: _mean(found[:, part]) for name, part in REGIONS.items()})


def _mean(values: Floats) -> float:
    """Return the mean, or NaN of nothing."""
    return float(values.mean()) if values.size else float("nan")
