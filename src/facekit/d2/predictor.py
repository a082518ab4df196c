"""One photo through a model of Detectron2, as its ``DefaultPredictor`` does (commit 02b5c4e)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T  # noqa: N812 - Detectron2's own word
from detectron2.modeling import build_model

from facekit.d2.checkpoints import load_into
from facekit.d2.configs import found, is_lazy, read_lazy, read_yaml
from facekit.errors import BackendError, ConfigError

__all__ = ["Predictor"]

_THRESHOLDS: Final = ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "MODEL.RETINANET.SCORE_THRESH_TEST")


class Predictor:
    """A config and a checkpoint.

    Attributes:
        model: In evaluation mode.
        classes: The number of classes, where the model says it.
        names: Their names, as registered for the dataset that the config tests on, or ``None``.
        score_threshold: The score above which the model answers, where it says it.
    """

    def __init__(
        self,
        config: Path,
        weights: Path,
        *,
        overrides: Mapping[str, Any],
        score_threshold: float | None,
        sides: tuple[int | None, int | None],
        device: str,
        strict: bool,
    ) -> None:
        """Build the model and load its weights.

        Args:
            config: YAML or lazy.
            weights: The checkpoint.
            overrides: Values of the config by dotted key.
            score_threshold: Instead of the config's.
            sides: Of the input's shorter and longer side, pixels, instead of the config's; a lazy
                config loses its own augmentations by either, and the other is 800 or 1333.
            device: As PyTorch names it.
            strict: See :func:`~facekit.d2.checkpoints.load_into`.

        Raises:
            ConfigError: If the config is malformed, or Detectron2 cannot build its model.
            WeightsError: If the weights are damaged or of another model.
            BackendError: If the device is not there.
        """
        path = found(config)
        build = self._from_lazy if is_lazy(path) else self._from_yaml
        self.score_threshold: float | None = None
        self.names: tuple[str, ...] | None = None
        self.model: Any = build(path, overrides, score_threshold, sides)
        load_into(self.model, weights, strict=strict)
        try:
            self.model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f"device {device!r}: {str(error).splitlines()[0]}") from error
        heads = getattr(self.model, "roi_heads", self.model)
        self.classes: int | None = getattr(heads, "num_classes", None)
        if self.names is not None and self.classes not in (None, len(self.names)):
            self.names = None  # a model of other classes whose config still tests on COCO

    def _from_yaml(
        self,
        path: Path,
        overrides: Mapping[str, Any],
        score_threshold: float | None,
        sides: tuple[int | None, int | None],
    ) -> Any:  # noqa: ANN401 - a torch module
        """Take the model and what is around it from a YAML config."""
        values = read_yaml(path, overrides)
        values.MODEL.DEVICE = "cpu"
        if score_threshold is not None:
            for key in _THRESHOLDS:
                values.merge_from_list([key, score_threshold])
        self.score_threshold = float(values.MODEL.ROI_HEADS.SCORE_THRESH_TEST)
        if values.MODEL.META_ARCHITECTURE == "RetinaNet":
            self.score_threshold = float(values.MODEL.RETINANET.SCORE_THRESH_TEST)
        own = values.INPUT
        shorter, longer = (
            default if side is None else side
            for side, default in zip(sides, (own.MIN_SIZE_TEST, own.MAX_SIZE_TEST), strict=True)
        )
        self._sizes, self._format = _resized(shorter, longer), str(own.FORMAT)
        self.names = _names(list(values.DATASETS.TEST))
        return _built(path, lambda: build_model(values))

    def _from_lazy(
        self,
        path: Path,
        overrides: Mapping[str, Any],
        score_threshold: float | None,
        sides: tuple[int | None, int | None],
    ) -> Any:  # noqa: ANN401 - a torch module
        """Take the model and what is around it from a lazy config."""
        values = read_lazy(path, overrides)
        predictors = values.model.get("roi_heads", {}).get("box_predictor", values.model)
        several = predictors if hasattr(predictors, "append") else [predictors]
        for one in several:
            if score_threshold is not None and "test_score_thresh" in one:
                one.test_score_thresh = score_threshold
            self.score_threshold = one.get("test_score_thresh", self.score_threshold)
        test = values.get("dataloader", {}).get("test", {})
        mapper = test.get("mapper", {})
        given = mapper.get("augmentations")
        if given is None or any(side is not None for side in sides):
            shorter, longer = sides
            self._sizes = _resized(800 if shorter is None else shorter, longer or 1333)
        else:
            self._sizes = T.AugmentationList([instantiate(one) for one in given])
        self._format = str(mapper.get("image_format", values.model.get("input_format", "BGR")))
        dataset = test.get("dataset", {}).get("names")
        self.names = _names([dataset] if isinstance(dataset, str) else list(dataset or ()))
        return _built(path, lambda: instantiate(values.model))

    def __call__(self, bgr: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401 - Instances
        """Run one photo.

        Args:
            bgr: ``(H, W, 3)``.

        Returns:
            Detectron2's ``Instances`` on the CPU, in the photo's pixels.

        Raises:
            ConfigError: If the model finds no instances: it is of another task.
        """
        given = T.AugInput(bgr if self._format == "BGR" else bgr[:, :, ::-1])
        self._sizes(given)
        planes = torch.as_tensor(given.image.astype("float32").transpose(2, 0, 1))
        with torch.no_grad():
            (answer,) = self.model(
                [{"image": planes, "height": bgr.shape[0], "width": bgr.shape[1]}]
            )
        if "instances" not in answer:
            raise ConfigError(f"the model finds {', '.join(answer)}, and no instances")
        return answer["instances"].to("cpu")


def _resized(shorter: int, longer: int) -> Any:  # noqa: ANN401 - AugmentationList
    """Return what resizes photos as ``DefaultPredictor`` does."""
    return T.AugmentationList([T.ResizeShortestEdge([shorter, shorter], longer)])


def _built(path: Path, build: Any) -> Any:  # noqa: ANN401 - a function that returns a module
    """Build a model.

    Raises:
        ConfigError: If Detectron2 cannot.
    """
    try:
        return build()
    except Exception as error:
        # Whatever a config names is built: anything may be raised.
        line = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(f"{path}: {type(error).__name__}: {line}") from error


def _names(datasets: list[str]) -> tuple[str, ...] | None:
    """Return the classes' names of the first dataset, if it is registered."""
    if not datasets or datasets[0] not in MetadataCatalog:
        return None
    names = MetadataCatalog.get(datasets[0]).get("thing_classes")
    return tuple(names) if names else None
