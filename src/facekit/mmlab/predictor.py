"""A model of MMDetection with its weights and its test pipeline, ready to be asked."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from facekit.errors import (
    BackendError,
    ConfigError,
    FacekitError,
    MissingDependencyError,
    WeightsError,
)
from facekit.mmlab import checkpoints, ops

# Before the first import of mmdet.
ops.provide()

from mmcv.transforms import Compose  # noqa: E402
from mmdet.models.dense_heads import SSDHead  # noqa: E402
from mmdet.registry import DATASETS, MODELS  # noqa: E402
from mmdet.utils import get_test_pipeline_cfg  # noqa: E402
from mmengine.model.utils import revert_sync_batchnorm  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

with contextlib.redirect_stdout(io.StringIO()):
    # It prints what its maintainers' own platform adds; standard output is for results.
    importlib.import_module("mmdet.datasets")

import facekit.mmlab.legacy  # noqa: E402, F401 - registers the parts of MMDetection 1.x
from facekit.mmlab import configs  # noqa: E402

__all__ = ["Predictor", "build", "fill", "instances"]

if not hasattr(SSDHead, "loss_cls"):
    # mmdet 3.0 to 3.3 (and onedl's 3.5) read an attribute that only this head never sets:
    # open-mmlab/mmdetection issues 11063, 11305 and 11780.
    SSDHead.loss_cls = None

_UNREGISTERED: Final = re.compile(r"'?([\w.]+)'? is not in the ([\w:]+ ?[\w:]*)registry")
_INSTALL: Final = 'pip install "facekit[mmdet]"'
_ONLY_IN_TRAINING: Final = ("num_batches_tracked", "bbox_head.loss_weights")
"""What old checkpoints, or other trainers', lack: norms' counters, the tiny SSD's balance."""

_SHOWN: Final = 3
_LONGEST: Final = 300


class Predictor:
    """Prepares a photo, runs the model, and answers in the photo's pixels.

    Attributes:
        classes: The name of each label.
        model: The model, in evaluation mode, as mmdet's ``init_detector`` leaves it.
    """

    def __init__(
        self,
        config: Path,
        weights: Path | None,
        *,
        overrides: dict[str, Any],
        classes: Sequence[str] | None,
        device: str,
        strict: bool,
    ) -> None:
        """Build the model and load its weights.

        Args:
            config: A config of MMDetection 3.x.
            weights: A checkpoint of that model; without one it has fresh weights.
            overrides: Dotted keys of the config to other values.
            classes: The name of each label; by default the checkpoint's, then the config's.
            device: What PyTorch runs it on.
            strict: Whether weights that the model has no place for are an error.

        Raises:
            ConfigError: If the config is of another generation, names what is not registered, or
                the device cannot be used.
            WeightsError: If the weights are damaged or of another model.
        """
        self.config = configs.load(config, overrides)
        self.model = build(config, self.config)
        known: tuple[str, ...] | None = None
        if weights is not None:
            checkpoint = checkpoints.read(weights)
            fill(self.model, checkpoint.state, weights, strict=strict)
            known = checkpoint.classes
        self.classes = tuple(classes or known or _classes_of(self.config))
        self.model.cfg, self.model.dataset_meta = self.config, {"classes": self.classes}
        _place(self.model, device)
        self._pipeline = _pipeline(config, self.config)
        # Some heads keep what they computed in themselves: one caller at a time.
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, bgr: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401 - DetDataSample
        """Detect in one photo, as mmdet's ``inference_detector`` does.

        Args:
            bgr: ``(H, W, 3)``.

        Returns:
            mmdet's ``DetDataSample``, in the photo's pixels.
        """
        batch = self._batch(bgr)
        with self._lock:
            return self.model.test_step(batch)[0]

    def prepared(self, bgr: npt.NDArray[np.uint8]) -> dict[str, Any]:
        """Return what the model's ``forward`` is given for one photo.

        Args:
            bgr: ``(H, W, 3)``.

        Returns:
            ``inputs`` ``(1, 3, height, width)``, normalised and padded, and ``data_samples``.
        """
        ready: dict[str, Any] = self.model.data_preprocessor(self._batch(bgr), training=False)
        return ready

    def _batch(self, bgr: npt.NDArray[np.uint8]) -> dict[str, list[Any]]:
        """Run the test pipeline."""
        packed = self._pipeline({"img": bgr, "img_id": 0})
        return {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}


def build(path: Path, config: Any) -> torch.nn.Module:  # noqa: ANN401 - Config
    """Build a config's model.

    Args:
        path: The config's file, for messages.
        config: As loaded.

    Raises:
        ConfigError: If the config names a class that nobody registered, or wrong arguments.
    """
    init_default_scope(config.get("default_scope") or "mmdet")
    try:
        built: torch.nn.Module = revert_sync_batchnorm(MODELS.build(config.model))
    except Exception as error:
        # Building runs the constructors of any registered class.
        raise _unbuildable(path, "model", error) from error
    if not hasattr(built, "test_step"):
        raise ConfigError(f"{path}: its 'model' is a {type(built).__name__}, which detects nothing")
    return built


def _unbuildable(path: Path, what: str, error: Exception) -> FacekitError:
    """Say why something of a config cannot be built."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return MissingDependencyError("detector 'mmdet'", error.name or text, _INSTALL)
    if match := _UNREGISTERED.search(text):
        return ConfigError(
            f"{path}: no class {match[1]!r} is registered ({match[2].strip()}): install the "
            "package that has it, and name its module in the config's custom_imports"
        )
    return ConfigError(
        f"{path}: its {what} cannot be built: {type(error).__name__}: {text[:_LONGEST]}"
    )


def fill(
    model: torch.nn.Module, state: dict[str, torch.Tensor], path: Path, *, strict: bool
) -> None:
    """Give a model its weights.

    Args:
        model: As built.
        state: The weights.
        path: Their file, for messages.
        strict: Whether weights that the model has no place for are an error.

    Raises:
        WeightsError: If they are another model's.
    """
    try:
        missing, surplus = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        shapes = [line.strip() for line in str(error).splitlines()[1:]]
        reason = f"{len(shapes)} of another shape ({'; '.join(shapes[:1])})"
        raise _another(path, [reason]) from error
    missing = [key for key in missing if not key.endswith(_ONLY_IN_TRAINING)]
    problems = [_counted("missing", missing)]
    if missing or strict:
        problems.append(_counted("that the model has no place for", surplus))
    if any(problems):
        raise _another(path, problems, hint=not missing)


def _another(path: Path, problems: Sequence[str], *, hint: bool = False) -> WeightsError:
    """Say that weights are another model's, and how to take what fits."""
    text = "; ".join(filter(None, problems))
    way_out = "strict=false ignores these" if hint else "give the config that they were trained by"
    return WeightsError(path, f"weights of another model than the config's: {text}; {way_out}")


def _counted(what: str, keys: Sequence[str]) -> str:
    """Name the first few of the keys, and how many there are."""
    more = ", ..." if len(keys) > _SHOWN else ""
    return f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{more})" if keys else ""


def _classes_of(config: Any) -> tuple[str, ...]:  # noqa: ANN401 - Config
    """Return the classes of the dataset that a config tests on; none where it does not say."""
    dataset = config.test_dataloader.get("dataset", {})
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    named = (dataset.get("metainfo") or {}).get("classes")
    if named is None:
        kind = dataset.get("type")
        found = DATASETS.get(kind) if isinstance(kind, str) else kind
        named = getattr(found, "METAINFO", {}).get("classes")
    return (named,) if isinstance(named, str) else tuple(named or ())


def _place(model: torch.nn.Module, device: str) -> None:
    """Move a model to a device, in evaluation mode.

    Raises:
        ConfigError: If PyTorch cannot use that device.
    """
    try:
        model.to(torch.device(device))
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"device {device!r} cannot be used: {text}") from error
    model.eval()


def _pipeline(path: Path, config: Any) -> Compose:  # noqa: ANN401 - Config
    """Build the test pipeline for photos that are arrays.

    Raises:
        ConfigError: If the config has none, or names what is not registered.
    """
    try:
        steps = [dict(step) for step in get_test_pipeline_cfg(config.copy())]
        steps[0]["type"] = "mmdet.LoadImageFromNDArray"
        return Compose(steps)
    except Exception as error:
        # Building runs the constructors of any registered class.
        raise _unbuildable(path, "test pipeline", error) from error


def instances(sample: Any) -> Any:  # noqa: ANN401 - DetDataSample to InstanceData
    """Return the objects that a model has found in a photo.

    Raises:
        BackendError: If it finds none by their kind, as a model of segments alone.
    """
    found = getattr(sample, "pred_instances", None)
    if found is None or "bboxes" not in found:
        raise BackendError("detector 'mmdet': this model answers without boxes")
    return found
