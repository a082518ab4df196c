"""Which tensors mean what: of made-up signatures, and of those that the API's exporters wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facekit.errors import ConfigError, WeightsError
from facekit.tfgraphs.signature import (
    OUTPUTS,
    Settings,
    TensorInfo,
    by_stem,
    find_image,
    find_outputs,
)

RECORD = json.loads((Path(__file__).parent / "upstream.json").read_text(encoding="utf-8"))
PATH = Path("graph.pb")


def infos(tensors: dict[str, dict[str, Any]]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, tuple(one["shape"]), one["dtype"]) for name, one in tensors.items()
    }


def plain(*names: str, shape: tuple[int | None, ...] = (1, None, None, 3)) -> dict[str, TensorInfo]:
    return {name: TensorInfo(name, shape, "uint8") for name in names}


@pytest.mark.parametrize("name", RECORD)
def test_the_apis_own_signatures_are_understood(name: str) -> None:
    inputs, outputs = infos(RECORD[name]["inputs"]), infos(RECORD[name]["outputs"])
    found = find_outputs(outputs, Settings(), PATH, known=by_stem(outputs))
    assert {role: text.removesuffix(":0") for role, text in found.items()} == {
        role: OUTPUTS[role] for role in ("boxes", "scores", "classes", "count")
    }
    image = find_image(inputs, Settings(), PATH)
    assert image.dtype == "uint8"
    assert image.name == {"TF1 frozen graph": "image_tensor", "TF1 SavedModel": "inputs"}.get(
        name, "input_tensor"
    )


def test_an_image_among_other_inputs() -> None:
    for name in ("image_tensor", "input_tensor", "inputs", "tf_example"):
        assert find_image(plain("training", name), Settings(), PATH).name == name
    settings = Settings(nodes={"image": "photo:0"})
    assert find_image(plain("training", "photo"), settings, PATH).name == "photo"
    with pytest.raises(WeightsError, match=r"which input takes the image.*left uint8"):
        find_image(plain("left", "right"), Settings(), PATH)
    with pytest.raises(ConfigError, match="has no tensor 'phoot:0'; there is photo"):
        find_image(plain("photo"), Settings(nodes={"image": "phoot:0"}), PATH)


@pytest.mark.parametrize("shape", [(None, 224, 224), (1, 3, 300, 300), (1, 300, 300, 1)])
def test_inputs_that_take_no_photo(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(WeightsError, match="takes no RGB image"):
        find_image(plain("x", shape=shape), Settings(), PATH)


def test_boxes_and_scores_are_needed() -> None:
    outputs = plain("detection_boxes", "probabilities")
    with pytest.raises(
        WeightsError, match=r"no detector: it takes nothing and gives detection_box"
    ):
        find_outputs(outputs, Settings(), PATH)
    settings = Settings(nodes={"scores": "probabilities"})
    assert find_outputs(outputs, settings, PATH) == {
        "boxes": "detection_boxes",
        "scores": "probabilities",
    }


def test_paths_and_numbers_around_a_name() -> None:
    known = by_stem(["serving/detection_boxes:0", "detection_scores", "other"])
    assert (known["boxes"], known["scores"]) == ("serving/detection_boxes:0", "detection_scores")
