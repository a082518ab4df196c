"""Conversions to other libraries' result types; each library is optional."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facekit.errors import MissingDependencyError

if TYPE_CHECKING:
    from facekit.types import Detections

__all__ = ["to_supervision"]


def to_supervision(detections: Detections) -> Any:  # noqa: ANN401 - supervision's own type
    """Convert to a ``supervision.Detections``.

    Args:
        detections: The faces of one image.

    Returns:
        ``supervision.Detections`` with ``xyxy``, ``confidence``, ``class_id`` (0 for a face) and,
        where present, boolean masks of the image's size.

    Raises:
        MissingDependencyError: If supervision is not installed.
    """
    try:
        import supervision  # noqa: PLC0415 - optional package
    except ModuleNotFoundError as error:
        if error.name != "supervision":
            raise
        install = 'pip install "facekit[supervision]"'
        raise MissingDependencyError("to_supervision", "supervision", install) from error
    count = len(detections)
    ids = np.zeros(count, dtype=np.int64) if detections.class_ids is None else detections.class_ids
    masks = None
    if detections.masks:
        masks = np.stack([mask.to_mask() for mask in detections.masks])
    return supervision.Detections(
        xyxy=detections.boxes.copy(),
        confidence=detections.scores.copy(),
        class_id=ids.copy(),
        mask=masks,
    )
