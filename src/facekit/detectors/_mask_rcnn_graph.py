"""Mask R-CNN as one ONNX graph: the network's parts, and the selections between them.

A photo's pixels go in, of any size, and instances come out, so that whatever runs the graph needs
nothing of facekit, nor PyTorch. The parts are traced from :mod:`facekit.networks.mask_rcnn_parts`;
the selections are ONNX's own TopK, NonMaxSuppression and RoiAlign, written out here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import compose, parser

from facekit.detectors._mask_rcnn_runs import CONFIG_KEY
from facekit.errors import WeightsError
from facekit.networks.mask_rcnn_parts import traced_parts
from facekit.networks.mask_rcnn_settings import MaskRCNNSettings, PoolerSettings

__all__ = ["join", "write"]

_LEVELS: Final = ("p2", "p3", "p4", "p5", "p6")
"""Of the pyramid; regions are cut from all but the last."""

_STRIDES: Final = (4, 8, 16, 32)
"""Pixels of a cell of p2 to p5."""

_ALL: Final = 2**31 - 1
_HEADER: Final = '<ir_version: 10, opset_import: ["" : 18]>\n'

_INPUT: Final = """
    mean = Constant<value = float[3, 1, 1] {{{mean}}}>()
    deviation = Constant<value = float[3, 1, 1] {{{deviation}}}>()
    multiple = Constant<value = int64[2] {{32, 32}}>()
    from_start = Constant<value = int64[4] {{0, 0, 0, 0}}>()
    second = Constant<value = int64[1] {{1}}>()
    end = Constant<value = int64[1] {{3}}>()
    first_axis = Constant<value = int64[1] {{0}}>()
    shape = Shape(image)
    sides = Slice(shape, second, end)
    size = Cast<to = 1>(sides)
    short = Neg(sides)
    rest = Mod(short, multiple)
    padding = Concat<axis = 0>(from_start, rest)
    from_mean = Sub(image, mean)
    normal = Div(from_mean, deviation)
    padded = Pad(normal, padding)
    planes = Unsqueeze(padded, first_axis)
"""
"""``image`` to ``planes``, normalised and padded to multiples of 32, and ``size``."""

_BEST_OF_LEVEL: Final = """
    most_{level} = Constant<value = int64[1] {{{before}}}>()
    count_{level} = Shape(logits_{level})
    looked_{level} = Min(count_{level}, most_{level})
    top_{level}, place_{level} = TopK<axis = 0>(logits_{level}, looked_{level})
    candidates_{level} = Gather(boxes_{level}, place_{level})
    penalty_{level} = Gather(worth_{level}, place_{level})
    worths_{level} = Add(top_{level}, penalty_{level})
    first_{level} = Constant<value = int64[1] {{0}}>()
    firsts_{level} = Constant<value = int64[2] {{0, 1}}>()
    one_image_{level} = Unsqueeze(candidates_{level}, first_{level})
    one_class_{level} = Unsqueeze(worths_{level}, firsts_{level})
    kept_most_{level} = Constant<value = int64[1] {{{after}}}>()
    overlap_{level} = Constant<value = float[1] {{{overlap}}}>()
    lowest_{level} = Constant<value = float[1] {{-3.0e38}}>()
    selected_{level} = NonMaxSuppression(one_image_{level}, one_class_{level}, kept_most_{level},
        overlap_{level}, lowest_{level})
    column_{level} = Constant<value = int64 {{2}}>()
    rows_{level} = Gather<axis = 1>(selected_{level}, column_{level})
    found_{level} = Gather(candidates_{level}, rows_{level})
    worthy_{level} = Gather(worths_{level}, rows_{level})
"""
"""A level's candidates to ``found_`` and ``worthy_``; minus infinity is not above the lowest."""

_PROPOSALS: Final = """
    found = Concat<axis = 0>({found})
    worthy = Concat<axis = 0>({worthy})
    after = Constant<value = int64[1] {{{after}}}>()
    proposed = Shape(worthy)
    going_on = Min(proposed, after)
    best_worth, best_place = TopK<axis = 0>(worthy, going_on)
    proposals = Gather(found, best_place)
"""

_LEVEL_OF: Final = """
    {to}_0 = Constant<value = int64[1] {{0}}>()
    {to}_1 = Constant<value = int64[1] {{1}}>()
    {to}_2 = Constant<value = int64[1] {{2}}>()
    {to}_4 = Constant<value = int64[1] {{4}}>()
    {to}_begins = Slice({boxes}, {to}_0, {to}_2, {to}_1)
    {to}_ends = Slice({boxes}, {to}_2, {to}_4, {to}_1)
    {to}_extents = Sub({to}_ends, {to}_begins)
    {to}_areas = ReduceProd<keepdims = 1>({to}_extents, {to}_1)
    {to}_sides = Sqrt({to}_areas)
    {to}_bounds = Constant<value = float[3] {{112, 224, 448}}>()
    {to}_above = GreaterOrEqual({to}_sides, {to}_bounds)
    {to}_ones = Cast<to = 7>({to}_above)
    {to}_levels = ReduceSum<keepdims = 0>({to}_ones, {to}_1)
"""
"""Boxes to ``_levels``: ``floor(4 + log2(side / 224))`` within 2 to 5, less 2."""

_CUT: Final = """
    {to}_index_{index} = Constant<value = int64 {{{index}}}>()
    {to}_own_{index} = Equal({to}_levels, {to}_index_{index})
    {to}_where_{index} = NonZero({to}_own_{index})
    {to}_rows_{index} = Squeeze({to}_where_{index}, {to}_0)
    {to}_boxes_{index} = Gather({boxes}, {to}_rows_{index})
    {to}_count_{index} = Shape({to}_rows_{index})
    {to}_image_{index} = ConstantOfShape<value = int64[1] {{0}}>({to}_count_{index})
    {to}_cut_{index} = RoiAlign<coordinate_transformation_mode = "{mode}", output_height = {side},
        output_width = {side}, sampling_ratio = {sampling}, spatial_scale = {scale}>
        ({level}, {to}_boxes_{index}, {to}_image_{index})
"""

_ORDER: Final = """
    {to}_rows = Concat<axis = 0>({rows})
    {to}_cut = Concat<axis = 0>({cuts})
    {to}_places = Unsqueeze({to}_rows, {to}_1)
    {to} = ScatterND({to}_cut, {to}_places, {to}_cut)
"""
"""What was cut level by level, in the order of the boxes; every row is overwritten."""

_SELECT: Final = """
    class_boxes = Transpose<perm = [1, 0, 2]>(judged)
    class_scores = Transpose<perm = [1, 0]>(judgements)
    class_count = Shape<end = 1>(class_scores)
    four = Constant<value = int64[2] {{1, 1}}>()
    every = Concat<axis = 0>(class_count, four)
    of_classes = Expand(class_boxes, every)
    between = Constant<value = int64[1] {{1}}>()
    likely = Unsqueeze(class_scores, between)
    detections = Constant<value = int64[1] {{{detections}}}>()
    box_overlap = Constant<value = float[1] {{{overlap}}}>()
    chosen = NonMaxSuppression(of_classes, likely, detections, box_overlap, score_threshold)
    class_and_row = Constant<value = int64[2] {{0, 2}}>()
    which = Gather<axis = 1>(chosen, class_and_row)
    chosen_boxes = GatherND(of_classes, which)
    chosen_scores = GatherND(class_scores, which)
    class_column = Constant<value = int64 {{0}}>()
    chosen_classes = Gather<axis = 1>(chosen, class_column)
    chosen_count = Shape(chosen_scores)
    answered = Min(chosen_count, detections)
    scores, answer = TopK<axis = 0>(chosen_scores, answered)
    boxes = Gather(chosen_boxes, answer)
    classes = Gather(chosen_classes, answer)
"""
"""``judged`` and ``judgements`` to ``boxes``, ``scores``, ``classes``: each class for itself."""


def write(
    detector: Any,  # noqa: ANN401 - the adapter, which does not import this
    path: Path,
    traced: Callable[..., onnx.ModelProto],
    finish: Callable[[onnx.ModelProto, Path, str], None],
) -> None:
    """Write a detector's checkpoint as one file.

    Args:
        detector: The adapter, with PyTorch's run.
        path: The file to be written.
        traced: Of :mod:`facekit.export.onnx`.
        finish: Of the same.

    Raises:
        WeightsError: If the detector runs no checkpoint.
        BackendError: If torch's exporter or ONNX's checker fails.
    """
    run = detector.run
    if not hasattr(run, "network"):
        raise WeightsError("mask_rcnn", "is exported from a checkpoint, not from a graph")
    metadata = {CONFIG_KEY: run.config.model_dump_json()}
    parts = traced_parts(run.network, traced)
    finish(join(run.network.settings, parts, metadata), path, "Mask R-CNN")


def join(
    settings: MaskRCNNSettings, parts: Mapping[str, onnx.ModelProto], metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Put the parts together.

    Args:
        settings: Of the network.
        parts: ``candidates``, ``judgements``, and ``drawings`` where there are masks.
        metadata: What the file shall say of itself (``metadata_props``).

    Returns:
        ``image`` ``(3, height, width)`` float32 in 0..255 and ``score_threshold`` ``(1,)`` float32
        to ``boxes`` ``(n, 4)``, ``scores`` ``(n,)``, ``classes`` ``(n,)`` int64 and, where there
        are masks, ``masks`` ``(n, m, m)`` in 0..1.
    """
    box, mask, after = settings.box, settings.mask, settings.rpn.after_nms
    mean, deviation = (
        ", ".join(map(_number, values)) for values in (settings.pixel_mean, settings.pixel_std)
    )
    texts: list[str | onnx.ModelProto] = [
        _INPUT.format(mean=mean, deviation=deviation),
        parts["candidates"],
        *(
            _BEST_OF_LEVEL.format(
                level=level,
                before=settings.rpn.before_nms,
                after=after,
                overlap=_number(settings.rpn.nms_threshold),
            )
            for level in _LEVELS
        ),
        _PROPOSALS.format(
            found=", ".join(f"found_{level}" for level in _LEVELS),
            worthy=", ".join(f"worthy_{level}" for level in _LEVELS),
            after=after,
        ),
        _cut_out("regions", "proposals", box.pooler),
        parts["judgements"],
        _SELECT.format(
            detections=box.detections if box.detections >= 0 else _ALL,
            overlap=_number(box.nms_threshold),
        ),
    ]
    if mask is not None:
        texts += [_cut_out("mask_regions", "boxes", mask.pooler), parts["drawings"]]
    return _model(texts, settings, metadata)


def _cut_out(to: str, boxes: str, pooler: PoolerSettings) -> str:
    """Return the nodes that cut regions out of the pyramid."""
    mode = "half_pixel" if pooler.aligned else "output_half_pixel"
    cuts = [
        _CUT.format(
            to=to,
            boxes=boxes,
            index=index,
            level=_LEVELS[index],
            mode=mode,
            side=pooler.resolution,
            sampling=pooler.sampling_ratio,
            scale=_number(1 / stride),
        )
        for index, stride in enumerate(_STRIDES)
    ]
    order = _ORDER.format(
        to=to,
        rows=", ".join(f"{to}_rows_{index}" for index in range(len(_STRIDES))),
        cuts=", ".join(f"{to}_cut_{index}" for index in range(len(_STRIDES))),
    )
    return "".join([_LEVEL_OF.format(to=to, boxes=boxes), *cuts, order])


def _number(value: float) -> str:
    """Write a number as ONNX's text wants it, to the last bit."""
    text = repr(float(value))
    return text if "e" not in text or "." in text else text.replace("e", ".0e")


def _model(
    pieces: list[str | onnx.ModelProto], settings: MaskRCNNSettings, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Lay pieces one after the other; each finds what it needs by its name."""
    head = (
        "whole (float[3, height, width] image, float[1] score_threshold) => "
        "(float[n, 4] boxes, float[n] scores, int64[n] classes"
    )
    if settings.mask is not None:
        head += ", float[n, m, m] masks"
    model = parser.parse_model(f"{_HEADER}{head}) {{\n}}")
    graph = model.graph
    for index, piece in enumerate(pieces):
        if isinstance(piece, str):
            graph.node.extend(parser.parse_model(f"{_HEADER}piece () => () {{{piece}}}").graph.node)
            continue
        own = compose.add_prefix(
            piece, f"part{index}/", rename_inputs=False, rename_outputs=False
        ).graph
        graph.node.extend(own.node)
        graph.initializer.extend(own.initializer)
    model.metadata_props.extend(
        onnx.StringStringEntryProto(key=key, value=value) for key, value in metadata.items()
    )
    return model
