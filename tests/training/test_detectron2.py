"""The recipe ``detectron2``: skipped where Detectron2 is not installed, as in most CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import create_detector
from facekit.errors import ConfigError, DatasetError, MissingDependencyError
from facekit.images import write

Image = npt.NDArray[np.uint8]
NETWORKS = Path(__file__).parents[1] / "data" / "networks"
CONFIG, WEIGHTS = NETWORKS / "mask_rcnn_astronaut.yaml", NETWORKS / "mask_rcnn_astronaut.pkl"
FACE = (180, 66, 271, 178)


def test_without_detectron2_the_message_says_what_to_install() -> None:
    from facekit.training import train

    try:
        import detectron2  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(MissingDependencyError, match=r"git\+https"):
            train({"recipe": "detectron2", "data": [{"data": "coco:a.json"}], "config": "a.yaml"})
    else:
        pytest.skip("it is installed here")


@pytest.fixture
def run(require_detectron2: None, tmp_path: Path, astronaut: Image) -> Callable[..., Any]:  # noqa: ARG001 - asks for the packages
    """Train the contract's narrow network on four photos of one face, for a few steps."""
    import cv2

    lines = []
    for scale in (0.25, 0.3, 0.4, 0.5):
        small = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        name = f"{scale:g}.png"
        write(tmp_path / name, np.asarray(small, np.uint8))
        x1, y1, x2, y2 = (round(side * scale) for side in FACE)
        lines += [name, "1", f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0"]
    (tmp_path / "faces.txt").write_text("\n".join(lines) + "\n")

    def train(*, resume: bool = False, **changes: Any) -> Any:
        from facekit.training import train as trained

        values: dict[str, Any] = {
            "recipe": "detectron2",
            "data": [{"data": f"wider_face:{tmp_path / 'faces.txt'}", "images": str(tmp_path)}],
            "held_out": 0.25,
            "config": str(CONFIG),
            "weights": str(WEIGHTS),
            "device": "cpu",
            "workers": 0,
            "batch_size": 2,
            "lr": 1e-5,
            "warmup": 0,
            "steps": 3,
            "milestones": [2],
            "evaluate_every": 2,
            "overrides": {"INPUT.MIN_SIZE_TRAIN": [160]},
            "out": str(tmp_path / "run"),
        }
        return trained({**values, **changes}, resume=resume)

    return train


pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid", "ignore:Detected call of"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning"),
]


def test_it_trains_measures_and_goes_on(run: Callable[..., Any], astronaut: Image) -> None:
    result = run()
    assert (result.step, result.interrupted) == (3, False)
    assert result.monitor == "bbox/AP50"
    # It started from weights that know this face, and hardly moved.
    assert result.best is not None
    assert result.best > 0.9
    assert {"bbox/AP", "segm/AP"} <= result.metrics.keys()
    work = result.folder.work
    detector = create_detector("detectron2", weights=result.weights, config=work / "config.yaml")
    (found,) = detector.detect([astronaut])
    assert found.scores[0] > 0.9
    # The same files without Detectron2.
    own = create_detector("mask_rcnn", weights=result.weights, config=work / "config.yaml")
    np.testing.assert_allclose(own.detect([astronaut])[0].boxes, found.boxes, atol=0.01)
    with pytest.raises(ConfigError, match="all 3 steps are over"):
        run(resume=True)
    assert run(resume=True, steps=5).step == 5
    numbers = [json.loads(line) for line in (work / "metrics.json").read_text().splitlines()]
    assert max(one["iteration"] for one in numbers) >= 4


def test_ctrl_c_keeps_the_step(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from facekit.training.stopping import StopSignals

    monkeypatch.setattr(StopSignals, "asked", True, raising=False)
    monkeypatch.setattr(StopSignals, "__init__", lambda self: setattr(self, "_before", {}))
    stopped = run()
    assert (stopped.step, stopped.interrupted) == (1, True)
    monkeypatch.undo()
    assert run(resume=True).step == 3


def test_bad_input_is_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.txt"):
        run(data=[{"data": f"wider_face:{tmp_path / 'none.txt'}"}])
    with pytest.raises(ConfigError, match="no such file, nor a config"):
        run(config="none.yaml")
    (tmp_path / "0.5.png").unlink()
    with pytest.raises(DatasetError, match=r"0\.5\.png: its size is not known"):
        run()
