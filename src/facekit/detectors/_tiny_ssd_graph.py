"""The tiny SSD's decoding and suppression as an ONNX graph, to be attached to its network.

The arithmetic is :mod:`facekit.detectors.tiny_ssd`'s own, in the pixels of the input. Attached, a
network answers with boxes, so that whatever runs it needs nothing of facekit.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from facekit.detectors import tiny_ssd
from facekit.detectors.tiny_ssd import LARGEST_LOG_RATIO, SIZE, STANDARD_DEVIATIONS
from facekit.engines import FloatArray

__all__ = ["INPUTS", "MAX_DETECTIONS", "graph", "reference"]

INPUTS: Final = ("nms/logits", "nms/deltas")
"""Names of the graph's inputs, in the order of the network's outputs."""

MAX_DETECTIONS: Final = 200
"""Of one image."""

_SCORE: Final = tiny_ssd.TinySSD.evaluation_threshold
_OVERLAP: Final = 0.45
_OPSET: Final = 18
_IR_VERSION: Final = 10


def graph() -> onnx.ModelProto:
    """Return the graph: logits ``(N, A, 2)`` and deltas ``(N, A, 4)`` of 300 x 300 to faces.

    Its outputs are of all images together: ``boxes`` ``(k, 4)`` float32 x1 y1 x2 y2, continuous
    pixels of the input; ``scores`` ``(k,)`` float32, above 0.02; ``images`` ``(k,)`` int64, which
    image of the batch each belongs to. At most 200 an image, suppressed at an IoU of 0.45.
    """
    builder = _Builder()
    count = len(tiny_ssd.anchors())
    boxes = _decode(builder)
    scores = builder("Gather", builder("Softmax", INPUTS[0], axis=-1), builder.index(1), axis=2)
    likely = builder("Unsqueeze", scores, builder.indices(1))
    limits = (builder.indices(MAX_DETECTIONS), builder.floats([_OVERLAP]), builder.floats([_SCORE]))
    chosen = builder("NonMaxSuppression", boxes, likely, *limits)
    rows = builder("Gather", chosen, builder.indices(0, 2), axis=1)
    builder("GatherND", boxes, rows, out="boxes")
    builder("GatherND", scores, rows, out="scores")
    builder("Gather", chosen, builder.index(0), axis=1, out="images")
    shapes = [("batch", count, 2), ("batch", count, 4)]
    return builder.model(
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(INPUTS, shapes, strict=True)
        ],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ("faces", 4)),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("faces",)),
            helper.make_tensor_value_info("images", TensorProto.INT64, ("faces",)),
        ],
    )


def _decode(builder: _Builder) -> str:
    """Add the decoding; return the name of the boxes ``(N, A, 4)``."""
    priors = tiny_ssd.anchors()
    centre = builder.floats((priors[:, :2] + priors[:, 2:]) * np.float32(0.5))
    extent = builder.floats(priors[:, 2:] - priors[:, :2] + np.float32(1))
    scaled = builder("Mul", INPUTS[1], builder.floats(STANDARD_DEVIATIONS))
    first, second, last = (builder.indices(at) for at in (0, 2, 4))
    moves = builder("Slice", scaled, first, second, builder.indices(2))
    ratios = builder("Slice", scaled, second, last, builder.indices(2))
    limit = float(LARGEST_LOG_RATIO)
    clipped = builder("Clip", ratios, builder.number(-limit), builder.number(limit))
    half = builder("Mul", builder("Mul", extent, builder("Exp", clipped)), builder.number(0.5))
    middle = builder("Add", centre, builder("Mul", extent, moves))
    begin = builder("Add", builder("Sub", middle, half), builder.number(0.5))
    end = builder("Sub", builder("Add", middle, half), builder.number(0.5))
    corners = builder("Concat", begin, end, axis=2)
    inside = builder("Clip", corners, builder.number(0), builder.number(SIZE - 1))
    return builder("Add", inside, builder.floats([0, 0, 1, 1]))


def reference(logits: FloatArray, deltas: FloatArray) -> tuple[npt.NDArray[Any], ...]:
    """Return what the graph answers, by the adapter's own arithmetic.

    Args:
        logits: ``(N, A, 2)``.
        deltas: ``(N, A, 4)``.

    Returns:
        Boxes, scores and images, as of :func:`graph`.
    """
    parts = []
    for image, (one, moved) in enumerate(zip(logits, deltas, strict=True)):
        found = tiny_ssd.to_detections(one, moved, (SIZE, SIZE), nms_threshold=_OVERLAP)
        parts.append((found.boxes, found.scores, np.full(len(found), image, dtype=np.float32)))
    boxes, scores, images = (np.concatenate(each) for each in zip(*parts, strict=True))
    return boxes, scores, images


class _Builder:
    """Nodes and constants, named one after the other."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *inputs: str, out: str | None = None, **options: Any) -> str:  # noqa: ANN401 - ONNX's
        """Add a node; return the name of its output."""
        name = f"nms/{kind}_{len(self._nodes)}"
        output = out or name
        self._nodes.append(helper.make_node(kind, inputs, [output], name=name, **options))
        return output

    def floats(self, values: Any) -> str:  # noqa: ANN401 - array-like
        return self._constant(np.asarray(values, dtype=np.float32))

    def number(self, value: float) -> str:
        return self._constant(np.float32(value))

    def indices(self, *values: int) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def index(self, value: int) -> str:
        return self._constant(np.int64(value))

    def _constant(self, value: Any) -> str:  # noqa: ANN401 - array or scalar
        name = f"nms/constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def model(self, inputs: list[Any], outputs: list[Any]) -> onnx.ModelProto:
        """Return the checked graph."""
        built = helper.make_graph(self._nodes, "nms", inputs, outputs, self._constants)
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(built, opset_imports=opset, ir_version=_IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
