"""What a frozen trunk says of crops, computed once.

A frozen trunk answers the same every epoch, and is nearly all of the work. So each view of each
face goes through it once, and only the head, a thousandth of the work, is trained on the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from facekit.images import RgbImage
from facekit.networks.s3fd_classifier import S3FDClassifier
from facekit.training.s3fd_pixels import normalised

__all__ = ["describe_all", "planes_of"]


def planes_of(pixels: Tensor) -> Tensor:
    """Turn (n, size, size, 3) uint8 RGB crops into what the network takes, on their device."""
    return normalised(pixels.permute(0, 3, 1, 2).float())


@torch.inference_mode()
def describe_all(
    network: S3FDClassifier,
    views: Iterable[Sequence[RgbImage]],
    device: torch.device,
    *,
    batch_size: int = 16,
) -> Tensor:
    """Run the trunk on every view of every face.

    Args:
        network: The classifier; it is moved to the device.
        views: Of each face equally many (size, size, 3) uint8 RGB crops.
        device: Where to compute.
        batch_size: Crops of one forward pass.

    Returns:
        (faces, views, ...) float32 on the CPU.
    """
    network = network.to(device).eval()
    count = 1
    parts: list[Tensor] = []

    def flat() -> Iterator[RgbImage]:
        nonlocal count
        for face in views:
            count = len(face)
            yield from face

    crops = flat()
    while batch := list(islice(crops, batch_size)):
        pixels = torch.from_numpy(np.stack(batch)).to(device)
        answer = network.describe(planes_of(pixels))
        parts.append(answer.float().cpu())
    described = torch.cat(parts)
    return described.reshape(-1, count, *described.shape[1:]).clone()
