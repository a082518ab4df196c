"""What is measured: words to backends, thresholds, fingerprints, the scale in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from facekit import create_detector, weights
from facekit.errors import ConfigError, UnknownNameError
from facekit.evaluation.candidates import (
    candidate_of,
    candidates,
    fingerprint,
    options_of,
    scale_of,
)


def test_names_weights_and_configurations(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("detector: {backend: tiny_ssd, nms_threshold: 0.3}\n")
    words = ["tiny_ssd", "tiny_ssd=runs/best.onnx", str(file), "tiny_ssd"]
    found = candidates("detector", words)
    labels = ["tiny_ssd", "tiny_ssd-best", "tiny_ssd-mine", "tiny_ssd_2"]
    assert [one.label for one in found] == labels
    assert found[1].config.options == {"weights": "runs/best.onnx"}
    assert found[2].config.options == {"nms_threshold": 0.3}


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("tiny_sdd", UnknownNameError, "did you mean 'tiny_ssd'"),
        ("tiny_ssd=", ConfigError, "write NAME=WEIGHTS"),
        ("none.yaml", ConfigError, "none.yaml"),
    ],
)
def test_words_that_mean_nothing(word: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        candidates("detector", [word])


def test_a_configuration_without_that_part(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("landmarker: null\n")
    with pytest.raises(ConfigError, match="has no landmarker"):
        candidates("landmarker", [str(file)])
    with pytest.raises(ConfigError, match="has no classifier"):
        candidates("classifier", [str(file)])


def test_a_detector_is_measured_at_its_evaluation_threshold(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("detector: {backend: tiny_ssd, score_threshold: 0.7}\n")
    (one,) = candidates("detector", [str(file)])
    assert one.build().score_threshold == 0.7
    assert one.build_to_measure().score_threshold == 0.02


def test_a_fingerprint_tells_weights_and_options_apart(tmp_path: Path) -> None:
    def made(**options: Any) -> dict[str, Any]:
        one = candidate_of("detector", {"backend": "tiny_ssd", **options})
        assert one is not None
        return fingerprint(one, one.build_to_measure())

    plain = made()
    assert json.loads(json.dumps(plain)) == plain
    assert made(threads=2, batch_size=3) == plain  # they change no number
    assert made(score_threshold=0.9) == plain  # nor does the threshold for display
    copy = tmp_path / "copy.onnx"
    shutil.copy(weights.resolve("tiny_ssd", default="tiny_ssd"), copy)
    assert made(weights=str(copy)) == plain  # the same weights elsewhere
    assert made(nms_threshold=0.3) != plain


def test_the_scale_in_words() -> None:
    one = candidate_of("detector", "tiny_ssd")
    assert one is not None
    part = one.build_to_measure()
    assert scale_of(part, options_of(one, part)).startswith("300 x 300 px")

    class Mine:
        test_scale = "longest side 640 px"

    assert scale_of(Mine()) == "longest side 640 px"
    assert scale_of(object(), {"min_size": 20, "batch_size": 3}) == "images as stored, min_size 20"
    assert scale_of(object(), {"input_size": [480, 640]}) == "640 x 480 px"


def test_a_ready_object_is_no_candidate() -> None:
    assert candidate_of("detector", create_detector()) is None
