"""Model cards: what was measured around a person's prose, which is kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import BackendError
from facekit.evaluation import cost as cost_module
from facekit.evaluation.candidates import candidates
from facekit.evaluation.card import card_text, write_card
from facekit.evaluation.cost import Cost, measure_cost
from facekit.evaluation.result import Result

COST = Cost(
    milliseconds=12.34,
    runs=20,
    threads=1,
    image_size=(480, 640),
    faces=2,
    peak_mb=143.2,
    start_mb=69.0,
    machine="Some CPU",
)


def result(**changes: float) -> Result:
    return Result(
        label="tiny_ssd",
        task="detection",
        setting={"scale": "300 x 300 px", "threshold": "0.02"},
        images=197,
        total=3226,
        faces=2683,
        values={"AP50, 50 px": 0.618, **changes},
        groups={"0--Parade": {"AP50, 50 px": 0.37}},
        seconds_per_image=0.03,
        notes=("a subset",),
    )


def test_a_card_has_the_numbers_the_costs_and_the_licence() -> None:
    (one,) = candidates("detector", ["tiny_ssd"])
    text = card_text(one, "wider_face:W", [result()], COST)
    assert text.startswith("# Model card: `tiny_ssd.onnx`")
    assert "| parameters | 1.02 M |" in text
    assert "| multiply-adds | 0.480 G, for one input of 1 x 3 x 300 x 300 |" in text
    assert "Licence: `Apache-2.0 AND LicenseRef-facekit-weights`" in text
    assert "| tiny_ssd | 300 x 300 px | 0.02 | 0.618 |\n" in text
    assert "| 0--Parade | tiny_ssd | 0.370 |" in text
    assert "- a subset" in text
    time = "| time | 12.3 ms for one image of 640 x 480 px with 2 faces: median of 20 calls, one "
    assert time + "thread |" in text
    assert "| memory | 143 MB at most, the whole process, 69 MB before it was built |" in text


def test_a_card_that_exists_keeps_its_prose(tmp_path: Path) -> None:
    (one,) = candidates("detector", ["tiny_ssd"])
    path = write_card(tmp_path / "card.md", one, "d", [result()], None)
    text = path.read_text()
    assert "*Not measured.*" in text
    prose = "Trained on my own photos. | and \\1 stay as they are."
    path.write_text(text.replace("*Which data,", prose + "\n\n*Which data,"))
    write_card(path, one, "d", [result(**{"AP50, 50 px": 0.7})], COST)
    again = path.read_text()
    assert prose in again
    assert "| 0.700 |" in again
    assert "0.618" not in again
    assert again.count("<!-- facekit: cost -->") == 1


def test_a_backend_without_weights_or_entry(tmp_path: Path) -> None:
    weights = tmp_path / "mine.onnx"
    weights.write_bytes(b"not a network")
    (one,) = candidates("detector", [f"tiny_ssd={weights}"])
    text = card_text(one, "d", [result()], None)
    assert "`mine.onnx`" in text
    assert "parameters" not in text
    assert "not in facekit's catalogue" in text


def test_costs_are_measured_in_a_process_of_its_own(astronaut: npt.NDArray[np.uint8]) -> None:
    (detector,) = candidates("detector", ["tiny_ssd"])
    cost = measure_cost(detector, astronaut, runs=2)
    assert (cost.runs, cost.threads, cost.image_size, cost.faces) == (2, 1, (512, 512), 0)
    assert cost.milliseconds > 0
    if sys.platform == "linux":
        assert cost.peak_mb is not None
        assert cost.start_mb is not None
        assert 30 < cost.start_mb < cost.peak_mb < 1000
    (landmarker,) = candidates("landmarker", ["resnet18"])
    assert measure_cost(landmarker, astronaut, [[180, 80, 270, 170]], runs=1).faces == 1


def test_the_other_process_answers_a_request(astronaut_path: Path) -> None:
    request = {"image": str(astronaut_path), "boxes": [[180, 80, 270, 170]], "runs": 1}
    found = cost_module._answer(
        request | {"role": "detector", "backend": "tiny_ssd", "options": {}}
    )
    assert found["runs"] == 1
    assert found["machine"]
    named = {"role": "landmarker", "backend": "resnet18", "options": {"batch_size": 1}}
    assert cost_module._answer(request | named)["faces"] == 1


def test_a_backend_that_fails_there_is_named(
    tmp_path: Path, astronaut: npt.NDArray[np.uint8]
) -> None:
    (one,) = candidates("detector", [f"tiny_ssd={tmp_path / 'none.onnx'}"])
    with pytest.raises(BackendError, match=r"tiny_ssd-none: its cost cannot be measured: .*none"):
        measure_cost(one, astronaut)
