"""What Detectron2 found in a photo, as facekit's detections. No framework is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.boxes import BoxTransform
from facekit.errors import BackendError, ConfigError
from facekit.masks import RleMask
from facekit.types import Detections

__all__ = ["class_names", "face_class", "to_detections"]

_BOX_SIDES = 4


def to_detections(
    found: Any,  # noqa: ANN401 - Instances
    image_size: tuple[int, int],
    *,
    threshold: float,
    only: int | None,
    several: bool,
    box_transform: BoxTransform,
) -> Detections:
    """Pick the faces of what a model has found in one photo.

    Args:
        found: Detectron2's ``Instances``, in the photo's pixels, with ``pred_boxes``, ``scores``,
            ``pred_classes``, and where the model has them ``pred_masks`` ``(n, H, W)`` and
            ``pred_keypoints`` ``(n, k, 3)``.
        image_size: Height and width, pixels.
        threshold: Scores must be higher.
        only: The class to keep; by default all.
        several: Whether the model has several classes, so that `Detections.class_ids` are wanted.
        box_transform: Of the detector.

    Raises:
        BackendError: If the boxes are not upright rectangles.
    """
    boxes, scores = _array(found.pred_boxes), _array(found.scores)
    if boxes.ndim != 2 or boxes.shape[1] != _BOX_SIDES:  # noqa: PLR2004 - one row a box
        message = f"detector 'detectron2': boxes of shape {boxes.shape}, facekit's are (n, 4)"
        raise BackendError(message)
    classes = _array(found.pred_classes)
    rows = np.flatnonzero(scores > np.float32(threshold))
    if only is not None:
        rows = rows[classes[rows] == only]
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    fields = found.get_fields()
    masks = keypoints = None
    if "pred_masks" in fields:
        planes = _array(fields["pred_masks"])
        masks = tuple(RleMask.from_mask(planes[row]) for row in rows)
    if "pred_keypoints" in fields:
        keypoints = _array(fields["pred_keypoints"])[rows].astype(np.float32)
    return Detections(
        boxes=boxes[rows],
        scores=scores[rows],
        image_size=image_size,
        class_ids=classes[rows] if several else None,
        masks=masks,
        keypoints=keypoints,
        box_transform=box_transform,
    )


def class_names(
    given: Sequence[str] | None, registered: Sequence[str] | None, classes: int | None
) -> tuple[str, ...]:
    """Return the names of a model's classes.

    Args:
        given: By the user.
        registered: In Detectron2, for the dataset that the config tests on.
        classes: How many the model has, if it says so.

    Raises:
        ConfigError: If there is not a name for each.
    """
    if given is not None:
        if classes not in (None, len(given)):
            raise ConfigError(
                f"detector 'detectron2': class_names has {len(given)} names, the model {classes} "
                "classes"
            )
        return tuple(given)
    if registered is not None:
        return tuple(registered)
    return ("face",) if classes in (None, 1) else tuple(map(str, range(classes or 0)))


def face_class(wanted: int | str | None, names: Sequence[str]) -> int | None:
    """Return the number of the class to keep; ``None`` for all.

    Args:
        wanted: A name, or a number from 0.
        names: Of all classes.

    Raises:
        ConfigError: If there is no such class.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str) and wanted in names:
        return list(names).index(wanted)
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    raise ConfigError(
        f"detector 'detectron2': face_class {wanted!r} is none of the {len(names)} classes: "
        f"{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"  # noqa: PLR2004 - enough
    )


def _array(values: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - a tensor, or Detectron2's Boxes
    """Return a tensor's values, or those of Detectron2's own box type."""
    return np.asarray(getattr(values, "tensor", values))
