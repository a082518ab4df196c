"""Datasets as the command line names them: specs, readers' and writers' options, losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from facekit import datasets
from facekit.cli.console_progress import watched
from facekit.cli.exits import report
from facekit.datasets import ImageRecord, Losses
from facekit.datasets.formats import going_on, parse
from facekit.datasets.malformed import OPTION, OnMalformed
from facekit.errors import ConfigError

__all__ = ["losses_in_words", "options_of", "read_options", "source", "source_of", "tell_losses"]


def options_of(spec: str, words: Sequence[str], *, reading: bool) -> dict[str, Any]:
    """Turn ``KEY=VALUE`` words into the options of a format; values are read as YAML.

    Args:
        spec: ``FORMAT:PATH``.
        words: As typed.
        reading: Whether they are the reader's or the writer's.

    Raises:
        ConfigError: If a word is no ``KEY=VALUE``, or the format has no such option.
    """
    option = "--read" if reading else "--write"
    options = dict(_parsed(word, option) for word in words)
    _check_known(spec, options, f"{option} ", reading=reading)
    return options


def _check_known(spec: str, keys: Iterable[str], option: str, *, reading: bool) -> None:
    """Refuse options that a format does not have."""
    chosen, _ = parse(spec)
    known = _known(getattr(chosen.load(), "read" if reading else "write", None))
    for key in keys:
        if known is not None and key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{option}{key}: no option of the format {chosen.name!r}; {there}")


def _known(function: Callable[..., object] | None) -> list[str] | None:
    """Return the names of a function's keyword-only options; ``None`` where any is taken."""
    if function is None:
        return None
    parameters = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    # What takes a function cannot be typed.
    return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.name != OPTION]


def _parsed(word: str, option: str) -> tuple[str, Any]:
    """Split ``KEY=VALUE``."""
    key, equals, text = word.partition("=")
    if not equals or not key.isidentifier():
        raise ConfigError(f"{option} {word!r}: write KEY=VALUE, such as origin=0")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{option} {word!r}: the value is not valid YAML") from error


def read_options(
    spec: str,
    words: Sequence[str],
    *,
    images: Path | None = None,
    split: str | None = None,
) -> dict[str, Any]:
    """Return a reader's options.

    Args:
        spec: ``FORMAT:PATH``.
        words: ``KEY=VALUE`` words.
        images: The folder of images.
        split: The part of a dataset that is published in parts.

    Raises:
        ConfigError: As :func:`options_of`.
    """
    options = options_of(spec, words, reading=True)
    named = {"images": images, "split": split}
    more = {key: value for key, value in named.items() if value is not None}
    _check_known(spec, more, "--", reading=True)
    return options | more


def source(
    spec: str,
    *,
    split: str | None,
    images: Path | None,
    read: Sequence[str],
    on_malformed: OnMalformed | None = None,
) -> Callable[[], Iterable[ImageRecord]]:
    """Check a reader's options, and return a function that starts to read a dataset again.

    Args:
        spec: ``FORMAT:PATH``.
        split: The part of a dataset that is published in parts.
        images: The folder of images.
        read: Any other option of the reader, ``KEY=VALUE``.
        on_malformed: Takes the error of each malformed line, where the format allows to go on.

    Raises:
        ConfigError: If the format has no such option.
    """
    options = read_options(spec, read, images=images, split=split)
    if on_malformed is not None:
        options |= going_on(spec, on_malformed)
    return source_of(spec, options)


def source_of(
    spec: str, options: Mapping[str, Any], doing: str = "reading"
) -> Callable[[], Iterable[ImageRecord]]:
    """Return a function that starts to read a dataset again.

    Args:
        spec: ``FORMAT:PATH``.
        options: The reader's.
        doing: The word in front of the progress.
    """
    return lambda: watched(datasets.read(spec, **options), doing)


def losses_in_words(losses: Losses) -> list[str]:
    """Return one line for each thing that a format could not hold, the most frequent first."""
    return [f"{name} ({count} times)" for name, count in losses.lost.most_common()]


def tell_losses(target: str, losses: Losses) -> None:
    """Print what was written, and on standard error what was not.

    Args:
        target: ``FORMAT:PATH``.
        losses: What the writer answered.
    """
    from facekit.cli.console import print_lines  # noqa: PLC0415 - rich

    print_lines([f"{target}: {losses.images} images, {losses.faces} faces"])
    for line in losses_in_words(losses):
        report(f"{target} cannot hold: {line}", kind="lost")
