"""One image's annotated faces as arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import MetricsError

__all__ = ["Truth"]

_COORDINATES = 4


def boxes_of(value: npt.ArrayLike, owner: str) -> npt.NDArray[np.float64]:
    """Return ``(n, 4)`` float64, read-only; nothing at all is ``(0, 4)``.

    Args:
        value: Four numbers a box.
        owner: Whose boxes they are, for the message.

    Raises:
        MetricsError: If the shape is another or a number is not finite.
    """
    boxes = np.array(value, dtype=np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(-1, _COORDINATES)
    if boxes.ndim != 2 or boxes.shape[1] != _COORDINATES:  # noqa: PLR2004 - rows and columns
        message = f"{owner}: boxes must have shape (n, 4), got {boxes.shape}"
        raise MetricsError(message)
    finite = np.isfinite(boxes).all(axis=1)
    if not finite.all():
        box = int(np.argmin(finite))
        message = f"{owner}: box {box} is not of finite numbers: {boxes[box].tolist()}"
        raise MetricsError(message)
    boxes.setflags(write=False)
    return boxes


def flags_of(value: npt.ArrayLike, count: int, owner: str) -> npt.NDArray[np.bool_]:
    """Return ``(count,)`` bool, read-only.

    Args:
        value: One flag a box.
        count: The number of boxes.
        owner: What the flags are, for the message.

    Raises:
        MetricsError: If there are more or fewer, or they are not flags but, say, indices.
    """
    flags: npt.NDArray[Any] = np.array(value)
    if flags.size == 0:
        flags = flags.reshape(-1).astype(bool)
    if flags.shape != (count,):
        message = f"{owner}: must be one flag a box, {count}, got shape {flags.shape}"
        raise MetricsError(message)
    if flags.dtype.kind != "b":
        message = f"{owner}: must be true or false, got {flags.dtype} (indices are no flags)"
        raise MetricsError(message)
    flags.setflags(write=False)
    return flags


def _none() -> npt.NDArray[np.bool_]:
    """Return no flag, for the default."""
    return np.zeros(0, dtype=bool)


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """The annotated faces of one image.

    Attributes:
        boxes: ``(n, 4)`` float64 xyxy, pixels. A side may be 0, never negative.
        ignore: ``(n,)`` bool: neither a face to find nor background. By default none is.
    """

    boxes: npt.NDArray[np.float64]
    ignore: npt.NDArray[np.bool_] = dataclasses.field(default_factory=_none)

    def __post_init__(self) -> None:
        """Copy, freeze and check both fields.

        Raises:
            MetricsError: If shapes disagree, a number is not finite or a side is negative.
        """
        boxes = boxes_of(self.boxes, "truth")
        wrong = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
        if wrong.any():
            box = int(wrong.argmax())
            message = (
                f"truth: box {box} has a negative side: {boxes[box].tolist()}; "
                "x1, y1, x2, y2 are expected"
            )
            raise MetricsError(message)
        given = self.ignore if np.size(self.ignore) else np.zeros(len(boxes), dtype=bool)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "ignore", flags_of(given, len(boxes), "truth's ignore"))

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` bool: the faces to find."""
        return ~self.ignore

    @property
    def heights(self) -> npt.NDArray[np.float64]:
        """``(n,)`` float64: ``y2 - y1``, pixels."""
        heights: npt.NDArray[np.float64] = self.boxes[:, 3] - self.boxes[:, 1]
        return heights

    def __len__(self) -> int:
        """Return the number of faces, ignored ones too."""
        return len(self.boxes)
