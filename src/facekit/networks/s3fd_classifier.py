"""S3FD's trunk with a small head on top, which says who or what a face is.

Source of the idea: the tutorial "Fine-Tuning A Face Detection Network in PyTorch" (deshanadesai).
A 256 x 256 crop gives 256 x 3 x 3 numbers in ``conv7_2``, and one fully connected layer, ``fc_1``,
turns those 2304 into one a label. Everything below the head keeps its published name, so that a
detector's weights load into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekit.networks.s3fd import S3FDTrunk
from facekit.networks.s3fd_layers import (
    BACKGROUNDS,
    MIN_SIDE,
    NORMS,
    SOURCES,
    TRUNK,
    TRUNK_LAYERS,
    L2Norm,
    max_out,
)

__all__ = ["HEADS", "INPUT_SIZE", "LAYERS", "Head", "S3FDClassifier", "Standard", "side_of"]

INPUT_SIZE: Final = 256
"""Side of the tutorial's crops, pixels."""

Head = Literal["linear", "convolution", "average", "maximum", "fired"]
HEADS: Final[tuple[Head, ...]] = get_args(Head)
"""What may stand on a layer.

``linear``: one fully connected layer on every number of the map, as in the tutorial.
``convolution``: a 3 x 3 convolution, its average, a fully connected layer. ``average`` and
``maximum``: the mean or the greatest of each channel, then a fully connected layer. ``fired``:
the mean over those cells alone that the detector takes for a face.
"""

PREDICTED: Final = "_mbox"
LAYERS: Final = (*SOURCES, *(f"{source}{PREDICTED}" for source in SOURCES))
"""What a head may stand on.

The six layers that detection reads, as it reads them (the first three normalised), and, ending in
``_mbox``, what it reads from them: the scores and offsets of the predicted convolution layers.
"""

_HIDDEN: Final = 64
_FIRED: Final = 0.5


class Standard(nn.Module):
    """Takes off what features have in common, and brings them to one spread; not trained.

    Activations of a detector have any size: without it, how fast a head learns is left to chance.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *shape: int) -> None:
        """Build with mean 0 and deviation 1, which change nothing.

        Args:
            shape: Of one description: (numbers,), or (channels, 1, 1) of maps.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    @torch.no_grad()
    def fit(self, descriptions: Tensor) -> None:
        """Take mean and deviation from what `S3FDClassifier.describe` says of many crops.

        Args:
            descriptions: (n, numbers), or (n, channels, rows, columns).
        """
        axes = (0, 2, 3) if descriptions.ndim > 2 else (0,)  # noqa: PLR2004 - of maps
        deviation, mean = torch.std_mean(descriptions, dim=axes, correction=0)
        # A number that hardly ever changes must not become loud when it does.
        least = (0.05 * deviation.square().mean().sqrt()).clamp(min=1e-6)
        self.mean.copy_(mean.view_as(self.mean))
        self.deviation.copy_(deviation.clamp(min=least).view_as(self.deviation))

    def forward(self, description: Tensor) -> Tensor:
        """Return the description less the mean, over the deviation."""
        return (description - self.mean) / self.deviation


class S3FDClassifier(S3FDTrunk):
    """A crop of a face in, one logit a label out.

    Input: float (n, 3, size, size), BGR 0..255 minus (104, 117, 123). `describe` is the detector's
    part, `judge` the new one. Layers of the detector that the head does not need are left out.

    Attributes:
        metadata: What a weights file must say, beside its labels, for `from_metadata`.
    """

    def __init__(
        self,
        classes: int,
        *,
        layer: str = "conv7_2",
        head: Head = "linear",
        width: float = 1.0,
        input_size: int = INPUT_SIZE,
        standardise: bool = False,
    ) -> None:
        """Build with torch's default random weights.

        Args:
            classes: The number of labels.
            layer: One of `LAYERS`.
            head: One of `HEADS`.
            width: Factor of the trunk's channels; published weights have 1.
            input_size: Side of the crops, pixels.
            standardise: Whether features are brought to one spread before the head, by the
                module ``standard_1``; the tutorial's are not.

        Raises:
            ValueError: If there is no such layer or head, or the crops are too small for it.
        """
        super().__init__(width)
        _check(layer, head, input_size)
        self.layer, self.head, self.input_size = layer, head, input_size
        self.source = layer.removesuffix(PREDICTED)
        self._predicted = layer.endswith(PREDICTED)
        for name in TRUNK_LAYERS[TRUNK_LAYERS.index(self.source) + 1 :]:
            delattr(self, name)
        self._prefix = self.source
        if self.source in NORMS:
            self._prefix = f"{self.source}_norm"
            norm = L2Norm(self.channels(self.source), NORMS[self.source])
            self.add_module(self._prefix, norm)
        channels = self._add_maps()
        self.conv_1: nn.Module | None = None
        if head == "linear":
            channels *= side_of(self.source, input_size) ** 2
        shape = (channels, 1, 1) if head == "convolution" else (channels,)
        self.standard_1: nn.Module = Standard(*shape) if standardise else nn.Identity()
        if head == "convolution":
            self.conv_1 = nn.Conv2d(channels, _HIDDEN, 3, padding=1)
            channels = _HIDDEN
        self.fc_1 = nn.Linear(channels, classes)
        self.metadata = {
            "facekit.layer": layer,
            "facekit.head": head,
            "facekit.width": f"{width:g}",
            "facekit.input_size": str(input_size),
            "facekit.standardise": "true" if standardise else "false",
        }

    def _add_maps(self) -> int:
        """Add the detector's own head where it is needed; return the channels of the features."""
        channels = self.channels(self.source)
        scores = BACKGROUNDS + 1 if self.source == SOURCES[0] else 2
        if self._predicted or self.head == "fired":
            conf = nn.Conv2d(channels, scores, 3, padding=1)
            self.add_module(f"{self._prefix}_mbox_conf", conf)
        if self._predicted:
            self.add_module(f"{self._prefix}_mbox_loc", nn.Conv2d(channels, 4, 3, padding=1))
            return scores + 4
        return channels

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Build the network that a weights file describes.

        Args:
            metadata: As of the attribute `metadata`, and ``facekit.labels``, a JSON list.

        Raises:
            ValueError: If it does not describe one.
        """
        classes = _label_count(metadata.get("facekit.labels", "[]"))
        head = metadata.get("facekit.head", "linear")
        if head not in HEADS:
            raise ValueError(f"metadata facekit.head: {head!r} is none of {', '.join(HEADS)}")
        return cls(
            classes,
            layer=metadata.get("facekit.layer", "conv7_2"),
            head=head,
            width=_number(metadata, "facekit.width", 1.0),
            input_size=int(_number(metadata, "facekit.input_size", INPUT_SIZE)),
            standardise=metadata.get("facekit.standardise") == "true",
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one input."""
        return (3, self.input_size, self.input_size)

    def new_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the head's tensors, which no detector has, with their names."""
        for name, tensor in self.state_dict(keep_vars=True).items():
            if name.startswith(("fc_1.", "conv_1.", "standard_1.")):
                yield name, tensor

    def describe(self, image: Tensor) -> Tensor:
        """Run what comes from the detector.

        Args:
            image: float (n, 3, size, size); see the class.

        Returns:
            (n, numbers), or of the head ``convolution`` (n, channels, rows, columns).
        """
        for name, conv in TRUNK:
            if conv is None:
                image = functional.max_pool2d(image, 2, 2)
                continue
            image = functional.relu(self.get_submodule(name)(image), inplace=True)
            if name == self.source:
                break
        return self.read(image)

    def read(self, features: Tensor) -> Tensor:
        """Bring a layer of the trunk to what the head reads.

        Args:
            features: (n, channels, rows, columns), the layer `source` after its ReLU.

        Returns:
            As of `describe`.
        """
        if self.source in NORMS:
            features = self.get_submodule(self._prefix)(features)
        if self.head == "fired" or self._predicted:
            scores = self.get_submodule(f"{self._prefix}_mbox_conf")(features)
        else:
            scores = features
        if self._predicted:
            offsets = self.get_submodule(f"{self._prefix}_mbox_loc")(features)
            features = torch.cat([scores, offsets], dim=1)
        return self._pooled(features, scores)

    def _pooled(self, features: Tensor, scores: Tensor) -> Tensor:
        """Bring a map to what the head reads; ``scores`` are the detector's, of its cells."""
        if self.head == "linear":
            return features.flatten(1)
        if self.head == "average":
            return features.mean(dim=(2, 3))
        if self.head == "maximum":
            return features.amax(dim=(2, 3))
        if self.head == "fired":
            fired = _fired(scores)
            return (features * fired).sum(dim=(2, 3)) / fired.sum(dim=(2, 3))
        return features

    def judge(self, description: Tensor) -> Tensor:
        """Run the head.

        Args:
            description: As of `describe`.

        Returns:
            Logits (n, classes).
        """
        description = self.standard_1(description)
        if self.conv_1 is not None:
            description = functional.relu(self.conv_1(description)).mean(dim=(2, 3))
        logits: Tensor = self.fc_1(description)
        return logits

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Return the logits (n, classes) of crops; see `describe` and `judge`."""
        return self.judge(self.describe(image))


def side_of(layer: str, input_size: int) -> int:
    """Return the cells along each side of a layer's map.

    Args:
        layer: One of `TRUNK_LAYERS`.
        input_size: Side of the input, pixels.
    """
    side = input_size
    for name, conv in TRUNK:
        if conv is None:
            side //= 2
        else:
            side = (side + 2 * conv.padding - conv.kernel) // conv.stride + 1
        if name == layer:
            break
    return side


def _fired(scores: Tensor) -> Tensor:
    """Return 1 where a cell fired as face, else 0, (n, 1, rows, columns).

    A crop in which none did counts its likeliest cell, so that there is always an answer.
    """
    two = max_out(scores) if scores.shape[1] > 2 else scores  # noqa: PLR2004 - background, face
    faces = torch.softmax(two, dim=1)[:, 1:]
    least = faces.amax(dim=(2, 3), keepdim=True).clamp(max=_FIRED)
    return (faces >= least).to(scores.dtype)


def _check(layer: str, head: str, input_size: int) -> None:
    """Refuse what cannot be built.

    Raises:
        ValueError: If it cannot.
    """
    if layer not in LAYERS:
        raise ValueError(f"no layer is named {layer!r}: use one of {', '.join(LAYERS)}")
    if head not in HEADS:
        raise ValueError(f"no head is named {head!r}: use one of {', '.join(HEADS)}")
    if input_size < MIN_SIDE:
        raise ValueError(f"crops of {input_size} px are too small: use {MIN_SIDE} px or more")


def _label_count(text: str) -> int:
    """Return how many labels a JSON list names.

    Raises:
        ValueError: If it is no list, or empty.
    """
    try:
        labels = json.loads(text)
    except ValueError:
        labels = None
    if not isinstance(labels, list) or not labels:
        reason = (
            "names no labels in its metadata (facekit.labels): it is no classifier's; "
            "'facekit train' with the recipe 'classify' makes one of a detector's weights"
        )
        raise ValueError(reason)
    return len(labels)


def _number(metadata: Mapping[str, str], key: str, otherwise: float) -> float:
    """Return a positive number of the metadata.

    Raises:
        ValueError: If it is none.
    """
    text = metadata.get(key, "")
    try:
        number = float(text) if text else otherwise
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise ValueError(f"metadata {key} is not a positive number: {text!r}")
    return number
