"""Training crops of faces from one or several datasets, each made by its key alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from facekit.training.keys import ItemKey
from facekit.training.landmarks.faces import POINTS, Face, FloatArray, GreyImage
from facekit.training.landmarks.warp import (
    Jitter,
    crop_matrix,
    cut_crop,
    jittered_matrix,
    map_points,
)

__all__ = ["Crops", "Plain", "Pool", "Stage"]


class Plain(BaseModel):
    """The tutorial's augmentation, by torchvision's own transforms, on the plain crop.

    Attributes:
        brightness: Of ``v2.ColorJitter``.
        contrast: Of the same.
        saturation: Of the same; without effect on grey crops, as in the tutorial.
        hue: Of the same; likewise.
        degrees: Of ``v2.RandomRotation``, either way.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: float = Field(default=0.3, ge=0)
    contrast: float = Field(default=0.3, ge=0)
    saturation: float = Field(default=0.3, ge=0)
    hue: float = Field(default=0.1, ge=0, le=0.5)
    degrees: float = Field(default=10.0, ge=0, le=180)

    def transform(self) -> v2.Transform:
        """Return what moves a picture and its ``tv_tensors.KeyPoints`` alike."""
        bilinear = v2.InterpolationMode.BILINEAR
        return v2.Compose(
            [
                v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue),
                v2.RandomRotation(self.degrees, interpolation=bilinear),
            ]
        )


class Stage(BaseModel):
    """A part of the run with crops of one size.

    Attributes:
        until: Share of the run at which it ends.
        size: Side of the crops, pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: float = Field(gt=0, le=1)
    size: int = Field(ge=32, le=1024)


@dataclasses.dataclass(frozen=True)
class Pool:
    """The faces of one dataset.

    Attributes:
        faces: At least one.
        share: Share of the crops at the beginning, relative to the other pools'.
        final_share: The same at the end.
    """

    faces: Sequence[Face]
    share: float = 1.0
    final_share: float = 1.0

    def weight(self, progress: float) -> float:
        """Return the share at a point of the run, 0 to 1."""
        return self.share + (self.final_share - self.share) * progress


class Crops:
    """One pass has as many crops as there are faces.

    With one pool, a pass shows each face once. With several, each crop's pool is drawn by the
    pools' shares, and then a face of it.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        stages: Sequence[Stage],
        crop_scale: float,
        augmentation: Jitter | Plain | None,
        shrink: int = 1,
    ) -> None:
        """Keep what crops are made of.

        Args:
            pools: At least one.
            stages: In the run's order; the last one's size also holds after it.
            crop_scale: Side of what a crop shows, in canonical squares.
            augmentation: Random crops, the tutorial's way, or plain crops.
            shrink: By how much crops are averaged, as the network averages its input.
        """
        self._pools = tuple(pools)
        self._stages = tuple(stages)
        self._crop_scale, self._shrink = crop_scale, shrink
        self._augmentation = augmentation
        self._plain = augmentation.transform() if isinstance(augmentation, Plain) else None

    def __len__(self) -> int:
        """Return the number of faces of all pools."""
        return sum(len(pool.faces) for pool in self._pools)

    def __getitem__(self, key: ItemKey) -> dict[str, Tensor]:
        """Return ``image`` (1, S / shrink, S / shrink) uint8 and ``points`` (136,) float32.

        Points are x, y, ... as fractions of the crop's side, minus 0.5: the network's answer.
        """
        random = key.random()
        face = self._face(key, random)
        size = self._size(key.progress)
        if isinstance(self._augmentation, Jitter):
            matrix, mirrored = jittered_matrix(
                face.square, size, self._crop_scale, self._augmentation, random
            )
        else:
            matrix, mirrored = crop_matrix(face.square, size, self._crop_scale), False
        pixels = cut_crop(face.image, matrix, size)
        points = map_points(face.points, matrix, mirrored=mirrored)
        image, moved = self._tutorial(pixels, points)
        if self._shrink > 1:
            small = functional.avg_pool2d(image[None].float(), self._shrink)
            image = small[0].round().to(torch.uint8)
        return {"image": image, "points": (moved / size - 0.5).reshape(2 * POINTS)}

    def name(self, index: int) -> str:
        """Return the name of the image that an item's face is on."""
        if len(self._pools) > 1:
            return f"item {index}"
        return self._pools[0].faces[index].name

    def _face(self, key: ItemKey, random: np.random.Generator) -> Face:
        if len(self._pools) == 1:
            return self._pools[0].faces[key.index]
        ends = np.cumsum([pool.weight(key.progress) for pool in self._pools])
        number = int(np.searchsorted(ends[:-1], random.random() * ends[-1], side="right"))
        faces = self._pools[number].faces
        return faces[int(random.integers(len(faces)))]

    def _size(self, progress: float) -> int:
        later = [stage.size for stage in self._stages if progress < stage.until]
        return later[0] if later else self._stages[-1].size

    def _tutorial(self, pixels: GreyImage, points: FloatArray) -> tuple[Tensor, Tensor]:
        """Return tensors, put through torchvision's transforms where there are any."""
        image, moved = torch.from_numpy(pixels)[None], torch.from_numpy(points)
        if self._plain is None:
            return image, moved
        keypoints = tv_tensors.KeyPoints(moved, canvas_size=pixels.shape)
        picture, turned = self._plain(tv_tensors.Image(image), keypoints)
        return picture.as_subclass(Tensor), turned.as_subclass(Tensor)
