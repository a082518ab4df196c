"""Detectron2's checkpoints: ``.pth`` of its trainer, ``.pkl`` of its model zoo and of Caffe2's.

A ``.pkl`` is read by :mod:`facekit.d2.pickles`, which admits numbers, text, containers and
arrays, and calls nothing that the file names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import torch

from facekit.d2.pickles import read_pickle
from facekit.detectors._mask_rcnn_runs import CONFIG_KEY
from facekit.engines.torch import check_keys, load_state_dict
from facekit.errors import WeightsError
from facekit.networks.mask_rcnn import MaskRCNN

__all__ = ["CONFIG_KEY", "embedded_config", "load_checkpoint", "start_from"]

StateDict = dict[str, Any]

_PICKLES: Final = (".pkl", ".pickle")
_CONSTANTS: Final = re.compile(
    r"^pixel_(mean|std)$|\.anchor_generator\.cell_anchors\.\d+$|\.num_batches_tracked$"
)
"""What old checkpoints hold of the configuration, and counters that only training reads."""

_TRUNK: Final = "backbone.bottom_up."
_OF_CLASSES: Final = re.compile(
    r"^roi_heads\.(box_predictor\.(cls_score|bbox_pred)|mask_head\.predictor)\."
)
"""What a model of other classes has in another shape."""

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
    state = _read(path, expected)
    # Faster R-CNN of a Mask R-CNN's weights: the boxes are the same.
    state = {key: value for key, value in state.items() if _wanted(network, key)}
    _add_identities(state, expected)
    _check_classes(path, state, network.settings.classes)
    check_keys(path, expected, state)
    network.load_state_dict(state, strict=False)


def start_from(network: MaskRCNN, path: Path) -> list[str]:
    """Give a network what a checkpoint of other classes, or of a trunk alone, has for it.

    What depends on the classes is left as it is where its shape differs; so are the pyramid and
    the heads if the checkpoint has no weight of them.

    Args:
        network: To be trained.
        path: See `load_checkpoint`.

    Returns:
        The names of the weights that the checkpoint does not give.

    Raises:
        WeightsError: If the file is damaged, would run code, or is of another network.
    """
    expected = network.state_dict()
    state = {key: value for key, value in _read(path, expected).items() if _wanted(network, key)}
    _add_identities(state, expected)
    others = {
        key
        for key, value in expected.items()
        if _OF_CLASSES.match(key) and (key not in state or state[key].shape != value.shape)
    }
    if all(key.startswith(_TRUNK) or key not in expected for key in state):
        others = {key for key in expected if not key.startswith(_TRUNK)}
    given = {key: value for key, value in state.items() if key not in others}
    check_keys(path, {key: expected[key] for key in expected if key not in others}, given)
    network.load_state_dict(given, strict=False)
    return sorted(others)


def embedded_config(path: Path) -> dict[str, Any] | None:
    """Return the configuration that a ``.safetensors`` file has of its own, or ``None``.

    Args:
        path: Any checkpoint.

    Raises:
        WeightsError: If the file is damaged.
    """
    if path.suffix.lower() != ".safetensors":
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(CONFIG_KEY)
    except safetensors.SafetensorError as error:
        reason = f"damaged, or not a safetensors file: {str(error).splitlines()[0]}"
        raise WeightsError(path, reason) from error
    try:
        values = json.loads(text) if text is not None else None
    except ValueError as error:
        raise WeightsError(path, f"its configuration is damaged: {error}") from error
    return values if isinstance(values, dict) else None


def _read(path: Path, expected: Mapping[str, Any]) -> StateDict:
    """Return a checkpoint's weights, without constants that the network has of its own.

    Raises:
        WeightsError: See `load_checkpoint`.
    """
    if path.suffix.lower() in _PICKLES:
        state = _read_pickle(path, expected)
    else:
        state, _ = load_state_dict(path)
    return {
        key: value
        for key, value in state.items()
        if key in expected or _CONSTANTS.search(key) is None
    }


def _wanted(network: MaskRCNN, key: str) -> bool:
    """Say whether a network has a place for a weight: Faster R-CNN has none for masks."""
    return network.settings.mask is not None or not key.startswith(_MASKS)


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
    arrays, of_zoo, rest = read_pickle(path)
    if not of_zoo:
        arrays = _of_caffe2(arrays)
    if not of_zoo or rest.get("matching_heuristics"):
        arrays = _matched(arrays, expected)
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


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
