"""What ``facekit dataset split`` and ``filter`` do."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from facekit import datasets
from facekit.cli.dataset_specs import source, tell_losses
from facekit.cli.exits import report
from facekit.datasets import ImageRecord
from facekit.datasets.filter import PRESETS, Rules, filtered
from facekit.datasets.sources import spared
from facekit.datasets.split import DEFAULT_FRACTION
from facekit.datasets.split import split as write_parts
from facekit.errors import UnknownNameError

__all__ = ["filter_", "rules", "source", "split"]

Start = Callable[[], Iterable[ImageRecord]]


def split(
    start: Start, targets: Sequence[str], *, fractions: Sequence[float], by: str, seed: int
) -> None:
    """Write a dataset in parts.

    Args:
        start: Starts to read it.
        targets: ``FORMAT:PATH`` of each part.
        fractions: The parts' shares; none for the default.
        by: What stays together.
        seed: Of the split.
    """
    shares = tuple(fractions) or (DEFAULT_FRACTION,)
    for target, losses in zip(
        targets, write_parts(start, targets, shares, by=by, seed=seed), strict=True
    ):
        tell_losses(target, losses)


def rules(preset: str | None, **given: Any) -> Rules:  # noqa: ANN401 - the fields of Rules
    """Return a preset's rules, changed by what is given.

    Args:
        preset: Its name, or ``None`` for rules that keep everything.
        **given: Fields of :class:`Rules`; ``None`` leaves the preset's.

    Raises:
        UnknownNameError: If there is no such preset.
        ConfigError: If a value is out of range.
    """
    if preset is not None and preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    base = Rules() if preset is None else PRESETS[preset]
    return dataclasses.replace(base, **{k: v for k, v in given.items() if v is not None})


def filter_(start: Start, target: str, chosen: Rules) -> None:
    """Leave out faces.

    Args:
        start: Starts to read the dataset.
        target: ``FORMAT:PATH``.
        chosen: Which faces stay.
    """
    dropped: Counter[str] = Counter()
    losses = datasets.write(filtered(spared(start(), target), chosen, dropped), target)
    for reason, count in (+dropped).most_common():
        report(f"{reason} ({count} times)", kind="marked" if chosen.mark else "left out")
    tell_losses(target, losses)
