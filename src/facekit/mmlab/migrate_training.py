"""What only training reads of a 1.x config, rewritten for 3.x.

What 3.x says otherwise: a schedule is a list of schedulers, the length of a run belongs to its
loop, steps have other names for some options, and the overlap is a part of the assigner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["model_part", "parts"]

Step = dict[str, Any]

_KEPT: Final = frozenset(
    {"Expand", "LoadAnnotations", "LoadImageFromFile", "MinIoURandomCrop", "PhotoMetricDistortion"}
)
"""Steps that 3.x has by the same name, with the same options."""

_GONE: Final = frozenset({"DefaultFormatBundle", "Normalize"})
"""Steps that the model, or the packing, does in 3.x."""

_RENAMED: Final[Mapping[str, Callable[[Step], Step]]] = {
    "Collect": lambda _: {"type": "PackDetInputs"},
    "RandomFlip": lambda step: {"type": "RandomFlip", "prob": step["flip_ratio"]},
    "Resize": lambda step: {
        "type": "Resize",
        "scale": tuple(step["img_scale"]),
        "keep_ratio": step["keep_ratio"],
    },
}

_OF_ASSIGNER: Final = ("smoothl1_beta", "allowed_border", "pos_weight", "neg_pos_ratio", "debug")
_SMALLEST: Final = 32
"""1.x left out photos smaller than this."""


def model_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's own part: how anchors are given to faces.

    Args:
        config: The old config.

    Raises:
        KeyError: If the old config has no training.
    """
    old = config["train_cfg"]
    if old["assigner"]["type"] != "MaxIoUAssigner" or old.get("use_giou") or old.get("use_focal"):
        raise KeyError("train_cfg")
    assigner = {**old["assigner"], "iou_calculator": {"type": "InclusiveBboxOverlaps2D"}}
    kept = {name: old[name] for name in _OF_ASSIGNER if name in old}
    return {"train_cfg": {"assigner": assigner, "sampler": {"type": "PseudoSampler"}, **kept}}


def parts(config: Mapping[str, Any], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the assignments that only training reads.

    Args:
        config: The old config.
        classes: The classes' names.

    Raises:
        KeyError: If the old config has no training, or something in it that is not known.
    """
    data = config["data"]
    repeated = data["train"]["type"] == "RepeatDataset"
    inner = data["train"]["dataset"] if repeated else data["train"]
    dataset: dict[str, Any] = {
        "type": "CocoDataset",
        "ann_file": "train.json",
        "metainfo": {"classes": classes},
        "filter_cfg": {"filter_empty_gt": True, "min_size": _SMALLEST},
        "pipeline": [new for step in inner["pipeline"] if (new := _step(step)) is not None],
    }
    if repeated:
        dataset = {"type": "RepeatDataset", "times": data["train"]["times"], "dataset": dataset}
    workers = data.get("workers_per_gpu", 0)
    return {
        "train_dataloader": {
            "batch_size": data["imgs_per_gpu"],
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "dataset": dataset,
        },
        "optim_wrapper": _optimizer(config),
        "param_scheduler": _schedule(config["lr_config"], config["total_epochs"]),
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": config["total_epochs"]},
        "default_hooks": {
            "checkpoint": {"type": "CheckpointHook", **config.get("checkpoint_config", {})},
            "logger": {"type": "LoggerHook", "interval": 10},
        },
    }


def _step(step: Step) -> Step | None:
    """Return a step of the training pipeline, or ``None`` for what is done elsewhere.

    Raises:
        KeyError: If it is not known.
    """
    kind = step["type"]
    if kind in _KEPT:
        return dict(step)
    if kind in _GONE:
        return None
    return _RENAMED[kind](step)


def _optimizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimiser, with the gradients' clipping where there is one."""
    wrapper = {"type": "OptimWrapper", "optimizer": dict(config["optimizer"])}
    clip = config.get("optimizer_config", {}).get("grad_clip")
    return wrapper if clip is None else {**wrapper, "clip_grad": dict(clip)}


def _schedule(old: Mapping[str, Any], epochs: int) -> list[dict[str, Any]]:
    """Return the schedulers of a policy of steps with a linear warm-up.

    Raises:
        KeyError: If the policy is another one.
    """
    if old["policy"] != "step" or old.get("warmup", "linear") != "linear":
        raise KeyError(old["policy"])
    steps = {
        "type": "MultiStepLR",
        "begin": 0,
        "end": epochs,
        "by_epoch": True,
        "milestones": list(old["step"]),
        "gamma": old.get("gamma", 0.1),
    }
    if "warmup" not in old:
        return [steps]
    warmup = {
        "type": "LinearLR",
        "start_factor": old["warmup_ratio"],
        "begin": 0,
        "end": old["warmup_iters"],
        "by_epoch": False,
    }
    return [warmup, steps]
