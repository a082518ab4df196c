"""The recipe ``landmarks``: ResNet18 regresses 68 points from a grey crop of a face.

Preset ``tutorial`` is the recipe of the widely copied ResNet18 tutorial, without its known errors;
``default`` is what the shipped weights are trained by. Both give the network that the landmarker
``resnet18`` runs; what it must know of the crops is written into the weights' metadata.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from facekit import weights
from facekit.boxes import BOX_PER_EXTENT
from facekit.errors import ConfigError
from facekit.images import RgbImage
from facekit.mean_shape import MEAN_SHAPE_68
from facekit.metrics.landmarks import nme
from facekit.networks.resnet18 import INPUT_SIZE, SHRINK_KEY, ResNet18Landmarks
from facekit.training.checkpoints import load_weights
from facekit.training.landmarks.faces import SCHEME, Face, FloatArray, read_faces
from facekit.training.landmarks.items import Crops, Plain, Pool, Stage
from facekit.training.landmarks.light import Light, relight
from facekit.training.landmarks.losses import LOSSES, LossName
from facekit.training.landmarks.sheet import draw_points
from facekit.training.landmarks.warp import Jitter, crop_matrix, plain_crop
from facekit.training.onnx_weights import hold_norms, load_folded, stored_weights
from facekit.training.recipe import Batch, Items, Recipe, RecipeOptions

__all__ = ["Landmarks", "Source"]

_SHEET_FACES = 24
_BATCH = 64


class Source(BaseModel):
    """A dataset of faces with 68 points.

    Attributes:
        dataset: ``FORMAT:PATH``.
        images: The folder of images, where the format does not say it.
        share: Share of the crops at the beginning, relative to the other sources'.
        final_share: The same at the end; by default as at the beginning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    images: Path | None = None
    share: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    final_share: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Let ``FORMAT:PATH`` stand for a source without options."""
        return {"dataset": value} if isinstance(value, str) else value

    def read(self) -> list[Face]:
        """Read the faces; see :func:`read_faces`."""
        return read_faces(self.dataset, root=self.images)


class _FullPrecision(nn.Linear):
    """A last layer that mixed precision leaves alone: 8 bits of mantissa are half a pixel."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the points, float32."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.float())


class Landmarks(Recipe):
    """The recipe; see the module."""

    class Options(RecipeOptions):
        """Options of the recipe.

        Attributes:
            data: One or several datasets to train on, each ``FORMAT:PATH`` or with options.
            validation: Datasets to choose the best weights by; none, and the last are kept.
            weights: Weights to start from: ``.safetensors``, ``.onnx``, or a name of ``facekit
                weights list``; by default random ones.
            norms: ``batch`` lets batch norms learn; ``fixed`` keeps their statistics, as files
                with folded norms need it: the shipped one, and every ``.onnx``.
            stages: Sizes of the crops over the run; the network is measured at 224 px.
            shrink: By how much the network averages its input before its trunk sees it: 2 makes
                training and inference four times as fast, for a little accuracy.
            crop_scale: Side of what a crop shows, in canonical squares.
            augmentation: ``jitter``, ``tutorial`` or ``none``.
            jitter: Ranges of ``jitter``.
            tutorial: Values of ``tutorial``.
            light: Ranges of the changes to grey levels; ``null`` for none.
            loss: ``wing``, ``smooth_l1`` or ``mse``.
        """

        data: tuple[Source, ...] = Field(min_length=1)
        validation: tuple[Source, ...] = ()
        weights: Path | None = None
        norms: Literal["batch", "fixed"] = "batch"
        stages: tuple[Stage, ...] = (Stage(until=1.0, size=INPUT_SIZE),)
        shrink: Literal[1, 2] = 1
        crop_scale: float = Field(default=1.2, gt=0, le=3)
        augmentation: Literal["jitter", "tutorial", "none"] = "jitter"
        jitter: Jitter = Jitter()
        tutorial: Plain = Plain()
        light: Light | None = Light()
        loss: LossName = "wing"

        @field_validator("data", "validation", mode="before")
        @classmethod
        def _one_or_several(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
            """Let one source stand for a list of one."""
            return [value] if isinstance(value, str | dict) else value

        @field_validator("stages")
        @classmethod
        def _in_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
            """Refuse stages that do not follow each other to the end of the run."""
            ends = [stage.until for stage in stages]
            if not ends or ends != sorted(set(ends)) or ends[-1] != 1:
                message = f"stages end one after the other, the last at 1, got {ends}"
                raise ValueError(message)
            return stages

    name: ClassVar[str] = "landmarks"
    monitor: ClassVar[str] = "nme"
    mode: ClassVar[Literal["max", "min"]] = "min"

    def __init__(self, options: Options) -> None:
        """Read the faces into memory.

        Args:
            options: The run's.

        Raises:
            FacekitError: If a dataset or an image cannot be read.
        """
        super().__init__(options)
        self.options: Landmarks.Options = options
        self._pools = [_pool(source) for source in options.data]
        self._held = {_title(source): source.read() for source in options.validation}

    def network(self) -> nn.Module:
        """Return a network that answers the mean shape, or one with the given weights."""
        network = ResNet18Landmarks(shrink=self.options.shrink)
        last = network.model.fc
        network.model.fc = _FullPrecision(last.in_features, last.out_features)
        if self.options.weights is None:
            _start_from_mean(network, self.options.crop_scale)
        else:
            self._load(network, weights.resolve(self.options.weights, default="resnet18"))
        network.metadata = {
            "facekit.scheme": SCHEME,
            "facekit.crop_scale": f"{self.options.crop_scale:g}",
            SHRINK_KEY: str(self.options.shrink),
        }
        return network

    def _load(self, network: nn.Module, path: Path) -> None:
        """Give a network the weights to start from.

        Raises:
            WeightsError: If they are damaged or another network's.
            ConfigError: If the options do not suit them.
        """
        if path.suffix.lower() != ".onnx":
            load_weights(network, path)
            return
        if self.options.norms != "fixed":
            raise ConfigError(f"weights {path}: its batch norms are folded: set norms: fixed")
        stored, metadata = stored_weights(path)
        scale = float(metadata.get("facekit.crop_scale", 1))
        if not math.isclose(scale, self.options.crop_scale):
            raise ConfigError(f"weights {path}: made for crop_scale {scale:g}: set the same")
        if metadata.get(SHRINK_KEY, "1") != str(self.options.shrink):
            raise ConfigError(f"weights {path}: made for shrink {metadata.get(SHRINK_KEY, '1')}")
        load_folded(network, stored, path)

    def train_items(self) -> Items:
        """Return the crops of all sources."""
        options = self.options
        ways = {"jitter": options.jitter, "tutorial": options.tutorial, "none": None}
        return Crops(
            self._pools,
            options.stages,
            options.crop_scale,
            ways[options.augmentation],
            options.shrink,
        )

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Bring grey levels to -1..1, changed as a camera would."""
        crops = batch["image"].float() / 255
        if self.options.light is not None:
            crops = relight(crops, self.options.light, generator)
        return batch | {"image": crops * 2 - 1}

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the coordinates."""
        if self.options.norms == "fixed":
            hold_norms(network)
        # Crops come shrunk already: the trunk takes them as they are.
        answers = network.model(batch["image"])
        return {"loss": LOSSES[self.options.loss](answers, batch["points"])}

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the interocular NME on plain crops in per cent: ``nme``, and of each source."""
        means = {
            f"nme_{title}": 100 * float(np.mean(self._errors(network, device, faces)))
            for title, faces in self._held.items()
        }
        return {"nme": float(np.mean(list(means.values()))), **means} if means else {}

    def sheet(self, network: nn.Module, device: torch.device) -> RgbImage | None:
        """Return faces of the validation, or of the training, with the points placed on them."""
        pools = [*self._held.values()] or [list(pool.faces) for pool in self._pools]
        count = -(-_SHEET_FACES // len(pools))
        faces = [face for pool in pools for face in pool[:: max(1, len(pool) // count)][:count]]
        crops = [plain_crop(face, INPUT_SIZE, self.options.crop_scale) for face in faces]
        answers = (self._answers(network, device, faces) + 0.5) * INPUT_SIZE
        return draw_points([crop for crop, _ in crops], answers, [truth for _, truth in crops])

    def _errors(
        self, network: nn.Module, device: torch.device, faces: Sequence[Face]
    ) -> FloatArray:
        """Return each face's error as a fraction of the distance of the eyes' outer corners."""
        scale = self.options.crop_scale
        matrices = [crop_matrix(face.square, INPUT_SIZE, scale) for face in faces]
        answers = (self._answers(network, device, faces) + 0.5) * INPUT_SIZE
        points = [
            (answer - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
            for answer, matrix in zip(answers, matrices, strict=True)
        ]
        return np.asarray(nme(np.stack(points), np.stack([face.points for face in faces])))

    def _answers(
        self, network: nn.Module, device: torch.device, faces: Sequence[Face]
    ) -> FloatArray:
        """Return the network's points on plain crops, ``(n, 68, 2)`` fractions minus 0.5."""
        answers = []
        for start in range(0, len(faces), _BATCH):
            crops = [
                plain_crop(face, INPUT_SIZE, self.options.crop_scale)[0]
                for face in faces[start : start + _BATCH]
            ]
            image = torch.from_numpy(np.stack(crops)[:, None]).to(device)
            answers.append(network(image.float() / 127.5 - 1).float().cpu().numpy())
        return np.concatenate(answers).reshape(len(faces), -1, 2)


def _pool(source: Source) -> Pool:
    final = source.share if source.final_share is None else source.final_share
    return Pool(source.read(), source.share, final)


def _title(source: Source) -> str:
    """Name a source in logs by its file."""
    return Path(source.dataset.partition(":")[2]).stem


def _start_from_mean(network: ResNet18Landmarks, crop_scale: float) -> None:
    """Let the network answer about the mean shape, so that nothing is spent on learning it."""
    mean = torch.tensor(MEAN_SHAPE_68, dtype=torch.float32)
    fractions = (mean - mean.amin(0) / 2 - mean.amax(0) / 2) / (BOX_PER_EXTENT * crop_scale)
    with torch.no_grad():
        network.model.fc.weight.mul_(0.1)
        network.model.fc.bias.copy_(fractions.reshape(-1))
