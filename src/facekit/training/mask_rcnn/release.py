"""What the recipe ``mask_rcnn`` trained, as files that Detectron2 reads."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import yaml

from facekit.atomic import atomic_path, write_text
from facekit.detectors._mask_rcnn_checkpoint import embedded_config
from facekit.detectors._mask_rcnn_config import laid_over, parse_config
from facekit.engines.torch import load_state_dict
from facekit.errors import OutputError, WeightsError
from facekit.weights import resolve

__all__ = ["release"]


def release(weights: str | os.PathLike[str], out: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write a checkpoint for Detectron2, and its configuration beside it.

    Args:
        weights: A ``.safetensors`` checkpoint of the recipe.
        out: ``NAME.pth``; the configuration becomes ``NAME.yaml``.

    Returns:
        Both files.

    Raises:
        WeightsError: If the checkpoint is damaged, or not the recipe's.
        OutputError: If the files cannot be written, or ``out`` is no ``.pth``.
    """
    target = Path(out)
    if target.suffix != ".pth":
        raise OutputError(f"{target}: Detectron2 reads .pth")
    source = resolve(weights, default="mask_rcnn")
    values = embedded_config(source)
    if values is None:
        raise WeightsError(source, "does not hold its configuration, as the recipe's files do")
    parse_config(values, str(source))
    state, _ = load_state_dict(source)
    config = target.with_suffix(".yaml")
    with atomic_path(target) as temporary:
        torch.save({"model": state}, temporary)
    values = laid_over(values, {"MODEL": {"WEIGHTS": str(target)}})
    write_text(config, yaml.safe_dump(values, sort_keys=False))
    return target, config
