"""The shipped tiny SSD as TensorFlow's exporters would have left it, in every format of theirs.

It finds real faces, so that the contract of detectors can be held against the `tfod` adapter. The
weights are read from the ONNX file that the wheel ships; preprocessing, decoding and suppression
are TensorFlow's own operations inside the graph. Needs TensorFlow and onnx.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
from onnx import helper, numpy_helper

import facekit
from facekit.detectors import tiny_ssd

__all__ = ["ANSWER", "WRITERS", "answer", "encoded_image", "raw", "tf_example"]

Image = npt.NDArray[np.uint8]

SIZE: Final = 300
MOST: Final = 100
SCORES_FROM, OVERLAP = 0.02, 0.45
ANSWER: Final = (
    "detection_boxes",
    "detection_scores",
    "detection_classes",
    "num_detections",
    "detection_multiclass_scores",
)

_MODEL: Final = onnx.load(Path(facekit.__file__).parent / "bundled" / "tiny_ssd.onnx")
_WEIGHTS: Final = {one.name: numpy_helper.to_array(one) for one in _MODEL.graph.initializer}


def raw(images: Any) -> tuple[Any, Any]:
    """Run the network on ``(N, 300, 300, 3)`` RGB in [0, 1]; returns logits and deltas."""
    known = {"image": images}
    for node in _MODEL.graph.node:
        # What is not reached from the image computes shapes, which TensorFlow knows.
        if node.input[0] not in known or (node.op_type == "Add" and node.input[1] not in known):
            continue
        if node.op_type in _OPERATIONS:
            values = [known.get(name, _WEIGHTS.get(name)) for name in node.input]
            attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            known[node.output[0]] = _OPERATIONS[node.op_type](values, attributes)
    batch = tf.shape(images)[0]
    return tuple(
        tf.reshape(known[name], [batch, len(tiny_ssd.anchors()), sides])
        for name, sides in (("logits", 2), ("deltas", 4))
    )


def _convolve(values: list[Any], attributes: dict[str, Any]) -> Any:
    features, kernel, bias = values
    _, left, _, right = pads = attributes["pads"]
    assert len(set(pads)) == 1
    features = tf.pad(features, [[0, 0], [left, right], [left, right], [0, 0]])
    stride = [1, *attributes["strides"], 1]
    if attributes["group"] == 1:
        answer = tf.nn.conv2d(features, kernel.transpose(2, 3, 1, 0), stride, "VALID")
    else:
        answer = tf.nn.depthwise_conv2d(features, kernel.transpose(2, 3, 0, 1), stride, "VALID")
    return answer + bias


def _normalize(values: list[Any], attributes: dict[str, Any]) -> Any:
    features, scale, shift, mean, variance = values
    factor = scale / np.sqrt(variance + np.float32(attributes["epsilon"]))
    return features * factor + (shift - mean * factor)


_OPERATIONS: Final[dict[str, Callable[[list[Any], dict[str, Any]], Any]]] = {
    "Conv": _convolve,
    "Relu": lambda values, _: tf.nn.relu(values[0]),
    "Add": lambda values, _: values[0] + values[1],
    "BatchNormalization": _normalize,
    # To channels last, which they are here.
    "Transpose": lambda values, _: values[0],
    "Reshape": lambda values, _: values[0],
}


def _anchors() -> npt.NDArray[np.float32]:
    """Return the anchors as the API has them: middle y, x, height, width, parts of the image."""
    left, top, right, bottom = (tiny_ssd.anchors() + np.array([0, 0, 1, 1], np.float32)).T
    sides = [(top + bottom) / 2, (left + right) / 2, bottom - top, right - left]
    return np.stack(sides, axis=1).astype(np.float32) / np.float32(SIZE)


def _faster_rcnn_codes(deltas: Any) -> Any:
    """Return dx, dy, dw, dh as the API's box coder has them: ty, tx, th, tw."""
    return tf.stack([deltas[..., index] for index in (1, 0, 3, 2)], axis=-1)


def answer(images: Any) -> dict[str, Any]:
    """Detect in ``(N, H, W, 3)`` pixels of any type, as the API's graphs answer."""
    pixels = tf.image.resize(tf.cast(images, tf.float32), [SIZE, SIZE])
    logits, deltas = raw(pixels / 255.0)
    scores = tf.nn.softmax(logits)
    anchors, codes = _anchors(), _faster_rcnn_codes(deltas) * [0.1, 0.1, 0.2, 0.2]
    middle = codes[..., :2] * anchors[:, 2:] + anchors[:, :2]
    half = tf.exp(codes[..., 2:]) * anchors[:, 2:] / 2
    boxes = tf.clip_by_value(tf.concat([middle - half, middle + half], -1), 0.0, 1.0)
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        scores[..., 1:],
        MOST,
        MOST,
        iou_threshold=OVERLAP,
        score_threshold=SCORES_FROM,
    )
    return {
        "detection_boxes": kept.nmsed_boxes,
        "detection_scores": kept.nmsed_scores,
        "detection_classes": kept.nmsed_classes + 1,
        "num_detections": tf.cast(kept.valid_detections, tf.float32),
        # Only its shape tells something: of one class and the background.
        "detection_multiclass_scores": tf.zeros([tf.shape(images)[0], MOST, 2])[:, :, :2],
    }


def _graph_of_1x(place: Callable[[], Any], pixels: Callable[[Any], Any] = tf.identity) -> Any:
    """Return a TF1 graph, its input, and its outputs by name."""
    graph = tf.Graph()
    with graph.as_default():
        given = place()
        outputs = {name: tf.identity(one, name) for name, one in answer(pixels(given)).items()}
    return graph, given, outputs


def _image_tensor() -> Any:
    return tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")


def frozen_graph(path: Path) -> None:
    """Write ``frozen_inference_graph.pb``."""
    path.write_bytes(_graph_of_1x(_image_tensor)[0].as_graph_def().SerializeToString())


def other_names(path: Path) -> None:
    """Write a frozen graph whose nodes are called otherwise."""
    graph = tf.Graph()
    with graph.as_default():
        given = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "photo")
        found = answer(given)
        for name in ("boxes", "scores", "classes"):
            tf.identity(found[f"detection_{name}"], f"out/{name}")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def encoded_image(path: Path) -> None:
    """Write a frozen graph that takes an image file."""
    files = lambda: tf.compat.v1.placeholder(  # noqa: E731 - the graph comes first
        tf.string, [None], "encoded_image_string_tensor"
    )
    graph, _, _ = _graph_of_1x(files, _decoded)
    path.write_bytes(graph.as_graph_def().SerializeToString())


def tf_example(path: Path) -> None:
    """Write a frozen graph that takes a ``tf.train.Example``."""

    def decoded(examples: Any) -> Any:
        wanted = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        return _decoded(tf.io.parse_example(examples, wanted)["image/encoded"])

    place = lambda: tf.compat.v1.placeholder(tf.string, [None], "tf_example")  # noqa: E731 - the graph comes first
    path.write_bytes(_graph_of_1x(place, decoded)[0].as_graph_def().SerializeToString())


def _decoded(files: Any) -> Any:
    image = tf.io.decode_image(files[0], 3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image[None]


def saved_model_1x(path: Path) -> None:
    """Write a SavedModel as TF1's exporter does: its input is called ``inputs``."""
    graph, given, outputs = _graph_of_1x(_image_tensor)
    with warnings.catch_warnings(), tf.compat.v1.Session(graph=graph) as session:
        warnings.simplefilter("ignore")
        tf.compat.v1.saved_model.simple_save(session, str(path), {"inputs": given}, outputs)


def _saved_model(path: Path, *shape: int | None, dtype: Any = tf.uint8) -> None:
    module = tf.Module()
    spec = tf.TensorSpec(shape, dtype, name="input_tensor")

    def serve(input_tensor: Any) -> dict[str, Any]:
        # The argument's name is the signature's.
        return answer(input_tensor)

    module.serve = tf.function(serve, autograph=False, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures=module.serve)


def saved_model_2x(path: Path) -> None:
    """Write a SavedModel as TF2's exporter does: one image at a time."""
    _saved_model(path, 1, None, None, 3)


def saved_model_float(path: Path) -> None:
    """Write a SavedModel for several images as floats, which is what its variants take."""
    _saved_model(path, None, None, None, 3, dtype=tf.float32)


def saved_model_of_three(path: Path) -> None:
    """Write a SavedModel for three images of one size."""
    _saved_model(path, 3, 200, 240, 3)


def official(path: Path) -> None:
    """Write a SavedModel as tf-models-official does: boxes in pixels of a padded square."""
    side = 512

    def serve(inputs: Any) -> dict[str, Any]:
        size = tf.cast(tf.shape(inputs)[1:3], tf.float32)
        scale = side / tf.reduce_max(size)
        found = answer(inputs)
        ends = tf.concat([size, size], 0) * scale
        info = tf.stack([size, [side, side], [scale, scale], [0.0, 0.0]])
        return {
            "detection_boxes": found["detection_boxes"] * ends,
            "detection_scores": found["detection_scores"],
            "detection_classes": tf.cast(found["detection_classes"], tf.int32),
            "num_detections": tf.cast(found["num_detections"], tf.int32),
            "image_info": info[None],
        }

    module = tf.Module()
    spec = tf.TensorSpec([1, None, None, 3], tf.uint8, name="inputs")
    module.serve = tf.function(serve, autograph=False, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures=module.serve)


def no_detector(path: Path) -> None:
    """Write a SavedModel that classifies."""
    module = tf.Module()
    spec = tf.TensorSpec([None, 224, 224, 3], tf.float32, name="image")
    module.serve = tf.function(
        lambda image: {"logits": tf.reduce_mean(image, [1, 2])},
        autograph=False,
        input_signature=[spec],
    )
    tf.saved_model.save(module, str(path), signatures=module.serve)


_POST_PROCESS: Final = f"""name: "TFLite_Detection_PostProcess"
attr {{ key: "max_detections" value {{ i: {MOST} }} }}
attr {{ key: "max_classes_per_detection" value {{ i: 1 }} }}
attr {{ key: "use_regular_nms" value {{ b: false }} }}
attr {{ key: "nms_score_threshold" value {{ f: {SCORES_FROM} }} }}
attr {{ key: "nms_iou_threshold" value {{ f: {OVERLAP} }} }}
attr {{ key: "y_scale" value {{ f: 10.0 }} }}
attr {{ key: "x_scale" value {{ f: 10.0 }} }}
attr {{ key: "h_scale" value {{ f: 5.0 }} }}
attr {{ key: "w_scale" value {{ f: 5.0 }} }}
attr {{ key: "num_classes" value {{ i: 1 }} }}""".replace("\n", " ")


def _converter() -> Any:
    """Return a converter to TFLite with its own post-processing; it takes pixels as -1 .. 1."""

    def post_process(codes: Any, scores: Any, anchors: Any) -> Any:  # noqa: ARG001 - replaced by the operation
        return tuple(
            tf.constant(0.0, name=name) for name in ("boxes", "classes", "scores", "count")
        )

    def detect(image: Any) -> Any:
        logits, deltas = raw((image + 1.0) / 2.0)
        codes = tf.identity(_faster_rcnn_codes(deltas), name="codes")
        scores = tf.identity(tf.nn.softmax(logits), name="scores")
        return operation(codes, scores, tf.constant(_anchors()))[::-1]

    operation = tf.function(post_process, experimental_implements=_POST_PROCESS, autograph=False)
    spec = tf.TensorSpec([1, SIZE, SIZE, 3], tf.float32, name="image")
    module = tf.Module()
    module.detect = tf.function(detect, autograph=False, input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.detect.get_concrete_function()], module
    )
    converter.allow_custom_ops = True
    return converter


def tflite(path: Path) -> None:
    """Write a TFLite model that takes floats."""
    path.write_bytes(_converter().convert())


def tflite_quantised(path: Path) -> None:
    """Write a TFLite model that takes integers and computes in them."""
    from skimage import data

    def representative() -> Iterator[list[Any]]:
        photo = data.astronaut()  # type: ignore[no-untyped-call]
        for corner in range(0, 160, 20):
            part = photo[corner // 4 : 352 + corner, corner:, :]
            view = tf.image.resize(part[None].astype(np.float32), [SIZE, SIZE])
            yield [view / 127.5 - 1.0]

    converter = _converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.inference_input_type = tf.uint8
    path.write_bytes(converter.convert())


WRITERS: Final[dict[str, Callable[[Path], None]]] = {
    "frozen_inference_graph.pb": frozen_graph,
    "other_names.pb": other_names,
    "encoded_image.pb": encoded_image,
    "tf_example.pb": tf_example,
    "saved_model_1x": saved_model_1x,
    "saved_model_2x": saved_model_2x,
    "saved_model_float": saved_model_float,
    "saved_model_of_three": saved_model_of_three,
    "official": official,
    "no_detector": no_detector,
    "float.tflite": tflite,
    "quantised.tflite": tflite_quantised,
}
"""Every model by its file or folder."""
