"""Values of annotations, checked: what is no number, no box or no size gives no record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from facekit.datasets.records import Box, Provenance, Repair
from facekit.errors import DatasetError

__all__ = ["checked_box", "checked_size", "empty_box", "numbers"]

_FARTHEST: Final = 1e9
_LONGEST_SIDE: Final = 1_000_000


def numbers(values: object, where: Provenance, what: str, count: int | None = None) -> list[float]:
    """Check a list of real numbers, as JSON or YAML gives it.

    Args:
        values: Anything.
        where: For the message.
        what: For the message: what they are numbers of.
        count: How many there must be; by default any.

    Raises:
        DatasetError: If it is no list, one is no number, is not finite or is beyond any image.
    """
    if isinstance(values, list) and count in {None, len(values)} and all(map(_is_number, values)):
        return [float(value) for value in values]
    expected = f"{'' if count is None else f'{count} '}numbers"
    raise DatasetError(where.file, where.line, f"{what} must be {expected}, got {_short(values)}")


def _is_number(value: object) -> bool:
    """Tell whether a value is a real number that can be a coordinate."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and -_FARTHEST < value < _FARTHEST  # type: ignore[operator]


def _short(value: object) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - one line


def checked_box(corners: Sequence[float], where: Provenance) -> Box:
    """Check a box.

    Args:
        corners: ``x1, y1, x2, y2``, pixels.
        where: For the message.

    Raises:
        DatasetError: If a coordinate is not finite, or beyond any image.
    """
    x1, y1, x2, y2 = corners
    if not all(math.isfinite(value) and abs(value) < _FARTHEST for value in corners):
        raise DatasetError(where.file, where.line, f"not a box: {_short(list(corners))}")
    return (x1, y1, x2, y2)


def empty_box(box: Box, where: Provenance) -> tuple[Repair, ...]:
    """Return the repair of a box without area, which is kept as ignored; none for any other."""
    x1, y1, x2, y2 = box
    if x2 > x1 and y2 > y1:
        return ()
    message = f"{x2 - x1:g} x {y2 - y1:g} has no area; kept as ignored"
    return (Repair("empty-box", where, message),)


def checked_size(height: object, width: object, where: Provenance) -> tuple[int, int]:
    """Check an image's size.

    Args:
        height: Anything.
        width: Anything.
        where: For the message.

    Raises:
        DatasetError: If one is not a whole, positive number.
    """
    for value in (height, width):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 < value <= _LONGEST_SIDE:  # type: ignore[operator]
            reason = f"width and height must be whole and positive, got {width!r} and {height!r}"
            raise DatasetError(where.file, where.line, reason)
    return (height, width)  # type: ignore[return-value]
