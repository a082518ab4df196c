"""Labelled faces as the engine takes them, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from facekit.images import read
from facekit.training.classify.crops import CropPlan
from facekit.training.classify.data import Sample
from facekit.training.keys import ItemKey

__all__ = ["Crops", "Described"]


class Described:
    """The trunk's answers about each view of each face."""

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        """Keep what is known.

        Args:
            features: (faces, views, ...).
            targets: (faces, ...).
        """
        self._features, self._targets = features, targets

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self._features)

    def __getitem__(self, key: ItemKey) -> dict[str, Tensor]:
        """Return one face, in one of its views."""
        views = self._features.shape[1]
        view = int(key.random().integers(views)) if views > 1 else 0
        return {
            "features": self._features[key.index, view],
            "targets": self._targets[key.index],
        }


class Crops:
    """Crops that vary anew in every epoch."""

    def __init__(
        self, samples: Sequence[Sample], plan: CropPlan, targets: Tensor, *, vary: bool
    ) -> None:
        """Keep where the faces are.

        Args:
            samples: The faces.
            plan: How they are cut.
            targets: (faces, ...).
            vary: Whether crops vary.
        """
        self._samples, self._plan, self._targets, self._vary = samples, plan, targets, vary

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self._samples)

    def __getitem__(self, key: ItemKey) -> dict[str, Tensor]:
        """Return one face, in one of its views."""
        sample = self._samples[key.index]
        image = self._plan.cut(sample, read(sample.path), key.random() if self._vary else None)
        return {"crops": torch.from_numpy(image), "targets": self._targets[key.index]}

    def name(self, index: int) -> str:
        """Return what messages call a face."""
        return self._samples[index].name
