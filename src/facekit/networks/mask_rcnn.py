"""Faster and Mask R-CNN with ResNet / ResNeXt and an FPN, as plain torch and torchvision's ops.

It repeats Detectron2's ``GeneralizedRCNN`` (commit 02b5c4e): the parameters have its names, so that
its checkpoints load with ``strict=True``, and the operations its order, so that the numbers are its
own. torchvision's Mask R-CNN differs: rounded anchors, unaligned regions, other transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekit.networks.mask_rcnn_backbone import PyramidBackbone
from facekit.networks.mask_rcnn_heads import Instances, RoiHeads
from facekit.networks.mask_rcnn_rpn import ProposalNetwork, Proposals
from facekit.networks.mask_rcnn_settings import MaskRCNNSettings

__all__ = ["DIVISIBILITY", "Instances", "MaskRCNN", "Proposals", "padded_size"]

DIVISIBILITY: Final = 32
"""The network's input has sides in multiples of this, pixels."""


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the sides of the input that an image is padded to, at the right and the bottom."""
    rows, columns = (-(-side // DIVISIBILITY) * DIVISIBILITY for side in (height, width))
    return rows, columns


class MaskRCNN(nn.Module):
    """An R-CNN; 44 M parameters with R50-FPN and masks, 108 M with X101-32x8d."""

    def __init__(self, settings: MaskRCNNSettings | None = None) -> None:
        """Build the network with torch's default random weights.

        Args:
            settings: By default Mask R-CNN R50-FPN for COCO's 80 classes.
        """
        super().__init__()
        self.settings = settings = settings or MaskRCNNSettings()
        for name in ("pixel_mean", "pixel_std"):
            values = torch.tensor(getattr(settings, name)).view(-1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.backbone = PyramidBackbone(settings.resnet, settings.fpn)
        self.proposal_generator = ProposalNetwork(settings.fpn.channels, settings.rpn)
        self.roi_heads = RoiHeads(settings)

    def forward(self, images: Sequence[Tensor]) -> list[Instances]:
        """Find the instances of images that are padded to one size.

        Args:
            images: float ``(3, height, width)`` each, 0..255, channels as the weights want them.
                Sizes may differ, but what an image is padded to for another's sake changes its
                numbers: those of `padded_size` should be the same.
        """
        levels = self.features(images)
        proposals = self.propose(levels, images)
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        return self.roi_heads(levels, [one.boxes for one in proposals], sizes)

    def features(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return p2 to p6 of the batch; see `forward`."""
        height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
        rows, columns = padded_size(height, width)
        return self.backbone(
            torch.stack(
                [
                    functional.pad(
                        (image - self.pixel_mean) / self.pixel_std,
                        (0, columns - image.shape[2], 0, rows - image.shape[1]),
                    )
                    for image in images
                ]
            )
        )

    def propose(self, levels: Sequence[Tensor], images: Sequence[Tensor]) -> list[Proposals]:
        """Return the regions of each image; see `forward`."""
        return self.proposal_generator(
            levels, [(image.shape[1], image.shape[2]) for image in images]
        )
