"""What the TF Object Detection API's own exporters write, and what it answers: a record.

The exports themselves are too large to keep, so the record has their signatures and a few of their
answers, and recording compares each whole answer with what the `tfod` adapter makes of it. Needs
the API (docs/tfod-training.md says how to install it)::

    python record_tfod_upstream.py make FOLDER        # random weights, by TF1's and TF2's exporter
    python record_tfod_upstream.py record FOLDER tests/tfgraphs/upstream.json
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

SIZE: Final = 224
SEED: Final = 8
BEST: Final = 5

# An SSD of the API with the tutorial's anchors; its weights are as they fall, so all it knows is
# how to answer.
CONFIG: Final = f"""
model {{ ssd {{
  num_classes: 1
  image_resizer {{ fixed_shape_resizer {{ height: {SIZE} width: {SIZE} }} }}
  feature_extractor {{
    type: "ssd_mobilenet_v2_keras" depth_multiplier: 0.35 min_depth: 8
    conv_hyperparams {{
      regularizer {{ l2_regularizer {{ weight: 4e-5 }} }}
      initializer {{ truncated_normal_initializer {{ stddev: 0.03 }} }}
      activation: RELU_6
      batch_norm {{ scale: true }}
    }}
    override_base_feature_extractor_hyperparams: true
  }}
  box_coder {{ faster_rcnn_box_coder {{ }} }}
  matcher {{ argmax_matcher {{ }} }}
  similarity_calculator {{ iou_similarity {{ }} }}
  box_predictor {{ convolutional_box_predictor {{
    conv_hyperparams {{
      regularizer {{ l2_regularizer {{ weight: 4e-5 }} }}
      initializer {{ random_normal_initializer {{ stddev: 0.3 }} }}
    }}
    kernel_size: 3 box_code_size: 4
  }} }}
  anchor_generator {{ ssd_anchor_generator {{
    num_layers: 6 min_scale: 0.2 max_scale: 0.95
    aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5
  }} }}
  post_processing {{
    batch_non_max_suppression {{ score_threshold: 0.01 iou_threshold: 0.5 }}
    score_converter: SIGMOID
  }}
  loss {{
    localization_loss {{ weighted_smooth_l1 {{ }} }}
    classification_loss {{ weighted_sigmoid {{ }} }}
  }}
}} }}
eval_config {{ }}
"""


def make(folder: Path) -> None:
    """Export an SSD by the API's exporters of both ages."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    importlib.import_module("facekit.tfapi.shims").provide()
    import tensorflow as tf
    from google.protobuf import text_format
    from object_detection import exporter, exporter_lib_v2
    from object_detection.builders import model_builder
    from object_detection.protos import pipeline_pb2

    config = pipeline_pb2.TrainEvalPipelineConfig()
    text_format.Parse(CONFIG, config)

    # It prints a table of costs, with a profiler that TensorFlow 2 has not.
    exporter.profile_inference_graph = lambda _: None
    tf.keras.utils.set_random_seed(SEED)
    generator = np.random.default_rng(SEED)
    if not (folder / "tf2").exists():
        model = model_builder.build(config.model, is_training=False)
        images, shapes = model.preprocess(tf.zeros([1, SIZE, SIZE, 3]))
        model.postprocess(model.predict(images, shapes), shapes)
        for variable in model.trainable_variables:
            variable.assign(_weight(variable.name, variable.shape, generator, variable.numpy()))
        tf.train.Checkpoint(model=model).save(str(folder / "two" / "ckpt"))
        exporter_lib_v2.export_inference_graph(
            "image_tensor", config, str(folder / "two"), str(folder / "tf2")
        )

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(SEED)
        exporter.build_detection_graph(
            "image_tensor",
            model_builder.build(config.model, is_training=False),
            None,
            output_collection_name="found",
            graph_hook_fn=None,
        )
        session.run(tf.compat.v1.global_variables_initializer())
        for variable in tf.compat.v1.trainable_variables():
            value = session.run(variable)
            variable.load(_weight(variable.name, value.shape, generator, value), session)
        prefix = tf.compat.v1.train.Saver().save(session, str(folder / "one" / "model.ckpt"))
    with tf.Graph().as_default():
        exporter.export_inference_graph("image_tensor", config, prefix, str(folder / "tf1"))


def _weight(name: str, shape: Any, generator: np.random.Generator, fallen: Any) -> Any:
    """Return a kernel that keeps its input's size, so that the image is still felt at the end."""
    if len(shape) != 4:  # height, width, in, out
        return fallen
    inputs = np.prod(shape[:2] if "depthwise" in name.lower() else shape[:3])
    return generator.normal(0, np.sqrt(2 / inputs), shape).astype(np.float32)


def record(folder: Path, target: Path) -> None:
    """Compare each export's own answer with the adapter's, and write the record."""
    import facekit
    from facekit.testing import photos

    # No power of two, by which products would be exact.
    photo = np.ascontiguousarray(photos.astronaut().image[:400, 60:])
    height, width = photo.shape[:2]
    kept: dict[str, Any] = {}
    for name, path, call in (
        ("TF1 frozen graph", folder / "tf1" / "frozen_inference_graph.pb", _session),
        ("TF1 SavedModel", folder / "tf1" / "saved_model", _signature),
        ("TF2 SavedModel", folder / "tf2" / "saved_model", _signature),
    ):
        inputs, outputs, answer = call(path, photo)
        detector = facekit.create_detector("tfod", weights=path, score_threshold=0)
        (found,) = detector.detect([photo])
        count = int(answer["num_detections"][0])
        boxes = answer["detection_boxes"][0, :count].astype(np.float64)
        pixels = boxes[:, [1, 0, 3, 2]] * [width, height, width, height]
        assert len(found) == count > BEST, f"{name}: {len(found)} of {count}"
        apart = np.abs(found.boxes - pixels).max()
        scores = np.abs(found.scores - answer["detection_scores"][0, :count]).max()
        line = f"{name}: {count} boxes, at most {apart:.1e} px and {scores:.1e} apart"
        print(line)  # noqa: T201 - a script
        assert apart < 1e-4
        kept[name] = {
            "inputs": inputs,
            "outputs": outputs,
            "answer": {
                key: values[0, :BEST].tolist() for key, values in answer.items() if values.ndim > 1
            },
            "boxes": found.boxes[:BEST].tolist(),
            "size": [height, width],
        }
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


WANTED: Final = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def _described(tensor: Any) -> dict[str, Any]:
    return {"dtype": tensor.dtype.name, "shape": tensor.shape.as_list()}


def _session(path: Path, photo: Any) -> tuple[Any, Any, Any]:
    """Ask a frozen graph as TF1 does."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
        tensors = {name: graph.get_tensor_by_name(f"{name}:0") for name in WANTED}
        answer = session.run(tensors, {"image_tensor:0": photo[None]})
        image = graph.get_tensor_by_name("image_tensor:0")
        outputs = {f"{name}:0": _described(one) for name, one in tensors.items()}
        return {"image_tensor": _described(image)}, outputs, answer


def _signature(path: Path, photo: Any) -> tuple[Any, Any, Any]:
    """Ask a SavedModel by its signature."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    call = model.signatures["serving_default"]
    inputs = call.structured_input_signature[1]
    (name,) = inputs
    found = call(**{name: tf.constant(photo[None])})
    answer = {key: found[key].numpy() for key in WANTED}
    outputs = {key: _described(one) for key, one in call.structured_outputs.items()}
    return {name: _described(inputs[name])}, outputs, answer


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        record(Path(sys.argv[2]), Path(sys.argv[3]))
