"""The random weights that an R-CNN starts from.

Sources: He et al., "Delving Deep into Rectifiers" (2015) for what is followed by a ReLU; Glorot and
Bengio (2010), as He's formula without the ReLU, for the pyramid and the fully connected layers;
small deviations for what answers, so that nothing is sure of anything at first ("Fast R-CNN" and
"Mask R-CNN"; the deviations are those of Detectron2, commit 02b5c4e).
"""

from __future__ import annotations

from typing import Final

from torch import nn

from facekit.networks.mask_rcnn import MaskRCNN

__all__ = ["reset_parameters"]

_DEVIATIONS: Final = {
    "rpn_head.conv": 0.01,
    "rpn_head.objectness_logits": 0.01,
    "rpn_head.anchor_deltas": 0.01,
    "box_predictor.cls_score": 0.01,
    "box_predictor.bbox_pred": 0.001,
    "mask_head.predictor": 0.001,
}


def reset_parameters(network: MaskRCNN) -> None:
    """Draw all weights anew, from torch's global generator; norms change nothing.

    Args:
        network: Any.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            _draw(name, module)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            module.reset_parameters()


def _draw(name: str, layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Draw one layer's weights; its bias is 0."""
    deviation = next((value for part, value in _DEVIATIONS.items() if part in name), None)
    if deviation is not None:
        nn.init.normal_(layer.weight, std=deviation)
    elif isinstance(layer, nn.Linear) or "backbone.fpn_" in name:
        nn.init.kaiming_uniform_(layer.weight, a=1)
    else:
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
