"""Detectron2 itself behind the adapter: skipped where it is not installed, as in most CI."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from facekit import create_detector
from facekit.errors import BackendError, ConfigError, WeightsError

TESTS = Path(__file__).parents[1]
NETWORKS = TESTS / "data" / "networks"
CONFIG, WEIGHTS = NETWORKS / "mask_rcnn_astronaut.yaml", NETWORKS / "mask_rcnn_astronaut.pkl"

pytestmark = [
    pytest.mark.usefixtures("require_detectron2"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid"),
]


def detector(**options: Any) -> Any:
    return create_detector("detectron2", **{"config": CONFIG, "weights": WEIGHTS, **options})


def test_it_answers_as_mask_rcnn_does(astronaut: Any) -> None:
    own = create_detector("mask_rcnn", config=CONFIG, weights=WEIGHTS)
    adapter = detector()
    assert adapter.score_threshold == own.score_threshold
    (found,), (expected,) = adapter.detect([astronaut]), own.detect([astronaut])
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert found.masks is not None
    assert expected.masks is not None
    for one, other in zip(found.masks, expected.masks, strict=True):
        a, b = one.to_mask(), other.to_mask()
        assert (a & b).sum() / (a | b).sum() > 0.999


def test_threshold_sizes_and_overrides(astronaut: Any) -> None:
    sure = detector(score_threshold=0.9)
    assert sure.score_threshold == 0.9
    (few,), (more,) = sure.detect([astronaut]), detector(score_threshold=0.01).detect([astronaut])
    assert len(few) < len(more)
    assert few.scores.min() > 0.9
    (one,) = detector(overrides={"TEST.DETECTIONS_PER_IMAGE": 1}).detect([astronaut])
    assert len(one) == 1
    (small,) = detector(max_size=64).detect([astronaut])
    assert not np.array_equal(small.boxes, more.boxes)
    assert len(detector(min_size=64).detect([astronaut])) == 1


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": Evil()}, "__author__": "x"}))
    with pytest.raises(WeightsError, match="refused"):
        detector(weights=path)
    assert not (tmp_path / "ran").exists()


def test_a_yaml_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f'MODEL: !!python/object/apply:os.mkdir ["{tmp_path / "ran"}"]\n')
    with pytest.raises(ConfigError, match=r"evil\.yaml"):
        detector(config=path)
    assert not (tmp_path / "ran").exists()


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file, nor a config"):
        detector(config=tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("MODEL: {NOT_THERE: 1}\n")
    with pytest.raises(ConfigError, match="NOT_THERE"):
        detector(config=tmp_path / "odd.yaml")
    with pytest.raises(WeightsError, match=r"of another shape"):
        detector(overrides={"MODEL.ROI_HEADS.NUM_CLASSES": 3})
    with pytest.raises(WeightsError, match=r"of another model: \d+ unexpected"):
        detector(overrides={"MODEL.MASK_ON": False})
    assert detector(overrides={"MODEL.MASK_ON": False}, strict=False).detect([]) == []
    with pytest.raises(ConfigError, match="face_class 'person' is none of the 1 classes: face"):
        detector(face_class="person")
    with pytest.raises(BackendError, match="device 'cuda:77'"):
        detector(device="cuda:77")


LAZY = """
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from detectron2.config import get_cfg

def model(test_score_thresh):
    config = get_cfg()
    config.merge_from_file({config!r})
    config.MODEL.DEVICE = "cpu"
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = test_score_thresh
    return build_model(config)

model = L(model)(test_score_thresh=0.3)
dataloader = dict(test=dict(mapper=dict(
    augmentations=[L(T.ResizeShortestEdge)(short_edge_length={shorter}, max_size={longer})],
    image_format="BGR",
)))
"""


def test_lazy_configs(tmp_path: Path, astronaut: Any) -> None:
    from facekit.d2.configs import ConfigCodeWarning

    sizes = yaml.safe_load(CONFIG.read_text())["INPUT"]
    path = tmp_path / "lazy.py"
    path.write_text(
        LAZY.format(
            config=str(CONFIG), shorter=sizes["MIN_SIZE_TEST"], longer=sizes["MAX_SIZE_TEST"]
        )
    )
    with pytest.warns(ConfigCodeWarning, match="is executed"):
        lazy = detector(config=path)
    assert lazy.score_threshold == 0.3
    (found,) = lazy.detect([astronaut])
    (expected,) = detector(score_threshold=0.3).detect([astronaut])
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    with pytest.warns(ConfigCodeWarning):
        other = detector(config=path, overrides={"model.test_score_thresh": 0.9})
    assert other.score_threshold == 0.9
    path.write_text("x = 1\n")
    with pytest.warns(ConfigCodeWarning), pytest.raises(ConfigError, match="has `model`"):
        detector(config=path)
    path.write_text("raise RuntimeError('no')\n")
    with pytest.warns(ConfigCodeWarning), pytest.raises(ConfigError, match="RuntimeError: no"):
        detector(config=path)
