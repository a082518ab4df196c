"""Detectron2's R-CNNs in PyTorch: the configuration's network with a checkpoint's weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from facekit.detectors._mask_rcnn_checkpoint import load_checkpoint
from facekit.detectors._mask_rcnn_config import Detectron2Config
from facekit.detectors._mask_rcnn_images import Raw
from facekit.engines import FloatArray
from facekit.engines.torch import make_fast
from facekit.errors import BackendError, ConfigError
from facekit.networks.mask_rcnn import MaskRCNN, padded_size

__all__ = ["TorchRun"]


class TorchRun:
    """A checkpoint, ready to run.

    Attributes:
        network: The module.
        config: What it was built from.
    """

    def __init__(
        self,
        path: Path,
        config: Detectron2Config,
        *,
        score_threshold: float,
        device: str,
        threads: int,
        fast: bool = False,
    ) -> None:
        """Build the network and load the weights.

        Args:
            path: The checkpoint.
            config: Its configuration.
            score_threshold: Boxes must score higher.
            device: As PyTorch names it.
            threads: CPU threads of the whole process; 0 leaves them.
            fast: See :func:`facekit.engines.torch.make_fast`.

        Raises:
            WeightsError: If the weights are damaged or of another network.
            ConfigError: If PyTorch has no device of that name.
            BackendError: If the device is not there.
        """
        self.config = config
        settings = config.settings()
        box = dataclasses.replace(settings.box, score_threshold=score_threshold)
        self.network = MaskRCNN(dataclasses.replace(settings, box=box)).eval()
        load_checkpoint(self.network, path)
        self._device = _device(device)
        try:
            self.network.to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f"device {device!r}: {_first_line(error)}") from error
        if fast:
            make_fast(self.network)
        if threads:
            torch.set_num_threads(threads)

    def __call__(self, images: Sequence[FloatArray]) -> list[Raw]:
        """Run images, those of one padded size together.

        Args:
            images: float32 ``(3, height, width)`` each, in 0..255.

        Raises:
            BackendError: If PyTorch fails.
        """
        sizes = [padded_size(image.shape[1], image.shape[2]) for image in images]
        found: dict[int, Raw] = {}
        for size in dict.fromkeys(sizes):
            rows = [row for row, own in enumerate(sizes) if own == size]
            found |= zip(rows, self._together([images[row] for row in rows]), strict=True)
        return [found[row] for row in range(len(images))]

    def _together(self, images: Sequence[FloatArray]) -> list[Raw]:
        """Run images of one padded size."""
        try:
            with torch.inference_mode():
                found = self.network([torch.from_numpy(one).to(self._device) for one in images])
            return [Raw(*(None if x is None else x.cpu().numpy() for x in one)) for one in found]
        except RuntimeError as error:
            raise BackendError(f"mask_rcnn: PyTorch failed: {_first_line(error)}") from error


def _device(name: str) -> torch.device:
    """Read a device's name.

    Raises:
        ConfigError: If PyTorch has none of that name.
    """
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is none of PyTorch's: cpu, cuda, cuda:1") from error


def _first_line(error: Exception) -> str:
    """Return the first line of a message that may go on for a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
