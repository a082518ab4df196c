"""Numbers for labels: categories, classes and label maps."""

from __future__ import annotations

from collections.abc import Sequence

from facekit.datasets.records import FACE
from facekit.errors import ConfigError, DatasetError

__all__ = ["LabelIds"]


class LabelIds:
    """The number of each label.

    ``"face"`` is always the first, whatever comes first in the data, and others follow as they
    are met; so files of faces agree by themselves. Splits with several labels agree where they
    are written with one list of ``labels``.
    """

    def __init__(self, labels: Sequence[str] | None, *, first: int, more: bool = False) -> None:
        """Start to count.

        Args:
            labels: Every label, in order; by default ``"face"`` and then any.
            first: The number of the first label.
            more: Whether any other label may follow those of ``labels``.

        Raises:
            ConfigError: If a label is there twice, or ``labels`` is one text.
        """
        if isinstance(labels, str) or (labels is not None and len(set(labels)) != len(labels)):
            raise ConfigError(f"labels: expected a list of different names, got {labels!r}")
        self._first = first
        self._open = labels is None or more
        self._ids = {name: i for i, name in enumerate(labels or (FACE,), start=first)}

    @classmethod
    def continued(
        cls, known: Sequence[str], labels: Sequence[str] | None, *, first: int, file: object
    ) -> LabelIds:
        """Go on from the labels of a file that another split has written.

        Args:
            known: Its labels, in order.
            labels: Every label, or ``None``.
            first: The number of the first label.
            file: The file, for the message.

        Raises:
            DatasetError: If ``labels`` would give one of the known ones another number.
        """
        if labels is None:
            return cls(known, first=first, more=True)
        if list(labels[: len(known)]) != list(known):
            reason = f"has the labels {', '.join(known)} already; begin labels with these"
            raise DatasetError(file, None, reason)
        return cls(labels, first=first)

    def __call__(self, label: str, target: object) -> int:
        """Return the number of a label.

        Args:
            label: The label.
            target: The file that is written, for the message.

        Raises:
            DatasetError: If it is not in the list of labels.
        """
        if label not in self._ids:
            if not self._open:
                known = ", ".join(self._ids)
                raise DatasetError(target, None, f"the label {label!r} is not in labels: {known}")
            self._ids[label] = self._first + len(self._ids)
        return self._ids[label]

    def items(self) -> list[tuple[str, int]]:
        """Return every label and its number, in order."""
        return list(self._ids.items())
