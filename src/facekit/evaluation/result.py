"""What one run of one backend gave: numbers for a table, curves for a plot."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Curve", "Result", "Task"]

Task = Literal["detection", "landmarks", "classification"]

_POINTS: Final = 500
"""Points of a curve in a report; drawn, more cannot be told apart."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A curve of a plot.

    Attributes:
        x: ``(k,)`` recall, or an error.
        y: ``(k,)`` precision, or a share of faces.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]

    def thinned(self) -> Curve:
        """Return at most 500 points: evenly along the curve's length in x, ends kept."""
        if len(self.x) <= _POINTS:
            return self
        wanted = np.linspace(self.x[0], self.x[-1], _POINTS)
        rows = np.unique(np.clip(np.searchsorted(self.x, wanted), 0, len(self.x) - 1))
        return Curve(self.x[rows], self.y[rows])

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, thinned."""
        thin = self.thinned()
        return {"x": np.round(thin.x, 6).tolist(), "y": np.round(thin.y, 6).tolist()}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What one run of one backend gave.

    Attributes:
        label: What tables call the backend.
        task: What it did.
        setting: How it was measured, by name: ``scale``, ``threshold``, ``boxes``, ...
        images: How many images were measured.
        total: How many the dataset has.
        faces: How many faces are annotated in them and count.
        values: The numbers, by column; 0 to 1 unless the column says otherwise, NaN where there
            is nothing to measure.
        curves: What is plotted, by the panel.
        groups: ``values`` of parts of the dataset (events), by their names.
        parts: Other numbers by name: errors by part of the face, recall by label.
        confusion: Of a classifier: the labels, and how often each (row) was called what (column).
        seconds_per_image: Time in the backend, or ``None`` where predictions were read.
        notes: What a reader of the numbers must know.
        fingerprint: What made the predictions.
    """

    label: str
    task: Task
    setting: Mapping[str, str]
    images: int
    total: int
    faces: int
    values: Mapping[str, float]
    curves: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    confusion: tuple[tuple[str, ...], list[list[int]]] | None = None
    seconds_per_image: float | None = None
    notes: tuple[str, ...] = ()
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; NaN is ``None``."""
        return {
            "label": self.label,
            "task": self.task,
            "setting": dict(self.setting),
            "images": self.images,
            "images_of_dataset": self.total,
            "faces": self.faces,
            "values": _plain(self.values),
            "groups": {name: _plain(values) for name, values in self.groups.items()},
            "parts": _plain(self.parts),
            "confusion": None if self.confusion is None else list(self.confusion),
            "seconds_per_image": self.seconds_per_image,
            "notes": list(self.notes),
            "fingerprint": dict(self.fingerprint),
            "curves": {name: curve.to_dict() for name, curve in self.curves.items()},
        }


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return numbers that JSON can hold."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}
