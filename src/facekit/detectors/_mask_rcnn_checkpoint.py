"""Detectron2's checkpoints: ``.pth`` of its trainer, ``.pkl`` of its model zoo and of Caffe2's.

A ``.pkl`` is read by :mod:`facekit.pickled_arrays`, which admits numbers, text, containers and
arrays, and calls nothing that the file names.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from facekit.engines.torch import check_keys, load_state_dict
from facekit.errors import WeightsError
from facekit.networks.mask_rcnn import MaskRCNN
from facekit.pickled_arrays import PickledArray, Refused, load

__all__ = ["load_checkpoint"]

StateDict = dict[str, Any]

_PICKLES: Final = (".pkl", ".pickle")
_CONSTANTS: Final = re.compile(
    r"^pixel_(mean|std)$|\.anchor_generator\.cell_anchors\.\d+$|\.num_batches_tracked$"
)
"""What old checkpoints hold of the configuration, and counters that only training reads."""

_MASKS: Final = "roi_heads.mask_head."
_SCORES: Final = "roi_heads.box_predictor.cls_score.weight"


def load_checkpoint(network: MaskRCNN, path: Path) -> None:
    """Load a checkpoint into a network.

    Args:
        network: Built from the checkpoint's own configuration.
        path: ``.pth``, ``.pt``, ``.safetensors``, or ``.pkl`` with numpy arrays.

    Raises:
        WeightsError: If the file is damaged, would run code, or is of another network.
    """
    expected = network.state_dict()
    if path.suffix.lower() in _PICKLES:
        state = _read_pickle(path, expected)
    else:
        state, _ = load_state_dict(path)
    state = {
        key: value
        for key, value in state.items()
        if key in expected or _CONSTANTS.search(key) is None
    }
    if network.settings.mask is None:
        # Faster R-CNN of a Mask R-CNN's weights: the boxes are the same.
        state = {key: value for key, value in state.items() if not key.startswith(_MASKS)}
    _add_identities(state, expected)
    _check_classes(path, state, network.settings.classes)
    check_keys(path, expected, state)
    network.load_state_dict(state, strict=False)


def _add_identities(state: StateDict, expected: Mapping[str, Any]) -> None:
    """Give norms without statistics those that change nothing, as Detectron2 does.

    Caffe2's norms are factors and biases alone.
    """
    for key, value in expected.items():
        norm, _, kind = key.rpartition(".")
        if key not in state and f"{norm}.weight" in state:
            if kind == "running_mean":
                state[key] = torch.zeros_like(value)
            elif kind == "running_var":
                state[key] = torch.ones_like(value)


def _check_classes(path: Path, state: Mapping[str, Any], classes: int) -> None:
    """Compare the number of classes before all shapes are.

    Raises:
        WeightsError: If it is another.
    """
    scores = state.get(_SCORES)
    found = classes if scores is None else len(scores) - 1
    if found != classes:
        reason = (
            f"has {found} classes, but the configuration's MODEL.ROI_HEADS.NUM_CLASSES is {classes}"
            ": give the configuration that it was trained with"
        )
        raise WeightsError(path, reason)


def _read_pickle(path: Path, expected: Iterable[str]) -> StateDict:
    """Read numpy arrays, and give them Detectron2's names.

    Raises:
        WeightsError: If the file is damaged, would run code, or holds no weights.
    """
    try:
        with path.open("rb") as file:
            stored = load(file, encoding="latin1")
    except Refused as error:
        raise WeightsError(path, str(error)) from error
    except pickle.UnpicklingError as error:
        raise WeightsError(path, f"damaged, or not a pickle: {error}") from error
    if not isinstance(stored, dict):
        raise WeightsError(path, f"holds no weights: expected a dict, got {type(stored).__name__}")
    of_zoo = "model" in stored and "__author__" in stored
    found = stored["model"] if of_zoo else stored.get("blobs", stored)
    if not isinstance(found, dict):
        raise WeightsError(path, "holds no weights by name")
    arrays = {
        str(key): np.asarray(value)
        for key, value in found.items()
        if isinstance(value, PickledArray) and not str(key).endswith("_momentum")
    }
    if not arrays:
        raise WeightsError(path, "holds no arrays by name, neither under 'model' nor under 'blobs'")
    if not of_zoo:
        arrays = _of_caffe2(arrays)
    if not of_zoo or stored.get("matching_heuristics"):
        arrays = _matched(arrays, expected)
    return {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}


def _matched(found: Mapping[str, Any], expected: Iterable[str]) -> StateDict:
    """Give each expected name the array whose name is its longest ending.

    What no expected name ends with is left out, as Detectron2 leaves it out: it is mostly the
    classifier that a trunk was trained with.
    """
    matched: StateDict = {}
    for key in expected:
        parts = key.split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        ending = next((one for one in endings if one in found), None)
        if ending is not None:
            matched[key] = found[ending]
    return matched


_CAFFE2: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^pred\.(?=[bw]$)", "linear."),
        (r"\.b$", ".bias"),
        (r"\.w$", ".weight"),
        (r"bn\.s$|bn\.gamma$|gn\.s$", "norm.weight"),
        (r"bn\.bias$|bn\.beta$|gn\.bias$", "norm.bias"),
        (r"bn\.rm$|bn\.running\.mean$", "norm.running_mean"),
        (r"bn\.riv$|bn\.running\.var$", "norm.running_var"),
        (r"^res\.conv1\.norm\.", "conv1.norm."),
        (r"^conv1\.", "stem.conv1."),
        (r"\.branch1\.", ".shortcut."),
        (r"\.branch2a\.", ".conv1."),
        (r"\.branch2b\.", ".conv2."),
        (r"\.branch2c\.", ".conv3."),
        (r"conv\.rpn(\.fpn2)?", "proposal_generator.rpn_head.conv"),
        (r"rpn\.bbox\.pred(\.fpn2)?", "proposal_generator.rpn_head.anchor_deltas"),
        (r"rpn\.cls\.logits(\.fpn2)?", "proposal_generator.rpn_head.objectness_logits"),
        (r"^bbox\.pred", "bbox_pred"),
        (r"^cls\.score", "cls_score"),
        (r"^fc6\.", "box_head.fc1."),
        (r"^fc7\.", "box_head.fc2."),
        (r"^head\.conv", "box_head.conv"),
        (r"^fpn\.inner\.res(\d)\.\d+\.sum\.lateral\.", r"fpn_lateral\1."),
        (r"^fpn\.res(\d)\.\d+\.sum\.", r"fpn_output\1."),
        (r"^\.(\[mask\]|mask)\.fcn", "mask_head.mask_fcn"),
        (r"mask\.fcn\.logits", "mask_head.predictor"),
        (r"conv5\.mask", "mask_head.deconv"),
    )
)
"""Caffe2's names to Detectron2's, in the order of ``c2_model_loading.py`` (commit 02b5c4e)."""


def _of_caffe2(arrays: Mapping[str, Any]) -> StateDict:
    """Rename Caffe2's arrays, and bring its classes into Detectron2's order.

    Caffe2 has the background first, with a box and a mask of its own; Detectron2 has it last,
    with neither.
    """
    renamed: StateDict = {}
    for key, array in arrays.items():
        name = key.replace("_", ".")
        for pattern, replacement in _CAFFE2:
            name = pattern.sub(replacement, name)
        if name.startswith("bbox_pred."):
            renamed[name] = array[4:]
        elif name.startswith("mask_head.predictor."):
            renamed[name] = array[1:]
        elif name.startswith("cls_score."):
            renamed[name] = np.concatenate([array[1:], array[:1]])
        else:
            renamed[name] = array
    return renamed
