"""What goes into a graph and what comes out, and which of its tensors mean what."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from facekit.errors import ConfigError, WeightsError, nearest

__all__ = [
    "OUTPUTS",
    "Array",
    "Graph",
    "Role",
    "Settings",
    "TensorInfo",
    "by_stem",
    "find_image",
    "find_outputs",
    "no_detector",
    "readable",
    "real",
    "shown",
]

Array = npt.NDArray[Any]

Role = Literal[
    "image",
    "boxes",
    "scores",
    "classes",
    "count",
    "info",
    "masks",
    "keypoints",
    "keypoint_scores",
]
"""What a tensor means; ``info`` is how tf-models-official resized the image."""

OUTPUTS: Final[Mapping[Role, str]] = {
    "boxes": "detection_boxes",
    "scores": "detection_scores",
    "classes": "detection_classes",
    "count": "num_detections",
    "info": "image_info",
    "masks": "detection_masks",
    "keypoints": "detection_keypoints",
    "keypoint_scores": "detection_keypoint_scores",
}
"""The names that both TF1's and TF2's exporters give to what comes out."""

_NEEDED: Final[tuple[Role, ...]] = ("boxes", "scores")
_IMAGE_NAMES: Final = (
    "image_tensor",
    "input_tensor",
    "inputs",
    "encoded_image_string_tensor",
    "tf_example",
)
_MOST_SHOWN: Final = 12
_RANK: Final = 4


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """A tensor of a graph.

    Attributes:
        name: What the graph calls it.
        shape: Its sides, ``None`` where any will do; ``None`` for any number of sides.
        dtype: numpy's name of its type, or ``"string"``.
        scale: Of a quantised tensor: ``real = scale * (stored - zero)``; 0 for any other.
        zero: Of a quantised tensor.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    scale: float = 0.0
    zero: int = 0

    def __str__(self) -> str:
        """Return name, type and shape as messages show them."""
        if self.shape is None:
            return f"{self.name} {self.dtype}"
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype} [{sides}]"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a user may say about a graph.

    Attributes:
        nodes: Tensors by what they mean, where their names are not those of the exporters.
        signature: Which signature of a SavedModel; by default ``serving_default``, or the only one.
        threads: CPU threads of one call; 0 leaves it to the vendor.
        device: What TensorFlow runs it on; by default what it likes best.
        memory_growth: Whether TensorFlow takes a GPU's memory as it needs it, not all at once.
    """

    nodes: Mapping[Role, str] = dataclasses.field(default_factory=dict)
    signature: str | None = None
    threads: int = 0
    device: str | None = None
    memory_growth: bool = True


class Graph(Protocol):
    """A loaded graph; may be called from several threads.

    Attributes:
        image: The tensor that the image goes into.
        first_class: The number of the label map's first class in what comes out.
        pixel_range: What the graph expects of its pixels, where they are not integers: the
            value that becomes 0, and the one that becomes 1 above it.
        class_count: How many classes it tells apart, where its signature says so.
        outputs: The tensors that come out, by what they mean.
    """

    image: TensorInfo
    first_class: int
    pixel_range: tuple[float, float]
    class_count: int | None
    outputs: Mapping[Role, str]

    def __call__(self, batch: Array) -> dict[Role, npt.NDArray[np.float32]]:
        """Run the graph.

        Args:
            batch: As ``image`` wants it: ``(N, H, W, 3)``, or ``(N,)`` of encoded files.

        Returns:
            Boxes ``(N, n, 4)``, scores ``(N, n)``, and where the graph gives them classes
            ``(N, n)``, count ``(N,)``, info ``(N, 4, 2)``, masks ``(N, n, h, w)`` of the boxes,
            keypoints ``(N, n, k, 2)`` and their scores ``(N, n, k)``, as real numbers.

        Raises:
            BackendError: If the vendor's code fails.
        """
        ...


@contextlib.contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn what a vendor says of a bad graph into one line.

    Args:
        path: The graph's file or folder, for messages.
        kind: What it should be, and who reads it: ``"SavedModel that this TensorFlow reads"``.

    Raises:
        WeightsError: If it is damaged.
    """
    try:
        yield
    except Exception as error:
        # protobuf's, TensorFlow's and flatbuffers' own errors, for files that are cut off or
        # missing and for operations that this version does not know.
        text = " ".join(str(error).split())
        raise WeightsError(path, f"damaged, or not a {kind}: {text[:200]}") from error


def real(values: Array, tensor: TensorInfo) -> npt.NDArray[np.float32]:
    """Return what a tensor's stored values stand for."""
    if not tensor.scale:
        return np.asarray(values, dtype=np.float32)
    return (values.astype(np.float32) - np.float32(tensor.zero)) * np.float32(tensor.scale)


def find_image(inputs: Mapping[str, TensorInfo], settings: Settings, path: Path) -> TensorInfo:
    """Return the tensor that an image goes into.

    Raises:
        ConfigError: If the one that the user named is not there.
        WeightsError: If there is none, or more than one that might be it.
    """
    if "image" in settings.nodes:
        return inputs[_named("image", settings.nodes["image"], inputs, path)]
    likely = [name for name in _IMAGE_NAMES if name in inputs] or list(inputs)
    if len(likely) != 1 and not set(likely) & set(_IMAGE_NAMES):
        names = shown(inputs.values()) or "none"
        reason = (
            f"which input takes the image? Name it by the option nodes: {{image: ...}}: {names}"
        )
        raise WeightsError(path, reason)
    image = inputs[likely[0]]
    takes_pixels = image.shape is None or (
        len(image.shape) == _RANK and image.shape[3] in {3, None}
    )
    if image.dtype != "string" and not takes_pixels:
        raise WeightsError(path, f"its input {image} takes no RGB image of shape [?, H, W, 3]")
    return image


def find_outputs(
    outputs: Mapping[str, TensorInfo],
    settings: Settings,
    path: Path,
    *,
    known: Mapping[Role, str] = OUTPUTS,
    inputs: Iterable[TensorInfo] = (),
    named: str = "",
) -> dict[Role, str]:
    """Return which outputs of a graph mean what.

    Args:
        outputs: The graph's outputs, by name.
        settings: What the user has said about them.
        path: The graph's file, for messages.
        known: The names that tell what an output means.
        inputs: The graph's inputs, for messages.
        named: What the signature is called, for messages.

    Raises:
        ConfigError: If an output that the user named is not there.
        WeightsError: If boxes or scores are not among them; the signature is in the message.
    """
    found: dict[Role, str] = {}
    for role, name in known.items():
        if role in settings.nodes:
            found[role] = _named(role, settings.nodes[role], outputs, path)
        elif name in outputs:
            found[role] = name
    if any(role not in found for role in _NEEDED):
        raise no_detector(path, inputs, outputs.values(), named=named)
    return found


def by_stem(names: Iterable[str]) -> dict[Role, str]:
    """Return the names that tell what an output means, with or without a path and a number."""
    stems = {name.rpartition("/")[2].partition(":")[0]: name for name in names}
    return {role: stems.get(stem, stem) for role, stem in OUTPUTS.items()}


def no_detector(
    path: Path, inputs: Iterable[TensorInfo], outputs: Iterable[TensorInfo], *, named: str = ""
) -> WeightsError:
    """Say that a graph is no detector that can be recognised, with its signature."""
    title = f"its signature {named!r}" if named else "it"
    return WeightsError(
        path,
        f"no detector: {title} takes {shown(inputs) or 'nothing'} and gives "
        f"{shown(outputs) or 'nothing'}, not {OUTPUTS['boxes']} and {OUTPUTS['scores']}; if these "
        "have other names here, say so by the option nodes: {boxes: ..., scores: ..., ...}",
    )


def shown(tensors: Iterable[TensorInfo]) -> str:
    """Return tensors as a line of a message."""
    every = [str(tensor) for tensor in tensors]
    more = len(every) - _MOST_SHOWN
    return ", ".join(every[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _named(role: Role, name: str, tensors: Mapping[str, TensorInfo], path: Path) -> str:
    """Return the tensor that a user named; ``name`` and ``name:0`` are the same.

    Raises:
        ConfigError: If it is not there; the nearest names are in the message.
    """
    for candidate in (name, name.removesuffix(":0"), f"{name}:0"):
        if candidate in tensors:
            return candidate
    close = nearest(name, tensors) or sorted(tensors)[:_MOST_SHOWN]
    raise ConfigError(
        f"detector 'tfod': nodes: {role}: {path} has no tensor {name!r}; there is "
        f"{', '.join(close) or 'none'}"
    )
