"""What ``facekit tfod`` does."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facekit.cli.console import print_lines
from facekit.cli.dataset_specs import source
from facekit.cli.exits import report
from facekit.datasets import ImageRecord
from facekit.errors import ConfigError
from facekit.evaluation.photos import read_photo
from facekit.tfapi.pipeline import Changes, read_base, resize
from facekit.training.tfod.pipeline import CONFIG, prepare

__all__ = ["export", "pipeline"]


def pipeline(
    out: Path,
    base: str,
    changes: Changes,
    *,
    classes: Sequence[str],
    train: str | None,
    images: Path | None,
    read: Sequence[str],
    val: str | None,
    val_images: Path | None,
    shards: int,
    min_height: float,
) -> None:
    """Write records, label map and configuration, and say what they are.

    Args:
        out: The folder.
        base: A shipped configuration or a file.
        changes: What is changed of it.
        classes: What is to be found.
        train: ``FORMAT:PATH`` of what is trained on.
        images: Its folder of images.
        read: Options of its reader, ``KEY=VALUE``.
        val: ``FORMAT:PATH`` of what is evaluated on.
        val_images: Its folder of images.
        shards: How many files.
        min_height: Lower faces weigh nothing.

    Raises:
        FacekitError: If something is wrong.
    """
    written = prepare(
        out,
        base,
        changes,
        classes=classes,
        train=_reading(train, images, read),
        val=_reading(val, val_images, ()),
        shards=shards,
        min_height=min_height,
    )
    for note in written.notes:
        report(note, kind="changed")
    for part, losses in written.losses.items():
        ignored = f", {written.ignored[part]} of them ignored" if written.ignored[part] else ""
        print_lines([f"{part}: {losses.images} images, {losses.faces} faces{ignored}"])
    print_lines([str(written.config)])


def export(
    run: Path,
    out: Path,
    *,
    photos: str | None,
    images: Path | None,
    count: int,
    input_size: int | None = None,
) -> None:
    """Export the newest checkpoint of a run.

    Args:
        run: The run's folder.
        out: A ``.tflite``, a ``.pb`` or a folder.
        photos: ``FORMAT:PATH`` of photos, for a full-integer ``.tflite``.
        images: Their folder of images.
        count: How many of them.
        input_size: The side of the input, pixels; by default what it was trained with.

    Raises:
        FacekitError: If something is wrong.
    """
    work = run / "work" if (run / "work").is_dir() else run
    config = work / CONFIG
    if not config.is_file():
        raise ConfigError(f"{run}: holds no run of the recipe tfod: there is no {CONFIG}")
    if photos is not None and out.suffix != ".tflite":
        raise ConfigError(f"{out}: --photos is for a .tflite")
    if out.suffix not in {"", ".tflite", ".pb"}:
        raise ConfigError(f"{out}: expected a .tflite, a .pb, or a folder without a suffix")
    from facekit.tfapi import shims  # noqa: PLC0415 - TensorFlow is looked for when it is needed

    for shim in shims.provide():
        report(f"{shim.name}: {shim.effect}", kind="shim")
    from facekit.tfapi import export as exporter  # noqa: PLC0415 - after the shims

    with _sized(config, input_size) as used:
        if out.suffix == ".tflite":
            chosen = None if photos is None else _spread(_reading(photos, images, ()), count)
            exporter.export_tflite(used, work, out, photos=chosen)
        elif out.suffix == ".pb":
            exporter.export_frozen_graph(used, work, out)
        else:
            exporter.export_saved_model(used, work, out)
    print_lines([str(out)])


@contextlib.contextmanager
def _sized(config: Path, side: int | None) -> Iterator[Path]:
    """Give a configuration for another size of the input.

    Raises:
        ConfigError: If it is too small, or the configuration has no one input size.
    """
    if side is None:
        yield config
        return
    message = read_base(str(config))
    resize(message, side)
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / CONFIG
        other.write_text(str(message), encoding="utf-8")
        yield other


def _reading(
    spec: str | None, images: Path | None, read: Sequence[str]
) -> Callable[[], Iterable[ImageRecord]] | None:
    """Return what starts to read a dataset; ``None`` where there is none."""
    return None if spec is None else source(spec, split=None, images=images, read=read)


def _spread(
    start: Callable[[], Iterable[ImageRecord]] | None, count: int
) -> list[npt.NDArray[np.uint8]]:
    """Return some photos of a dataset, evenly spread over it."""
    records = list(start()) if start is not None else []
    places = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [read_photo(records[place]) for place in places]
