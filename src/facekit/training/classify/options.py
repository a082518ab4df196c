"""What the recipe ``classify`` is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from facekit import registry
from facekit.boxes import IDENTITY
from facekit.config import BackendConfig
from facekit.networks.s3fd_classifier import INPUT_SIZE, LAYERS, Head
from facekit.training.recipe import RecipeOptions

__all__ = ["ClassifyOptions"]

Share = Annotated[float, Field(ge=0, lt=1)]


class ClassifyOptions(RecipeOptions):
    """Options of the recipe ``classify``.

    Attributes:
        data: A CSV with a row an image or a face, or ``FORMAT:PATH``.
        label: The column of the labels.
        images: The folder of images; by default the one that holds the CSV.
        extension: Appended to image names without a suffix, e.g. ``.jpg``.
        validation: A second CSV or dataset to measure on. By default part of ``data`` is held out.
        validation_images: Its folder of images; by default as ``images``.
        held_out: The share that is held out where there is no ``validation``; 0 for none.
        split_by: What is never divided by that: ``photo``, ``person``, or a regular expression.
        multi_label: Several labels in one cell, with blanks between them; each its own question.
        min_height: Faces whose box is lower are left out, pixels.
        weights: A checkpoint of the detector ``s3fd``. Tensors with the same name and shape are
            taken over; the trunk's must all be there, because they stay as they are.
        layer: What the head stands on: one of S3FD's six detection layers, or, ending in
            ``_mbox``, what its predicted convolution layers make of it.
        head: ``linear`` as in the tutorial; ``convolution``, ``average`` or ``maximum``; or
            ``fired``, the mean over the cells that the detector takes for a face.
        input_size: Side of the crops, pixels.
        crop: ``box`` around each row's box, ``image`` for whole images, ``detector`` for what a
            detector finds there, or ``auto``: ``box`` where there are boxes.
        crop_scale: Side of a crop over the side of the face's canonical square.
        box_transform: From the data's boxes to canonical squares, as of detectors.
        detector: The detector of ``crop: detector``, as in a run configuration.
        standardise: Bring features to one spread before the head, by the training faces' own mean
            and deviation, which are kept in the checkpoint. The tutorial does not.
        loss: ``cross_entropy``, or the tutorial's ``softmax_mse``.
        class_weights: ``none``, ``balanced`` so that every label weighs the same, or a weight for
            each label.
        views: Crops that are made of each face: the first as it is, the others varied. An epoch
            draws one of them.
        shift: Most that a varied crop moves, as a share of its side.
        scale: Most that it grows or shrinks, as a share of its side.
        flip: Mirror every other varied crop.
        colour: Most that its brightness and each channel's gain change, as a share.
        cache_features: Run the frozen trunk once on every view and keep its answers in memory.
            Otherwise it runs in every epoch, on views that are new each time.
        cache_batch: Crops of one pass of the trunk.
    """

    data: str
    label: str
    images: Path | None = None
    extension: str = ""
    validation: str | None = None
    validation_images: Path | None = None
    held_out: Share = 0.2
    split_by: str = "photo"
    multi_label: bool = False
    min_height: Annotated[float, Field(ge=0)] = 0
    weights: Path
    layer: Literal[LAYERS] = "conv7_2"  # type: ignore[valid-type] # a tuple of names
    head: Head = "linear"
    input_size: Annotated[int, Field(ge=32)] = INPUT_SIZE
    crop: Literal["auto", "box", "image", "detector"] = "auto"
    crop_scale: Annotated[float, Field(gt=0)] = 1.0
    box_transform: tuple[float, float, float, float] = tuple(IDENTITY)  # type: ignore[assignment] # a named tuple of four
    detector: BackendConfig = BackendConfig(backend=registry.DEFAULT_DETECTOR)
    standardise: bool = True
    loss: Literal["cross_entropy", "softmax_mse"] = "cross_entropy"
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    views: Annotated[int, Field(ge=1)] = 1
    shift: Share = 0.0
    scale: Share = 0.0
    flip: bool = False
    colour: Share = 0.0
    cache_features: bool = True
    cache_batch: Annotated[int, Field(ge=1)] = 16
