"""The tiny SSD's config of MMDetection 1.x, rewritten for 3.x.

The old file is read, not run. What 3.x says otherwise: the background does not count as a class
and comes last, anchors and box arithmetic are objects of their own, the normalisation moved from
the pipeline into the model, and ``MultiScaleFlipAug`` is gone. What only training reads is
:mod:`facekit.mmlab.migrate_training`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from facekit.atomic import write_text
from facekit.errors import ConfigError
from facekit.mmlab import migrate_training
from facekit.mmlab.literal import NotLiteralError, read

__all__ = ["Migrated", "migrate", "rewrite"]

_MODULE: Final = "facekit.mmlab.legacy"

_ALL_ANCHORS: Final = 1_000_000
"""1.x kept every anchor for suppression; without a limit 3.x drops the last one."""

_COLUMNS: Final = 88
"""Longer values are broken up; a name stands before them."""

_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {list: ("[", "]"), tuple: ("(", ")")}

_OF_MODEL: Final = frozenset({"type", "pretrained", "backbone", "neck", "bbox_head"})
_OF_BACKBONE: Final = frozenset({"type", "input_size", "width_mult", "activation_type", "scales"})
_OF_HEAD: Final = frozenset(
    {
        "type",
        "input_size",
        "in_channels",
        "num_classes",
        "anchor_strides",
        "anchor_widths",
        "anchor_heights",
        "target_means",
        "target_stds",
        "depthwise_heads",
        "depthwise_heads_activations",
        "loss_balancing",
    }
)


_TRAINING: Final = frozenset(
    {
        "checkpoint_config",
        "cudnn_benchmark",
        "dist_params",
        "load_from",
        "log_config",
        "log_level",
        "lr_config",
        "optimizer",
        "optimizer_config",
        "resume_from",
        "total_epochs",
        "train_cfg",
        "work_dir",
        "workflow",
    }
)


_MIGRATED: Final = frozenset(
    {
        "checkpoint_config",
        "data.imgs_per_gpu",
        "data.train",
        "data.workers_per_gpu",
        "lr_config",
        "optimizer",
        "optimizer_config",
        "total_epochs",
        "train_cfg",
    }
)
"""Of what only training reads, what 3.x's config has too."""


class Migrated(NamedTuple):
    """A config for MMDetection 3.x.

    Attributes:
        text: The file's text.
        left_out: The old config's names that only training reads, and that are not in it.
    """

    text: str
    left_out: tuple[str, ...]


def migrate(old: Path, new: Path) -> Migrated:
    """Write the config for 3.x of one for 1.x.

    Args:
        old: A config of MMDetection 1.x for an ``SSDHead`` over clustered anchors.
        new: The file to be written.

    Returns:
        What was written, and what was left out.

    Raises:
        ConfigError: If the old config is of another generation or model, or has to be run.
        OutputError: If the new file cannot be written.
    """
    try:
        text = old.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{old}: cannot be read: {error}") from error
    migrated = rewrite(text, str(old))
    write_text(new, migrated.text)
    return migrated


def rewrite(text: str, source: str) -> Migrated:
    """Return the config for 3.x of the text of one for 1.x.

    Args:
        text: The old config.
        source: Its name, for messages.

    Raises:
        ConfigError: If it is of another generation or model, or has to be run.
    """
    try:
        config = read(text)
    except NotLiteralError as error:
        message = f"{source}:{error.code.line}: cannot be read without running it"
        raise ConfigError(f"{message} ({error.code.what}): write its value there") from error
    try:
        parts = _parts(config, source)
    except (KeyError, TypeError, IndexError) as error:
        message = f"no config of MMDetection 1.x for an SSD: {type(error).__name__} {error}"
        raise ConfigError(f"{source}: {message}") from error
    left_out = list(_of_training(config))
    try:
        trained = migrate_training.parts(config, _classes(config, source))
        parts["model"] |= migrate_training.model_part(config)
    except (KeyError, TypeError, AttributeError):
        # It detects all the same; what is missing is named.
        trained = {}
    parts |= trained
    if trained:
        left_out = [name for name in left_out if name not in _MIGRATED]
        left_out += _apart(config)
    body = "\n".join(f"{name} = {_literal(value)}" for name, value in parts.items())
    head = f"# For MMDetection 3.x; written by 'facekit mmdet migrate' from {Path(source).name}.\n"
    return Migrated(head + body + "\n", tuple(left_out))


def _of_training(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of an old config that have no part in detecting."""
    yield from (name for name in config if name in _TRAINING)
    yield from (f"data.{name}" for name in config["data"] if name != "test")


def _apart(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what whoever trains gives beside the config: facekit's recipe has options for it."""
    train = config["data"]["train"]
    inner = train.get("dataset", train)
    yield from (f"data.train.{name}" for name in ("ann_file", "min_size") if name in inner)
    if config["model"].get("pretrained"):
        yield "model.pretrained"


def _parts(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the new config's assignments in order."""
    model, head = config["model"], config["model"]["bbox_head"]
    _check(config, source)
    pipeline, preprocessor = _pipelines(config, source)
    parts: dict[str, Any] = {
        "custom_imports": {"imports": [_MODULE], "allow_failed_imports": False},
        "default_scope": "mmdet",
        "model": {
            "type": model["type"],
            "data_preprocessor": preprocessor,
            "backbone": model["backbone"],
            "bbox_head": _head(head),
            "test_cfg": _test_cfg(config["test_cfg"]),
        },
        "test_dataloader": {
            "batch_size": 1,
            "num_workers": 0,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "dataset": {
                "type": "CocoDataset",
                "metainfo": {"classes": _classes(config, source)},
                "pipeline": pipeline,
                "test_mode": True,
            },
        },
    }
    return parts


def _check(config: Mapping[str, Any], source: str) -> None:
    """Refuse a config of another generation or of another model.

    Raises:
        ConfigError: With what it is instead.
    """
    model = config["model"]
    head = model["bbox_head"]
    if "anchor_generator" in head or "test_dataloader" in config:
        raise ConfigError(f"{source}: is no config of MMDetection 1.x but of a later one")
    kinds = (model["type"], model["backbone"]["type"], head["type"])
    wanted = ("SingleStageDetector", "SSDMobilenetV2", "SSDHead")
    if kinds != wanted or model.get("neck") is not None:
        message = (
            f"a {' with '.join(kinds)}; facekit has the parts of 1.x's {' with '.join(wanted)}"
        )
        raise ConfigError(f"{source}: {message}; for other models take 3.x's own configs")
    if not head.get("depthwise_heads") or not head.get("anchor_widths"):
        raise ConfigError(f"{source}: its SSDHead has no depthwise heads or no clustered anchors")
    for part, known in ((model, _OF_MODEL), (model["backbone"], _OF_BACKBONE), (head, _OF_HEAD)):
        strange = sorted(set(part) - known)
        if strange:
            raise ConfigError(f"{source}: unknown in 1.x's config: {', '.join(strange)}")


def _head(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head's part; ``num_classes`` without the background."""
    return {
        "type": "ClusteredSSDHead",
        "in_channels": old["in_channels"],
        "num_classes": old["num_classes"] - 1,
        "depthwise_heads_activations": old.get("depthwise_heads_activations", "relu6"),
        "loss_balancing": old.get("loss_balancing", False),
        "anchor_generator": {
            "type": "ClusteredAnchorGenerator",
            "strides": old["anchor_strides"],
            "widths": old["anchor_widths"],
            "heights": old["anchor_heights"],
        },
        "bbox_coder": {
            "type": "InclusiveDeltaXYWHBBoxCoder",
            "target_means": old.get("target_means", (0.0, 0.0, 0.0, 0.0)),
            "target_stds": old.get("target_stds", (1.0, 1.0, 1.0, 1.0)),
        },
    }


def _test_cfg(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds; ``offset`` counts the last pixel as 1.x did.

    ``min_bbox_size`` is left out: 1.x read it for proposals only.
    """
    nms = dict(old["nms"])
    threshold = nms.pop("iou_thr")
    return {
        "nms_pre": old.get("nms_pre", _ALL_ANCHORS),
        "nms": {**nms, "iou_threshold": threshold, "offset": 1},
        "score_thr": old["score_thr"],
        "max_per_img": old["max_per_img"],
    }


def _pipelines(
    config: Mapping[str, Any], source: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the test pipeline, and the normalisation that is the model's own in 3.x.

    Raises:
        ConfigError: If the old pipeline flips, or keeps the aspect ratio.
    """
    steps = config["data"]["test"]["pipeline"]
    (scaled,) = [step for step in steps if step["type"] == "MultiScaleFlipAug"]
    inner = {step["type"]: step for step in scaled["transforms"]}
    if scaled.get("flip") or inner["Resize"].get("keep_ratio"):
        raise ConfigError(f"{source}: its test pipeline flips or keeps the aspect ratio: unknown")
    norm = inner["Normalize"]
    pipeline: list[dict[str, Any]] = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": tuple(scaled["img_scale"]), "keep_ratio": False},
        {
            "type": "PackDetInputs",
            "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        },
    ]
    preprocessor = {
        "type": "DetDataPreprocessor",
        "mean": [float(one) for one in norm["mean"]],
        "std": [float(one) for one in norm["std"]],
        "bgr_to_rgb": norm["to_rgb"],
    }
    return pipeline, preprocessor


def _classes(config: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """Return the classes' names.

    Raises:
        ConfigError: If the dataset is not known to be of faces.
    """
    dataset = config["data"]["test"]
    if "classes" in dataset:
        named = dataset["classes"]
        return (named,) if isinstance(named, str) else tuple(named)
    if dataset["type"] == "WIDERFaceDataset":
        return ("face",)
    raise ConfigError(f"{source}: the classes of {dataset['type']} are not known: add 'classes'")


def _literal(value: Any, before: int = 0) -> str:  # noqa: ANN401 - any literal
    """Return a value as a config writes it.

    Args:
        value: Numbers, text, lists, tuples and mappings.
        before: How far its first line is indented.
    """
    flat = _flat(value)
    if len(flat) + before < _COLUMNS or not isinstance(value, dict | list | tuple):
        return flat
    inner = " " * (before + 4)
    if isinstance(value, dict):
        parts = [f"{key}={_literal(one, before + 4)}" for key, one in value.items()]
    else:
        parts = [_literal(one, before + 4) for one in value]
    opened, closed = ("dict(", ")") if isinstance(value, dict) else _BRACKETS[type(value)]
    body = "".join(f"{inner}{part},\n" for part in parts)
    return f"{opened}\n{body}{' ' * before}{closed}"


def _flat(value: Any) -> str:  # noqa: ANN401 - any literal
    """Return a value as a config writes it, on one line."""
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={_flat(one)}' for key, one in value.items())})"
    if isinstance(value, list | tuple):
        opened, closed = _BRACKETS[type(value)]
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"{opened}{', '.join(map(_flat, value))}{comma}{closed}"
    return repr(value)
