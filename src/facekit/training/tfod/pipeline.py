"""From datasets to what the TF Object Detection API trains on: records and a configuration."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from facekit import datasets
from facekit.atomic import write_text
from facekit.datasets import ImageRecord, Losses
from facekit.datasets.filter import Rules, filtered
from facekit.datasets.label_map import text_of
from facekit.errors import ConfigError
from facekit.tfapi.generations import modernised
from facekit.tfapi.pipeline import SHARDS, Changes, Reader, changed, read_base

__all__ = ["CONFIG", "Prepared", "prepare"]

CONFIG: Final = "pipeline.config"
LABEL_MAP: Final = "label_map.pbtxt"

Source = Callable[[], Iterable[ImageRecord]]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        config: The pipeline configuration.
        losses: What went into the records of each part, ``train`` and ``val``.
        ignored: How many small or other faces weigh nothing, of each part.
        notes: What was changed of a base of the API's first generation, in words.
    """

    config: Path
    losses: dict[str, Losses]
    ignored: dict[str, int]
    notes: list[str]


def prepare(
    folder: Path,
    base: str,
    changes: Changes,
    *,
    classes: Sequence[str] = ("face",),
    train: Source | None = None,
    val: Source | None = None,
    shards: int = 1,
    min_height: float = 0.0,
) -> Prepared:
    """Write records, label map and configuration into a folder.

    Args:
        folder: Made where it is missing; records that are there are replaced.
        base: A shipped base or a file; see :func:`facekit.tfapi.pipeline.read_base`.
        changes: What is changed of it; classes and readers are set from the other arguments.
        classes: The labels that are to be found, in order, from 1.
        train: Starts to read what is trained on; without it, records that are there are kept.
        val: Starts to read what is evaluated on; without it, what is trained on.
        shards: How many files each part's records are in.
        min_height: Lower faces, pixels of the photo, are neither face nor background.

    Raises:
        ConfigError: If a value is wrong, or there is nothing to train on.
        FacekitError: As reading and writing raise it.
    """
    if not classes or len(set(classes)) != len(classes):
        raise ConfigError(f"classes: expected different names, got {list(classes)}")
    message = read_base(base)
    notes = modernised(message)
    label_map = folder / LABEL_MAP
    # Before anything is written, all that could be wrong is looked at.
    changed(message, dataclasses.replace(changes, classes=len(classes)))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(label_map, text_of((name, i) for i, name in enumerate(classes, start=1)))
    losses: dict[str, Losses] = {}
    ignored: dict[str, int] = {}
    for part, source in (("train", train), ("val", val)):
        if source is not None:
            losses[part], ignored[part] = _records(
                source(), folder / f"{part}.record", classes, shards, min_height
            )
    readers = {part: _reader(folder, part, label_map) for part in ("train", "val")}
    if readers["train"] is None:
        raise ConfigError(f"{folder}: holds no train.record: name what to train on")
    found = Changes(train=readers["train"], evaluation=readers["val"] or readers["train"])
    config = folder / CONFIG
    write_text(config, str(changed(message, found)))
    return Prepared(config, losses, ignored, notes)


def _records(
    records: Iterable[ImageRecord],
    place: Path,
    classes: Sequence[str],
    shards: int,
    min_height: float,
) -> tuple[Losses, int]:
    """Write one part's records; return what went into them, and how many faces weigh nothing."""
    marked: Counter[str] = Counter()
    rules = Rules(min_height=min_height, invalid=False, mark=True)
    kept = filtered(_of(records, classes), rules, marked)
    for old in place.parent.glob(f"{place.name}*"):
        old.unlink()
    losses = datasets.write(kept, f"tfrecord:{place}", shards=shards, labels=list(classes))
    return losses, sum(marked.values())


def _of(records: Iterable[ImageRecord], classes: Sequence[str]) -> Iterator[ImageRecord]:
    """Leave out faces of other labels."""
    yield from filtered(records, Rules(labels=frozenset(classes)))


def _reader(folder: Path, part: str, label_map: Path) -> Reader | None:
    """Return where a part's records are; ``None`` where there are none."""
    plain = folder / f"{part}.record"
    if plain.is_file():
        return Reader(plain.resolve(), label_map.resolve())
    if any(folder.glob(f"{plain.name}{SHARDS}")):
        pattern = plain.resolve().with_name(f"{plain.name}{SHARDS}")
        return Reader(pattern, label_map.resolve())
    return None
