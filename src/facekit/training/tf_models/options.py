"""What the recipe ``tf_models`` is told. No framework is imported here."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from facekit.training.foreign import ForeignOptions

__all__ = ["TfModelsOptions"]


class TfModelsOptions(ForeignOptions):
    """Options of the recipe ``tf_models``.

    Attributes:
        records: The TFRecord to train on: a file, or where it is in shards, its name without
            their numbers.
        validation: What to measure on at the end, by the package's own COCO metrics; by default
            nothing is measured.
        label_map: The labels and their numbers; by default ``label_map.pbtxt`` beside the records,
            else one class, ``face``.
        input_size: The side of the square that photos are fitted into, pixels: a multiple of the
            highest map's stride.
        levels: The pyramid's lowest and highest map, of stride ``2 ** level``.
        anchor_size: The side of each map's smallest anchor, in strides.
        anchor_scales: Anchors of each shape between one map and the next.
        aspect_ratios: Widths of anchors over their heights.
        backbone_width: Channels of MobileNetV2, as a part of the published ones.
        filters: Channels of the pyramid and of the head.
        convolutions: Layers of the head before its last.
        batch_size: Photos a step.
        steps: The step to stop at; the learning rate falls by half a cosine until then.
        warmup: Steps in which the learning rate rises; by default a twentieth of all.
        learning_rate: Its peak.
        zoom: The range by which photos are shrunk and enlarged at random.
        score_threshold: What scores less does not come out of the SavedModel.
        checkpoint_every: Steps between checkpoints, and at most what a kill loses.
        keep: How many checkpoints stay.
        export: Whether to write a SavedModel at the end, which the detector ``tfod`` takes.
        threads: CPU threads; 0 leaves it to TensorFlow.
    """

    records: Path
    validation: Path | None = None
    label_map: Path | None = None
    input_size: int = Field(default=224, ge=64)
    levels: tuple[int, int] = (3, 5)
    anchor_size: float = Field(default=2.0, gt=0)
    anchor_scales: int = Field(default=3, ge=1)
    aspect_ratios: tuple[float, ...] = Field(default=(0.75,), min_length=1)
    backbone_width: float = Field(default=1.0, gt=0)
    filters: int = Field(default=64, ge=1)
    convolutions: int = Field(default=2, ge=0)
    batch_size: int = Field(default=16, ge=1)
    steps: int = Field(default=10_000, ge=1)
    warmup: int | None = Field(default=None, ge=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    zoom: tuple[float, float] = (0.8, 1.25)
    score_threshold: float = Field(default=0.01, ge=0, lt=1)
    checkpoint_every: int = Field(default=1000, ge=1)
    keep: int = Field(default=3, ge=1)
    export: bool = True
    threads: int = Field(default=0, ge=0)
