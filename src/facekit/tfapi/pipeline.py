"""Pipeline configurations of the API: ours or a user's as a base, changed, and written.

Needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from facekit.errors import ConfigError, UnknownNameError
from facekit.tfapi.textproto import Message, parse, quoted

__all__ = [
    "SHARDS",
    "Changes",
    "Reader",
    "bases",
    "changed",
    "check_schedule",
    "read_base",
    "records_of",
    "resize",
    "steps_of",
]

SHARDS: Final = "-?????-of-?????"
"""How a configuration ends the name of records in several files."""


_SSD: Final = "model.ssd"
_RESIZER: Final = f"{_SSD}.image_resizer"
_ANCHORS: Final = f"{_SSD}.anchor_generator.ssd_anchor_generator"
_CLASSES: Final = f"{_SSD}.num_classes"
_RATE: Final = "learning_rate"
_COSINE_END: Final = "cosine_decay_learning_rate.total_steps"
_LEAST: Final = 33


@dataclasses.dataclass(frozen=True)
class Reader:
    """Where examples are.

    Attributes:
        records: The TFRecord file, or the shards' pattern.
        label_map: The ``.pbtxt``.
    """

    records: Path
    label_map: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What is changed of a base; ``None`` keeps what it has.

    Attributes:
        input_size: The side of the square that photos are stretched to, pixels.
        aspect_ratios: Of the anchors, width by height.
        scales: Of the anchors, one a map, as fractions of the input.
        classes: How many classes there are.
        batch_size: Of training.
        steps: Of training; schedules that know the number of steps follow.
        start: The prefix of a checkpoint whose feature extractor training starts from.
        start_whole: Whether from all of it: a checkpoint of the same detector.
        train: What is trained on.
        evaluation: What is evaluated on.
        fields: Any others, ``path=value`` each, after all of these: ``value`` as the format writes
            it, in braces of a message, and without one the field is left out.
    """

    input_size: int | None = None
    aspect_ratios: Sequence[float] | None = None
    scales: Sequence[float] | None = None
    classes: int | None = None
    batch_size: int | None = None
    steps: int | None = None
    start: str | None = None
    start_whole: bool = False
    train: Reader | None = None
    evaluation: Reader | None = None
    fields: Sequence[str] = ()


def bases() -> list[str]:
    """Return the names of the configurations that are shipped."""
    return sorted(
        file.name.removesuffix(".config")
        for file in _shipped().iterdir()
        if file.name.endswith(".config")
    )


def read_base(base: str) -> Message:
    """Read a shipped configuration, or a file.

    Args:
        base: A name of :func:`bases`, or the path of a ``pipeline.config``.

    Raises:
        UnknownNameError: If it is neither.
        ConfigError: If the file cannot be read, is malformed or configures no SSD.
    """
    path = Path(base)
    if base in bases():
        text = (_shipped() / f"{base}.config").read_text(encoding="utf-8")
    elif path.suffix or path.exists():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{base}: cannot be read: {error}") from error
    else:
        raise UnknownNameError("base configuration", base, bases())
    message = parse(text, base)
    if not isinstance(message.get(_SSD), Message):
        raise ConfigError(f"{base}: configures no SSD: there is no model {{ ssd {{ ... }} }}")
    return message


def changed(message: Message, changes: Changes) -> Message:
    """Change a configuration in place.

    Args:
        message: A pipeline configuration of an SSD.
        changes: What shall be.

    Returns:
        The same message.

    Raises:
        ConfigError: If a value is out of range, or the base has nothing of the kind to change.
    """
    _model(message, changes)
    _training(message, changes)
    for name, reader in (
        ("train_input_reader", changes.train),
        ("eval_input_reader", changes.evaluation),
    ):
        if reader is not None:
            message.set(name, _reader(reader, evaluation=name[0] == "e"))
    for field in changes.fields:
        _set_field(message, field)
    return message


def _set_field(message: Message, field: str) -> None:
    """Set one field from ``path=value``."""
    path, equals, value = (part.strip() for part in field.partition("="))
    name = path.rpartition(".")[2]
    if not equals or not all(part.isidentifier() for part in path.split(".")):
        raise ConfigError(f"{field}: write path=value, such as train_config.batch_size=32")
    text = f"{name} {value}" if value.startswith("{") else f"{name}: {value}"
    parsed = parse(text if value else "", field)
    if any(key != name for key, _ in parsed.fields):
        raise ConfigError(f"{field}: expected one value, or several as [1.0, 2.0]")
    message.set(path, *parsed.all(name))


def steps_of(message: Message) -> int:
    """Return how many steps a configuration trains; 0 where it does not say.

    Args:
        message: A pipeline configuration.

    Raises:
        ConfigError: If it is no number.
    """
    text = str(message.get("train_config.num_steps") or 0)
    if not text.isdecimal():
        raise ConfigError(f"num_steps: expected a number, got {text}")
    return int(text)


def check_schedule(message: Message, steps: int) -> None:
    """Check that a learning rate is left at every step.

    Args:
        message: A pipeline configuration.
        steps: How many there shall be.

    Raises:
        ConfigError: If the schedule ends before: the API would go on with a rate of 0.
    """
    for rate in _rates(message):
        end = str(rate.get(_COSINE_END) or "")
        if end.isdecimal() and int(end) < steps:
            raise ConfigError(
                f"steps: {steps} are more than the {end} over which the learning rate falls to 0; "
                "'facekit tfod pipeline --steps' writes a longer schedule, and start=RUN_FOLDER "
                "begins it with what a run has learned"
            )


def records_of(message: Message, part: Literal["train", "eval"]) -> Path:
    """Return where a configuration's records are, as facekit's reader names them.

    Args:
        message: A pipeline configuration.
        part: Which of its readers.

    Raises:
        ConfigError: If it names none.
    """
    value = message.get(f"{part}_input_reader.tf_record_input_reader.input_path")
    text = value.strip("\"'") if isinstance(value, str) else ""
    if not text:
        raise ConfigError(f"the configuration has no {part}_input_reader with records")
    return Path(text.removesuffix(SHARDS))


def _shipped() -> Path:
    return Path(str(importlib.resources.files("facekit.tfapi"))) / "bases"


def _model(message: Message, changes: Changes) -> None:
    """Change what is built."""
    if changes.input_size is not None:
        _check_side(changes.input_size)
        message.set(_RESIZER)
        _set_sides(message, changes.input_size)
    if changes.classes is not None:
        message.set(_CLASSES, str(changes.classes))
    for name, values in (("aspect_ratios", changes.aspect_ratios), ("scales", changes.scales)):
        if values is None:
            continue
        if not isinstance(message.get(_ANCHORS), Message):
            raise ConfigError(f"{name}: the base has no ssd_anchor_generator to change")
        if not values or not all(0 < value < 100 for value in values):  # noqa: PLR2004 - absurd
            raise ConfigError(f"{name}: expected positive numbers, got {list(values)}")
        message.set(f"{_ANCHORS}.{name}", *(repr(float(value)) for value in values))
    if changes.scales is not None:
        layers = message.get(f"{_ANCHORS}.num_layers")
        if layers is not None and int(str(layers)) != len(changes.scales):
            raise ConfigError(f"scales: one a map: expected {layers}, got {len(changes.scales)}")


def resize(message: Message, side: int) -> None:
    """Give a trained configuration another input, in place; anchors keep their size in pixels.

    The API's anchors are parts of the input. What a map has learned to find is of a size in pixels,
    and so must be the anchors that its answers are offsets from.

    Args:
        message: The configuration that the weights were trained by.
        side: The side of the square that photos are stretched to, pixels.

    Raises:
        ConfigError: If the side is too small, or the configuration has no fixed input, or none of
            SSD's anchors.
    """
    _check_side(side)
    for axis in ("height", "width"):
        trained = message.get(f"{_RESIZER}.fixed_shape_resizer.{axis}")
        if trained is None or not isinstance(message.get(_ANCHORS), Message):
            raise ConfigError("input size: only an SSD of one input size can be given another")
        base = message.get(f"{_ANCHORS}.base_anchor_{axis}")
        kept = (1.0 if base is None else float(str(base))) * int(str(trained)) / side
        message.set(f"{_ANCHORS}.base_anchor_{axis}", repr(kept))
    _set_sides(message, side)


def _set_sides(message: Message, side: int) -> None:
    for axis in ("height", "width"):
        message.set(f"{_RESIZER}.fixed_shape_resizer.{axis}", str(side))


def _check_side(side: int) -> None:
    if side < _LEAST:
        raise ConfigError(f"input size: MobileNetV2 needs {_LEAST} px or more, got {side}")


def _training(message: Message, changes: Changes) -> None:
    """Change how it is trained."""
    if changes.batch_size is not None:
        message.set("train_config.batch_size", str(changes.batch_size))
    if changes.steps is not None:
        message.set("train_config.num_steps", str(changes.steps))
        for rate in _rates(message):
            if rate.get(_COSINE_END) is not None:
                rate.set(_COSINE_END, str(changes.steps))
                warm = rate.get("cosine_decay_learning_rate.warmup_steps")
                if warm is not None and int(str(warm)) >= changes.steps:
                    rate.set("cosine_decay_learning_rate.warmup_steps", str(changes.steps // 10))
    if changes.start is not None:
        message.set("train_config.fine_tune_checkpoint", quoted(changes.start))
        what = "full" if changes.start_whole else "classification"
        message.set("train_config.fine_tune_checkpoint_type", quoted(what))
        message.set("train_config.fine_tune_checkpoint_version", "V2")


def _rates(message: Message) -> list[Message]:
    """Return the learning rates of all optimisers, of which there is one."""
    optimizer = message.get("train_config.optimizer")
    fields = optimizer.fields if isinstance(optimizer, Message) else []
    found = [value.get(_RATE) for _, value in fields if isinstance(value, Message)]
    return [rate for rate in found if isinstance(rate, Message)]


def _reader(reader: Reader, *, evaluation: bool) -> Message:
    """Return an input reader."""
    message = Message()
    message.set("label_map_path", quoted(str(reader.label_map)))
    if evaluation:
        message.set("shuffle", "false")
        message.set("num_epochs", "1")
    message.set("tf_record_input_reader.input_path", quoted(str(reader.records)))
    return message
