"""What runs an R-CNN: PyTorch a checkpoint, ONNX Runtime an exported file.

PyTorch is imported for a checkpoint alone, so that the core can run an exported file.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from facekit.detectors._mask_rcnn_config import Detectron2Config, parse_config, read_config
from facekit.detectors._mask_rcnn_images import Raw
from facekit.engines import FloatArray, create_engine
from facekit.errors import ConfigError, MissingDependencyError, WeightsError

__all__ = ["CONFIG_KEY", "GraphRun", "Run", "open_checkpoint"]

CONFIG_KEY: Final = "detectron2"
"""Under which a file's metadata has its configuration, as JSON."""

_INPUTS: Final = ("image", "score_threshold")
_OUTPUTS: Final = ("boxes", "scores", "classes")
_PACKAGES: Final = ("torch", "torchvision", "safetensors")
_INSTALL: Final = 'pip install "facekit[mask_rcnn]"'


class Run(Protocol):
    """Runs a network on images."""

    config: Detectron2Config

    def __call__(self, images: Sequence[FloatArray]) -> list[Raw]:
        """Answer for float32 ``(3, height, width)`` images in 0..255."""
        ...


class GraphRun:
    """An exported file; images go through it one by one.

    Attributes:
        config: What the file has within.
    """

    def __init__(self, path: Path, *, score_threshold: float | None, threads: int) -> None:
        """Load the file.

        Args:
            path: ``.onnx``, as ``facekit export mask_rcnn`` writes it.
            score_threshold: Boxes must score higher; by default as the configuration says.
            threads: CPU threads of one call; 0 leaves it to ONNX Runtime.

        Raises:
            WeightsError: If the file is damaged, or of another network.
            ConfigError: If its configuration is of no model that there is.
        """
        try:
            self._engine = _engine(path, (*_OUTPUTS, "masks"), threads)
        except WeightsError:
            # Faster R-CNN has none; what else is wrong with the file, this says again.
            self._engine = _engine(path, _OUTPUTS, threads)
        try:
            values = json.loads(self._engine.metadata.get(CONFIG_KEY, ""))
        except ValueError as error:
            raise WeightsError(path, "does not hold its configuration") from error
        self.config = parse_config(values, str(path))
        if score_threshold is None:
            score_threshold = self.config.settings().box.score_threshold
        self._threshold = np.array([score_threshold], dtype=np.float32)

    def __call__(self, images: Sequence[FloatArray]) -> list[Raw]:
        """Run images.

        Args:
            images: float32 ``(3, height, width)`` each, in 0..255.

        Raises:
            BackendError: If ONNX Runtime fails.
        """
        return [self._one(image) for image in images]

    def _one(self, image: FloatArray) -> Raw:
        boxes, scores, classes, *masks = self._engine(image, self._threshold)
        return Raw(boxes, scores, classes.astype(np.int64), masks[0] if masks else None)


def _engine(path: Path, outputs: tuple[str, ...], threads: int) -> Any:  # noqa: ANN401 - an engine
    return create_engine(
        path, engine=None, inputs=_INPUTS, outputs=outputs, network=None, threads=threads
    )


def open_checkpoint(
    path: Path,
    config: Path | None,
    *,
    score_threshold: float | None,
    device: str,
    threads: int,
    fast: bool = False,
) -> Any:  # noqa: ANN401 - a TorchRun, whose module needs PyTorch
    """Return PyTorch's run of a checkpoint.

    Args:
        path: The checkpoint.
        config: Its configuration; by default the one within.
        score_threshold: Boxes must score higher; by default as the configuration says.
        device: As PyTorch names it.
        threads: CPU threads of the whole process; 0 leaves them.
        fast: Whether to spend memory on speed.

    Raises:
        MissingDependencyError: If PyTorch is not installed.
        ConfigError: If there is no configuration, or it is wrong.
        WeightsError: If the weights are damaged or of another network.
        BackendError: If the device is not there.
    """
    torch_run, checkpoint = (
        _imported(f"facekit.detectors._mask_rcnn_{part}") for part in ("torch", "checkpoint")
    )
    read = _read(config, path, checkpoint)
    if score_threshold is None:
        score_threshold = read.settings().box.score_threshold
    return torch_run.TorchRun(
        path, read, score_threshold=score_threshold, device=device, threads=threads, fast=fast
    )


def _read(given: Path | None, path: Path, checkpoint: Any) -> Detectron2Config:  # noqa: ANN401 - a module
    """Read the configuration from its file, or from within the weights.

    Raises:
        ConfigError: If there is none, or it is wrong.
        WeightsError: If the weights are damaged.
    """
    if given is not None:
        return read_config(given)
    values = checkpoint.embedded_config(path)
    if values is None:
        raise ConfigError(
            f"{path}: does not hold its own configuration: give the YAML that it was trained with "
            "as `config`"
        )
    return parse_config(values, str(path))


def _imported(module: str) -> Any:  # noqa: ANN401 - a module
    """Import a module that needs PyTorch.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _PACKAGES:
            raise
        raise MissingDependencyError("detector 'mask_rcnn'", missing, _INSTALL) from error
