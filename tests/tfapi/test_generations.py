"""Configurations of the API's first generation."""

from __future__ import annotations

from facekit.tfapi.generations import modernised
from facekit.tfapi.pipeline import Changes, changed
from facekit.tfapi.textproto import parse

OLD = """
model { ssd { num_classes: 5 image_resizer { keep_aspect_ratio_resizer { min_dimension: 600 } }
  feature_extractor { type: 'ssd_mobilenet_v2' }
  anchor_generator { ssd_anchor_generator { num_layers: 2 aspect_ratios: [1.0, 3.0] } } } }
train_config { fine_tune_checkpoint: "model.ckpt" from_detection_checkpoint: true num_steps: 9 }
graph_rewriter { quantization { delay: 500000 } }
"""


def test_a_configuration_of_tensorflow_1_is_brought_to_2() -> None:
    message = parse(OLD, "old")
    notes = modernised(message)
    assert message.get("model.ssd.feature_extractor.type") == '"ssd_mobilenet_v2_keras"'
    assert message.get("graph_rewriter") is None
    assert message.get("train_config.fine_tune_checkpoint") is None
    assert len(notes) == 4
    assert "quantise after training" in notes[1]
    assert modernised(message) == []
    changed(message, Changes(input_size=96))
    assert message.get("model.ssd.image_resizer.keep_aspect_ratio_resizer") is None


def test_a_checkpoint_of_the_second_generation_stays() -> None:
    message = parse(OLD, "old")
    message.set("train_config.fine_tune_checkpoint_version", "V2")
    assert len(modernised(message)) == 3
    assert message.get("train_config.fine_tune_checkpoint") == '"model.ckpt"'
