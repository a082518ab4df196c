"""What MMDetection 1.x did otherwise, as parts of 3.x, so that its tiny SSD answers as it did.

1.x counted pixels inclusively and put the background first; 3.x has continuous coordinates and the
background last. The parts here keep the old checkpoint's names, shapes and order inside, and hand
3.x what it expects. mmdet's own ``LegacyDeltaXYWHBBoxCoder`` and ``LegacySSDAnchorGenerator`` do
not: they leave out half a pixel on purpose, and know no clustered anchors.

Source: openvinotoolkit/mmdetection, commit 9702c797 (``SSDHead``, ``AnchorGenerator``,
``delta2bbox``, ``multiclass_nms``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from facekit.mmlab import ops
from facekit.networks.tiny_ssd import TinySSD

# Before the first import of mmdet.
ops.provide()

from mmdet.models.dense_heads import SSDHead  # noqa: E402
from mmdet.models.task_modules.assigners import BboxOverlaps2D  # noqa: E402
from mmdet.models.task_modules.coders import BaseBBoxCoder  # noqa: E402
from mmdet.models.task_modules.prior_generators import AnchorGenerator  # noqa: E402
from mmdet.registry import MODELS, TASK_UTILS  # noqa: E402
from mmengine.model import BaseModule  # noqa: E402

__all__ = [
    "ClusteredAnchorGenerator",
    "ClusteredSSDHead",
    "InclusiveBboxOverlaps2D",
    "InclusiveDeltaXYWHBBoxCoder",
    "SSDMobilenetV2",
]

_WIDTH: Final = 0.75
_SMALLEST_RATIO: Final = 16 / 1000
_ACTIVATIONS: Final = {"relu": nn.ReLU, "relu6": nn.ReLU6}


@MODELS.register_module()
class SSDMobilenetV2(BaseModule):
    """The tiny SSD's backbone: facekit's own, under the names of 1.x.

    Args:
        input_size: As the old config gives it; any size runs.
        width_mult: 0.75, the published width.
        activation_type: ``"relu"``.
        scales: 1: the map of stride 16 alone.
        init_cfg: mmengine's.

    Raises:
        ValueError: If another form is asked for, which was never published.
    """

    def __init__(
        self,
        input_size: int = 300,
        width_mult: float = _WIDTH,
        activation_type: str = "relu",
        scales: int = 1,
        init_cfg: Any = None,  # noqa: ANN401 - mmengine's
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if (width_mult, activation_type, scales) != (_WIDTH, "relu", 1):
            message = (
                f"facekit has SSDMobilenetV2 of width {_WIDTH} with relu and one scale, got "
                f"{width_mult}, {activation_type} and {scales}"
            )
            raise ValueError(message)
        backbone = TinySSD().backbone
        self.input_size = input_size
        self.bn_first, self.features = backbone.bn_first, backbone.features

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the one map ``(n, 360, h, w)`` of images ``(n, 3, H, W)``."""
        return (self.features(self.bn_first(image)),)


@TASK_UTILS.register_module()
class ClusteredAnchorGenerator(AnchorGenerator):
    """Anchors of given widths and heights, rounded and counted inclusively as in 1.x.

    Args:
        strides: Pixels of the input a cell, by level.
        widths: Of each level's anchors, pixels.
        heights: Of each level's anchors, pixels.
    """

    def __init__(
        self,
        strides: Sequence[int],
        widths: Sequence[Sequence[float]],
        heights: Sequence[Sequence[float]],
    ) -> None:
        self._shapes = [
            torch.tensor([across, down], dtype=torch.float32).T
            for across, down in zip(widths, heights, strict=True)
        ]
        super().__init__(strides=strides, ratios=[1.0], scales=[1])

    def gen_base_anchors(self) -> list[Tensor]:
        """Return each level's ``(k, 4)`` anchors of the first cell."""
        anchors = []
        for shapes, (across, down) in zip(self._shapes, self.strides, strict=True):
            centre = torch.tensor([across - 1, down - 1]) / 2
            half = (shapes - 1) * 0.5
            anchors.append(torch.cat([centre - half, centre + half], dim=1).round())
        return anchors


@TASK_UTILS.register_module()
class InclusiveDeltaXYWHBBoxCoder(BaseBBoxCoder):
    """1.x's ``bbox2delta`` and ``delta2bbox``, half pixels included.

    Args:
        target_means: Of dx, dy, dw, dh.
        target_stds: Of dx, dy, dw, dh.
        use_box_type: mmdet's.
    """

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        *,
        use_box_type: bool = False,
    ) -> None:
        super().__init__(use_box_type=use_box_type)
        self.means, self.stds = target_means, target_stds

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Return the deltas ``(n, 4)`` from anchors to boxes, both inclusive."""
        (own, size), (other, other_size) = _centred(bboxes), _centred(gt_bboxes)
        deltas = torch.cat([(other - own) / size, (other_size / size).log()], dim=1)
        return (deltas - deltas.new_tensor(self.means)) / deltas.new_tensor(self.stds)

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: Sequence[int] | None = None,
        wh_ratio_clip: float = _SMALLEST_RATIO,
    ) -> Tensor:
        """Return the inclusive boxes ``(n, 4)`` of deltas from inclusive anchors.

        Args:
            bboxes: ``(n, 4)`` anchors.
            pred_bboxes: ``(n, 4)`` deltas.
            max_shape: Height and width of the input, to which the boxes are clipped.
            wh_ratio_clip: The smallest ratio of a box's side to its anchor's.
        """
        stds, means = pred_bboxes.new_tensor(self.stds), pred_bboxes.new_tensor(self.means)
        deltas = pred_bboxes * stds + means
        (centre, size), limit = _centred(bboxes), abs(torch.tensor(wh_ratio_clip).log().item())
        half = size * deltas[:, 2:].clamp(-limit, limit).exp() * 0.5
        middle = centre + size * deltas[:, :2]
        boxes = torch.cat([middle - half + 0.5, middle + half - 0.5], dim=1)
        if max_shape is None:
            return boxes
        last = boxes.new_tensor([max_shape[1] - 1, max_shape[0] - 1] * 2)
        return torch.minimum(boxes.clamp(min=0), last)


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres and sizes ``(n, 2)`` of inclusive boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) * 0.5, boxes[:, 2:] - boxes[:, :2] + 1


@TASK_UTILS.register_module()
class InclusiveBboxOverlaps2D(BboxOverlaps2D):
    """1.x's overlaps of boxes whose last pixel counts, for its assigner."""

    def __call__(
        self,
        bboxes1: Tensor,
        bboxes2: Tensor,
        mode: str = "iou",
        is_aligned: bool = False,  # noqa: FBT001, FBT002 - mmdet's
    ) -> Tensor:
        """Return the overlaps ``(m, n)`` of inclusive boxes ``(m, 4)`` and ``(n, 4)``."""
        whole = (boxes + boxes.new_tensor([0, 0, 1, 1]) for boxes in (bboxes1, bboxes2))
        return super().__call__(*whole, mode, is_aligned)


@MODELS.register_module()
class ClusteredSSDHead(SSDHead):
    """1.x's ``SSDHead`` over clustered anchors, its checkpoints' names and class order kept.

    Args:
        depthwise_heads_activations: ``"relu"`` or ``"relu6"``.
        loss_balancing: Whether two weights, trained too, balance the losses of classes and boxes;
            they take no part in detection.
        **options: Those of mmdet's ``SSDHead``.
    """

    def __init__(
        self,
        *,
        depthwise_heads_activations: str = "relu",
        loss_balancing: bool = False,
        **options: Any,  # noqa: ANN401 - mmdet's
    ) -> None:
        self._activation = _ACTIVATIONS[depthwise_heads_activations]
        super().__init__(use_depthwise=True, **options)
        if loss_balancing:
            self.loss_weights = nn.Parameter(torch.zeros(2))

    def _init_layers(self) -> None:
        """Build a depthwise 3 x 3 and a 1 x 1 convolution each for classes and boxes."""
        pairs = list(zip(self.in_channels, self.num_base_priors, strict=True))
        self.reg_convs = nn.ModuleList(self._predictor(one, k * 4) for one, k in pairs)
        self.cls_convs = nn.ModuleList(
            self._predictor(one, k * self.cls_out_channels) for one, k in pairs
        )

    def _predictor(self, channels: int, values: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.BatchNorm2d(channels),
            self._activation(inplace=True),
            nn.Conv2d(channels, values, 1),
        )

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores and deltas by level; the background, first in 1.x, comes last."""
        scores, deltas = super().forward(x)
        return [self._background_last(one) for one in scores], deltas

    def _background_last(self, scores: Tensor) -> Tensor:
        """Move each anchor's first class behind its others: ``(n, k * c, h, w)``."""
        by_class = scores.unflatten(1, (-1, self.cls_out_channels))
        return by_class.roll(-1, dims=2).flatten(1, 2)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: Sequence[Any],
        batch_img_metas: list[dict[str, Any]],
        batch_gt_instances_ignore: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """Return mmdet's losses, of faces counted inclusively as the anchors are.

        Two losses of weights w are balanced as exp(-w) loss + w / 2 (Kendall et al., 2018).
        """
        for found in (*batch_gt_instances, *(batch_gt_instances_ignore or ())):
            found.bboxes = found.bboxes - found.bboxes.new_tensor([0, 0, 1, 1])
        losses: dict[str, Any] = super().loss_by_feat(
            cls_scores, bbox_preds, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        )
        if not hasattr(self, "loss_weights"):
            return losses
        weights = dict(zip(("loss_cls", "loss_bbox"), self.loss_weights, strict=True))
        return {
            name: (-weights[name]).exp() * sum(one.mean() for one in parts) + weights[name] / 2
            for name, parts in losses.items()
        }

    def _bbox_post_process(self, results: Any, **options: Any) -> Any:  # noqa: ANN401 - mmdet's
        """Suppress as mmdet does, then count the last pixel as 3.x does."""
        found = super()._bbox_post_process(results=results, **options)
        found.bboxes = found.bboxes + found.bboxes.new_tensor([0, 0, 1, 1])
        return found
