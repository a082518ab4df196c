"""Pipeline configurations: ours, a user's, and of which age."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facekit.errors import ConfigError, UnknownNameError
from facekit.tfapi.pipeline import (
    Changes,
    Reader,
    bases,
    changed,
    check_schedule,
    read_base,
    records_of,
    resize,
    steps_of,
)
from facekit.tfapi.textproto import Message, parse

ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"
COSINE = "train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate"


def test_the_tutorials_base_is_what_the_facts_say() -> None:
    message = read_base("tutorial")
    assert bases() == ["tuned", "tutorial"]
    assert message.get(f"{ANCHORS}.num_layers") == "6"
    assert (message.get(f"{ANCHORS}.min_scale"), message.get(f"{ANCHORS}.max_scale")) == (
        "0.2",
        "0.95",
    )
    coder = message.get("model.ssd.box_coder.faster_rcnn_box_coder")
    assert isinstance(coder, Message)
    assert [value for _, value in coder.fields] == ["10.0", "10.0", "5.0", "5.0"]
    assert message.get("model.ssd.box_predictor.convolutional_box_predictor.kernel_size") == "3"
    assert message.get("model.ssd.loss.hard_example_miner.max_negatives_per_positive") == "3"
    rate = "train_config.optimizer.rms_prop_optimizer.learning_rate"
    first = f"{rate}.exponential_decay_learning_rate.initial_learning_rate"
    assert message.get(first) == "0.004"
    assert steps_of(message) == 50_000
    assert message.get("graph_rewriter") is None


def test_the_tutorials_edits() -> None:
    changes = Changes(input_size=224, aspect_ratios=(1.0, 2.0, 0.5), classes=1, batch_size=8)
    message = changed(read_base("tutorial"), changes)
    resizer = message.get("model.ssd.image_resizer")
    assert str(resizer) == "fixed_shape_resizer {\n  height: 224\n  width: 224\n}\n"
    assert message.all(f"{ANCHORS}.aspect_ratios") == ["1.0", "2.0", "0.5"]
    assert message.get("train_config.batch_size") == "8"


def test_a_trained_configuration_of_another_size_has_anchors_of_the_same_pixels() -> None:
    message = changed(read_base("tutorial"), Changes(input_size=224))
    for side in (112, 320, 224):
        resize(message, side)
        resizer = message.get("model.ssd.image_resizer")
        assert str(resizer) == f"fixed_shape_resizer {{\n  height: {side}\n  width: {side}\n}}\n"
        assert message.get(f"{ANCHORS}.base_anchor_height") == message.get(
            f"{ANCHORS}.base_anchor_width"
        )
        of_the_input = float(str(message.get(f"{ANCHORS}.base_anchor_height")))
        assert of_the_input * side == pytest.approx(224)


@pytest.mark.parametrize("part", ["image_resizer", "anchor_generator.ssd_anchor_generator"])
def test_only_an_ssd_of_one_input_size_can_be_given_another(part: str) -> None:
    message = read_base("tuned")
    message.set(f"model.ssd.{part}")
    if "anchor" in part:
        message.set("model.ssd.anchor_generator")
    with pytest.raises(ConfigError, match="only an SSD of one input size"):
        resize(message, 160)
    with pytest.raises(ConfigError, match="needs 33 px or more"):
        resize(message, 20)


def test_a_schedule_follows_the_steps() -> None:
    message = changed(read_base("tuned"), Changes(steps=200))
    assert steps_of(message) == 200
    assert message.get(f"{COSINE}.total_steps") == "200"
    assert message.get(f"{COSINE}.warmup_steps") == "20"


def test_a_schedule_that_ends_too_early_is_refused() -> None:
    message = read_base("tuned")
    check_schedule(message, 6000)
    with pytest.raises(ConfigError, match=r"6001 are more than the 6000 .* start=RUN_FOLDER"):
        check_schedule(message, 6001)
    message.set(COSINE.rpartition(".")[0] + ".constant_learning_rate.learning_rate", "0.1")
    assert message.clear(COSINE)
    check_schedule(message, 6001)


def test_readers_and_a_start(tmp_path: Path) -> None:
    readers = Reader(tmp_path / "train.record-?????-of-?????", tmp_path / "label_map.pbtxt")
    message = changed(
        read_base("tuned"), Changes(start="run/ckpt-1", train=readers, evaluation=readers)
    )
    assert records_of(message, "train") == tmp_path / "train.record"
    assert message.get("eval_input_reader.shuffle") == "false"
    assert message.get("train_config.fine_tune_checkpoint_type") == '"classification"'
    with pytest.raises(ConfigError, match="has no train_input_reader"):
        records_of(read_base("tuned"), "train")


def test_any_field_is_set_or_left_out() -> None:
    generator = "{num_layers: 4 scales: [0.07, 0.2, 0.38, 0.7] aspect_ratios: [0.55, 0.85]}"
    message = changed(
        read_base("tuned"),
        Changes(
            steps=300,
            fields=[
                f"{ANCHORS}={generator}",
                "model.ssd.feature_extractor.num_layers = 4",
                "train_config.fine_tune_checkpoint='a=b'",
                "train_config.data_augmentation_options=",
                "train_config.num_steps=20",
            ],
        ),
    )
    assert message.all(f"{ANCHORS}.aspect_ratios") == ["0.55", "0.85"]
    assert message.get(f"{ANCHORS}.min_scale") is None
    assert message.get("model.ssd.feature_extractor.num_layers") == "4"
    assert message.get("train_config.fine_tune_checkpoint") == "'a=b'"
    assert message.get("train_config.data_augmentation_options") is None
    assert steps_of(message) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 20}, "needs 33 px or more, got 20"),
        ({"fields": ["num_steps"]}, r"num_steps: write path=value"),
        ({"fields": ["train config.x=1"]}, r"train config.x=1: write path=value"),
        ({"fields": ["a.b={c: "]}, r"a\.b=\{c:"),
        ({"fields": ["a.b=1 c: 2"]}, r"expected one value, or several as \[1.0, 2.0\]"),
        ({"aspect_ratios": [0.0]}, "aspect_ratios: expected positive numbers"),
        ({"aspect_ratios": []}, "aspect_ratios: expected positive numbers"),
        ({"scales": [0.1]}, "scales: one a map: expected 6, got 1"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(read_base("tutorial"), Changes(**changes))


def test_a_base_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="tutorial"):
        read_base("tutorail")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_base(str(tmp_path / "no.config"))
    (tmp_path / "other.config").write_text("model { faster_rcnn { } }")
    with pytest.raises(ConfigError, match="configures no SSD"):
        read_base(str(tmp_path / "other.config"))
    with pytest.raises(ConfigError, match="expected a number"):
        steps_of(parse("train_config { num_steps: many }", "x"))
    (tmp_path / "ssd.config").write_text("model { ssd { } }")
    with pytest.raises(ConfigError, match="has no ssd_anchor_generator"):
        changed(read_base(str(tmp_path / "ssd.config")), Changes(aspect_ratios=[1.0]))
