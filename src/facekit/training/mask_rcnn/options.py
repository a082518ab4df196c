"""The options of the recipe ``mask_rcnn``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from facekit.training.detection.options import Count, LightOptions, Share
from facekit.training.detection.photos import PhotoSource
from facekit.training.mask_rcnn.views import Masks
from facekit.training.recipe import RecipeOptions

__all__ = ["MaskRCNNOptions", "SamplingOptions"]


class SamplingOptions(BaseModel):
    """What is learned from; the defaults are Detectron2's for models with an FPN.

    Attributes:
        anchors: Anchors of an image.
        anchor_share: How many of them may be faces.
        anchor_overlaps: IoU below which an anchor is background, and from which it is a face.
        regions: Regions of an image.
        region_share: How many of them may be faces.
        region_overlap: IoU from which a region is a face.
        before_nms: Proposals of a level that are looked at.
        after_nms: Proposals of an image that regions are chosen from.
        beta: Where the edges' losses turn from square to straight; 0 for straight alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    anchors: Count = 256
    anchor_share: Share = 0.5
    anchor_overlaps: tuple[Share, Share] = (0.3, 0.7)
    regions: Count = 512
    region_share: Share = 0.25
    region_overlap: Share = 0.5
    before_nms: Count = 2000
    after_nms: Count = 1000
    beta: Annotated[float, Field(ge=0)] = 0.0


class MaskRCNNOptions(RecipeOptions):
    """Options of the recipe ``mask_rcnn``.

    Attributes:
        data: Annotated photos; a list of sources, each ``data``, ``images``, ``part``, ``weight``.
        validation: The same of photos to measure on, beside those that are held out.
        held_out: Share of the photos that are measured on instead of trained on.
        max_side: Photos are kept in memory with at most this longest side, pixels.
        items: Views of an epoch; by default as many as there are photos.
        config: Detectron2's YAML of the model; by default Mask R-CNN R50-FPN.
        model: Detectron2's own keys over those of ``config``, such as
            ``{MODEL: {RESNETS: {NORM: BN}}}``. There is always one class.
        weights: Start from this checkpoint, of any classes, or of the trunk alone; by default
            begin with random weights.
        frozen_stages: 1 leaves the stem as it is, 2 ``res2`` too, up to 5; 0 trains all of it.
        masks: ``polygons`` learns masks of the faces that have polygons, ``boxes`` lets a face
            without any have its box as mask, ``off`` takes the masks off the model.
        sizes: Lengths of the views' shorter side, pixels; each view draws one of them.
        longest: Greatest length of their longer side, pixels.
        flip: Mirror every other view.
        light: How much light and colour change; by default not at all, as in Detectron2.
        sampling: Which anchors and regions are learned from.
        validation_batch: Photos of one forward pass, where they have one size.
    """

    data: Annotated[tuple[PhotoSource, ...], Field(min_length=1)]
    validation: tuple[PhotoSource, ...] = ()
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.05
    max_side: Count | None = 1333
    items: Count | None = None
    config: Path | None = None
    model: Mapping[str, Any] = Field(default_factory=dict)
    weights: Path | None = None
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 2
    masks: Masks = "polygons"
    sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = (640, 672, 704, 736, 768, 800)
    longest: Count = 1333
    flip: bool = True
    light: LightOptions | None = None
    sampling: SamplingOptions = SamplingOptions()
    validation_batch: Count = 4
