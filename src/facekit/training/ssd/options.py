"""What the recipe ``ssd`` is told. No framework is imported here."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from facekit.detectors import tiny_ssd
from facekit.errors import ConfigError
from facekit.images import RgbImage
from facekit.training.detection.options import LightOptions, Natural, Share
from facekit.training.detection.photos import PhotoSource
from facekit.training.ssd.views import ViewOptions

__all__ = ["Input", "Sizes", "SsdOptions", "Teacher"]

Side = Annotated[int, Field(ge=tiny_ssd.STRIDE)]


class _Strict(BaseModel):
    """Frozen, and strict about names; as the engine's own, which imports torch."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclasses.dataclass(frozen=True)
class Input:
    """What a photo is resized to.

    Attributes:
        side: Pixels.
        keeps_aspect: Whether the photo's proportions are kept.
    """

    side: int
    keeps_aspect: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``SIDE`` or ``SIDE:keep_aspect``.

        Raises:
            ConfigError: If it is neither.
        """
        side, _, resize = text.partition(":")
        if not side.isdigit() or int(side) < tiny_ssd.STRIDE or resize not in {"", "keep_aspect"}:
            message = f"measured_at: {text!r} is not SIDE or SIDE:keep_aspect, e.g. 640:keep_aspect"
            raise ConfigError(message)
        return cls(int(side), bool(resize))

    def size(self, pixels: RgbImage) -> tuple[int, int]:
        """Return height and width of the input for a photo."""
        wanted: tiny_ssd.Resize = "keep_aspect" if self.keeps_aspect else "stretch"
        return tiny_ssd.input_size(
            (pixels.shape[0], pixels.shape[1]), (self.side, self.side), wanted
        )


class Sizes(_Strict):
    """What sizes of views are drawn until a share of the run is over.

    Attributes:
        until: The share, 0 to 1.
        sides: Of square views, pixels; each batch draws one of them. One that is named twice is
            drawn twice as often.
    """

    until: Share = 1.0
    sides: Annotated[tuple[Side, ...], Field(min_length=1)]


class Teacher(_Strict):
    """A network of the same kind, whose answers are asked for at every anchor of every view.

    Attributes:
        weights: Its file, or a name of ``facekit weights list``; ``$VARIABLES`` of the
            environment are filled in.
        temperature: What both networks' score margins are divided by; above 1 low scores count
            for more.
        boxes: Weight of the boxes beside the scores.
        labels: Weight of the labels' loss beside the teacher's.
    """

    weights: str
    temperature: Annotated[float, Field(gt=0)] = 1.5
    boxes: Natural = 1.0
    labels: Natural = 0.4

    @field_validator("weights")
    @classmethod
    def _expand(cls, value: str) -> str:
        """Fill the environment's variables in."""
        return os.path.expandvars(value)


class SsdOptions(_Strict):
    """Options of the recipe.

    Attributes:
        data: What to train on: datasets as ``FORMAT:PATH``, or with more said of each.
        validation: What to measure on; beside `held_out`.
        held_out: Share of each labelled dataset's photos that is measured on instead.
        weights: What to start from, e.g. ``tiny_ssd``, the shipped weights; by default
            random weights.
        freeze_norms: Leave the batch norms' statistics as they are: for fine-tuning, where
            batches are few, and for weights whose norms were folded into convolutions.
        teacher: A network to learn from beside the labels.
        max_side: Longest side that photos are kept at, pixels; 0 keeps them as they are.
        items: Views of an epoch; by default as many as there are photos.
        sizes: Sizes of the views over the run.
        reference: Side of views of which a batch has `batch_size`; batches of larger views
            have fewer.
        views: How photos are looked at.
        light: How colours are changed.
        overlap: IoU from which an anchor stands for a face.
        negatives: Background anchors that are learned from for each face's.
        measured_at: Inputs to validate at: ``SIDE`` stretched or ``SIDE:keep_aspect``.
    """

    data: Annotated[tuple[PhotoSource, ...], Field(min_length=1)]
    validation: tuple[PhotoSource, ...] = ()
    held_out: Share = 0.0
    weights: str | None = None
    freeze_norms: bool = False
    teacher: Teacher | None = None
    max_side: Annotated[int, Field(ge=0)] = 640
    items: Annotated[int, Field(ge=1)] | None = None
    sizes: Annotated[tuple[Sizes, ...], Field(min_length=1)] = (Sizes(sides=(300,)),)
    reference: Side = 300
    views: ViewOptions = ViewOptions()
    light: LightOptions = LightOptions()
    overlap: Annotated[float, Field(gt=0, lt=1)] = 0.4
    negatives: Natural = 3.0
    measured_at: tuple[str, ...] = ("300",)

    @field_validator("data", "validation", mode="before")
    @classmethod
    def _sources(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Let a dataset be its name alone, and a single one stand without a list."""
        several = [value] if isinstance(value, str | dict) else value
        if not isinstance(several, list | tuple):
            return several
        return [{"data": one} if isinstance(one, str) else one for one in several]

    @field_validator("measured_at", mode="before")
    @classmethod
    def _measured_at(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Let a size be a number, and check all of them."""
        several = value if isinstance(value, list | tuple) else [value]
        texts = tuple(str(one) for one in several)
        for text in texts:
            Input.parse(text)
        return texts
