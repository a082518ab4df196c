"""mmcv without its compiled ops: enough of ``mmcv._ext`` to import mmdet and to detect with it.

mmcv's wheel for today's PyTorch does not exist, building its ops takes half an hour, and without
them ``import mmdet`` fails. Of about 150 ops detectors mostly call two, which torchvision has too:
``nms`` and ``roi_align``. :func:`provide` puts a module of those two in the place of the missing
one; each other op raises, named, when a model calls it. An mmcv with its own ops is left alone.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import logging
import sys
import types
from collections.abc import Callable
from typing import Any, Final

import torch
import torchvision

__all__ = ["COMPILE", "NAME", "provide"]

NAME: Final = "mmcv._ext"

COMPILE: Final = "install an mmcv with its compiled ops (docs/backends/mmdet.md says how)"

_AVERAGE: Final = 1
"""``pool_mode`` of mmcv's ``roi_align``: 0 takes the largest, which torchvision has not."""

_log = logging.getLogger("facekit.mmlab")


class _Ops(types.ModuleType):
    """The module in the place of ``mmcv._ext``."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a function that says which op is missing: mmcv looks all of them up at import.

        Raises:
            AttributeError: For Python's own names.
        """
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: object, **__: object) -> None:
            message = f"this model calls mmcv's compiled op {name!r}, which is missing: {COMPILE}"
            raise NotImplementedError(message)

        return missing


def provide() -> bool:
    """Stand in for mmcv's ops where they are missing, and log that.

    Returns:
        Whether mmcv has none of its own.

    Raises:
        ModuleNotFoundError: If mmcv is not installed.
    """
    present = sys.modules.get(NAME)
    if present is not None:
        return isinstance(present, _Ops)
    if importlib.util.find_spec(NAME) is not None:
        return False
    module = _Ops(NAME, __doc__)
    module.__spec__ = importlib.machinery.ModuleSpec(NAME, None, origin=__file__)
    vars(module).update(nms=_nms, roi_align_forward=_roi_align_forward)
    sys.modules[NAME] = module
    _log.warning("mmcv has no compiled ops: nms and roi_align are torchvision's, the others raise")
    return True


def _nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int = 0
) -> torch.Tensor:
    """Suppress boxes; see ``mmcv.ops.nms``.

    Args:
        boxes: ``(n, 4)`` x1 y1 x2 y2.
        scores: ``(n,)``.
        iou_threshold: A box is dropped when its IoU with a better one is above this.
        offset: 1 where the last pixel is counted inclusively.

    Returns:
        Indices of the kept ones, best first.
    """
    ends = boxes[:, 2:] + offset
    whole = torch.cat([boxes[:, :2], ends], dim=1).float()
    kept: torch.Tensor = torchvision.ops.nms(whole, scores.float(), float(iou_threshold))
    return kept


def _roi_align_forward(  # noqa: PLR0917 - mmcv's own signature
    features: torch.Tensor,
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax_y: torch.Tensor,  # noqa: ARG001 - of the other pooling mode
    argmax_x: torch.Tensor,  # noqa: ARG001
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,  # noqa: FBT001
) -> None:
    """Pool regions into ``output``; see ``mmcv.ops.roi_align``.

    Raises:
        NotImplementedError: If it shall take the largest value instead of the average.
    """
    if pool_mode != _AVERAGE:
        raise NotImplementedError(f"mmcv's op 'roi_align' of the largest value: {COMPILE}")
    size = (aligned_height, aligned_width)
    output.copy_(
        torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned)
    )
