"""What ``facekit convert`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from facekit import datasets
from facekit.cli.console import print_json
from facekit.cli.dataset_specs import options_of, read_options, source_of, tell_losses
from facekit.cli.exits import report
from facekit.datasets import ImageRecord
from facekit.datasets.sources import spared

__all__ = ["run"]


def run(
    source: str,
    target: str,
    *,
    split: str | None,
    images: Path | None,
    read: Sequence[str],
    write: Sequence[str],
    json: bool,
) -> None:
    """Convert a dataset.

    Args:
        source: ``FORMAT:PATH``.
        target: ``FORMAT:PATH``.
        split: The part to be read.
        images: The folder of images.
        read: Options of the reader, ``KEY=VALUE``.
        write: Options of the writer.
        json: Whether to print JSON.

    Raises:
        FacekitError: If something is wrong; the target is left as it was.
    """
    reading = read_options(source, read, images=images, split=split)
    writing = options_of(target, write, reading=False)
    repairs: Counter[str] = Counter()
    records = _noted(source_of(source, reading, "converting")(), repairs)
    losses = datasets.write(spared(records, target), target, **writing)
    if json:
        print_json(
            {
                "target": target,
                "images": losses.images,
                "faces": losses.faces,
                "lost": dict(losses.lost.most_common()),
                "repairs": dict(repairs.most_common()),
            }
        )
        return
    for code, count in repairs.most_common():
        report(f"{code} ({count} times)", kind="repaired")
    tell_losses(target, losses)


def _noted(records: Iterable[ImageRecord], repairs: Counter[str]) -> Iterator[ImageRecord]:
    """Count the repairs of a stream of records."""
    for record in records:
        repairs.update(repair.code for repair in record.repairs)
        yield record
