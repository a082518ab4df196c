"""What becomes of a config of MMDetection when facekit's data and a run's choices come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from facekit.errors import ConfigError

__all__ = ["MONITOR", "check", "prepare", "use_data"]

MONITOR: Final = "coco/bbox_mAP_50"
"""What decides which checkpoint is best, where the config does not say."""

_NEEDED: Final = ("train_dataloader", "train_cfg", "optim_wrapper")


def check(file: Path, config: Any, classes: tuple[str, ...]) -> None:  # noqa: ANN401 - Config
    """Refuse a config that cannot train these classes.

    Args:
        file: Its name, for messages.
        config: As loaded.
        classes: What is learned.

    Raises:
        ConfigError: With the way out.
    """
    missing = [name for name in _NEEDED if not config.get(name)]
    if missing:
        message = f"is for detecting alone: it has no {', '.join(missing)}"
        raise ConfigError(f"{file}: {message}; write them into it, or inherit them by _base_")
    for path, number in _heads("model", config.model):
        if number != len(classes):
            raise ConfigError(
                f"{file}: {path} is {number}, but the classes are {', '.join(classes)}: give "
                f"overrides: {{{path}: {len(classes)}}}, or other classes"
            )


def _heads(path: str, value: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - any config value
    """Yield where each box head's number of classes stands, and the number."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            inner = f"{path}.{name}"
            if name == "num_classes" and "bbox_head" in path:
                yield inner, one
            yield from _heads(inner, one)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _heads(f"{path}.{index}", one)


def prepare(
    config: Any,  # noqa: ANN401 - Config
    *,
    epochs: int | None,
    batch_size: int | None,
    workers: int | None,
    lr: float | None,
    schedule: str,
) -> None:
    """Lay the run's choices over a config's own.

    Args:
        config: Changed in place.
        epochs: The run's length.
        batch_size: Photos a step, on each device.
        workers: Processes that prepare photos, for each device.
        lr: The optimiser's learning rate.
        schedule: ``constant``, or ``config`` for the config's own.

    Raises:
        ConfigError: If the config counts its length in steps.
    """
    if epochs is not None:
        if "max_epochs" not in config.train_cfg:
            message = "epochs: this config counts steps: give overrides: {train_cfg.max_iters: ...}"
            raise ConfigError(message)
        config.train_cfg.max_epochs = epochs
    loader = config.train_dataloader
    if batch_size is not None:
        loader.batch_size = batch_size
        if loader.get("batch_sampler"):
            loader.batch_sampler.setdefault("type", "AspectRatioBatchSampler")
    if workers is not None:
        loader.num_workers = workers
        loader.persistent_workers = workers > 0
    if lr is not None:
        config.optim_wrapper.optimizer.lr = lr
    if schedule == "constant":
        config.param_scheduler = []


def use_data(
    config: Any,  # noqa: ANN401 - Config
    train: Path,
    validation: Path | None,
    classes: tuple[str, ...],
) -> None:
    """Point a config at annotations, and its checkpoints at the best validation.

    Args:
        config: Changed in place.
        train: COCO's JSON whose images have absolute paths.
        validation: The same of what is measured on, if anything is.
        classes: Their categories.
    """
    _point(config.train_dataloader, train, classes, is_test=False)
    config.test_dataloader = config.test_evaluator = config.test_cfg = None
    if validation is None:
        config.val_dataloader = config.val_evaluator = config.val_cfg = None
        return
    _point(config.val_dataloader, validation, classes, is_test=True)
    config.val_cfg = config.get("val_cfg") or {"type": "ValLoop"}
    config.val_evaluator = {"type": "CocoMetric", "ann_file": str(validation), "metric": "bbox"}
    hooks = config.setdefault("default_hooks", {})
    hooks.setdefault("checkpoint", {"type": "CheckpointHook", "interval": 1})
    hooks["checkpoint"].setdefault("save_best", MONITOR)


def _point(loader: Any, file: Path, classes: tuple[str, ...], *, is_test: bool) -> None:  # noqa: ANN401 - Config
    """Put an annotation in the place of a loader's innermost dataset; its pipeline stays."""
    holder = loader
    while "dataset" in holder.get("dataset", {}):
        holder = holder["dataset"]
    old = holder["dataset"]
    # Some configs list datasets to be joined.
    old = old["datasets"][0] if "datasets" in old else old
    dataset = {
        "type": "CocoDataset",
        "ann_file": str(file),
        "data_root": "",
        "data_prefix": {"img": ""},
        "metainfo": {"classes": classes},
        "pipeline": old.get("pipeline", []),
    }
    if is_test:
        dataset["test_mode"] = True
    elif "filter_cfg" in old:
        dataset["filter_cfg"] = old["filter_cfg"]
    holder["dataset"] = dataset
