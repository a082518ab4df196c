"""The adapter against mmdet's own ``inference_detector``, and against ``tiny_ssd``.

The models are mmdet's own configs, narrowed so that a test lasts a second, with seeded weights:
they find nothing of sense, but find it in the same place.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import (
    BackendError,
    ConfigError,
    FacekitError,
    MissingDependencyError,
    WeightsError,
)
from facekit.mmlab.migrate import migrate
from facekit.protocols import Detector

pytestmark = [
    pytest.mark.usefixtures("require_mmdet"),
    # OpenMMLab's own, about itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Could not import OneDL"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid"),
]

SMALL = {"test_dataloader.dataset.pipeline.1.scale": (320, 256)}
R18 = {
    "model.backbone.depth": 18,
    "model.backbone.init_cfg": None,
    "model.neck.in_channels": [64, 128, 256, 512],
}
SSD = "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py"
RETINA = "retinanet/retinanet_r50_fpn_1x_coco.py"
MASK = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
MODELS: dict[str, dict[str, Any]] = {
    SSD: {**SMALL, "model.test_cfg.score_thr": 0.013},
    RETINA: {**SMALL, **R18, "model.bbox_head.stacked_convs": 1},
    MASK: {
        **SMALL,
        **R18,
        "model.roi_head.bbox_head.fc_out_channels": 32,
        "model.roi_head.mask_head.num_convs": 1,
        "model.test_cfg.rcnn.score_thr": 0.0,
        "model.test_cfg.rcnn.max_per_img": 100,
    },
}

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def torch(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_mmdet")
    return importlib.import_module("torch")


@pytest.fixture(scope="module")
def predictor(request: pytest.FixtureRequest) -> Any:
    request.getfixturevalue("require_mmdet")
    return importlib.import_module("facekit.mmlab.predictor")


@pytest.fixture(scope="module")
def weights(torch: Any, predictor: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that returns seeded weights of one of `MODELS`, made once."""
    folder = tmp_path_factory.mktemp("weights")

    def make(config: str) -> Path:
        path: Path = folder / f"{Path(config).stem}.pth"
        if not path.exists():
            loaded = predictor.configs.load(Path(config), MODELS[config])
            torch.manual_seed(0)
            state = predictor.build(Path(config), loaded).state_dict()
            for name in [name for name in state if name.endswith("fc_cls.weight")]:
                state[name] *= 30  # 81 equal scores would leave the order to chance
            torch.save({"state_dict": state}, path)
        return path

    return make


@pytest.fixture
def new(old_mmdet_config: Path, tmp_path: Path) -> Path:
    migrate(old_mmdet_config, tmp_path / "new.py")
    return tmp_path / "new.py"


@pytest.fixture
def published(old_mmdet_checkpoint: Path) -> Path:
    return old_mmdet_checkpoint


def build(**options: Any) -> Any:
    return facekit.create_detector("mmdet", **options)


@pytest.mark.parametrize("config", MODELS)
def test_boxes_scores_and_masks_are_inference_detectors(
    config: str, weights: Any, astronaut: Image, predictor: Any
) -> None:
    from mmdet.apis import inference_detector, init_detector

    path = predictor.configs.SHIPPED / config
    given = {"palette": "coco", "device": "cpu", "cfg_options": MODELS[config]}
    photo = astronaut[:, 40:440]
    with pytest.warns(UserWarning, match="COCO classes by default"):
        model = init_detector(path, str(weights(config)), **given)
    want = inference_detector(model, np.ascontiguousarray(photo[..., ::-1])).pred_instances
    # A model that knows nothing calls everything by a few classes.
    face = int(np.bincount(want.labels.numpy()).argmax())
    rows = np.flatnonzero(want.labels.numpy() == face)
    options = {"config": config, "weights": weights(config), "overrides": MODELS[config]}
    (found,) = build(**options, face_class=face, score_threshold=0).detect([photo])
    assert len(rows) >= 2
    np.testing.assert_allclose(found.boxes, want.bboxes.numpy()[rows], atol=1e-4)
    np.testing.assert_allclose(found.scores, want.scores.numpy()[rows], atol=1e-6)
    assert np.ptp(found.boxes[:, 0]) > 1, "the boxes are all one"
    if config == MASK:
        assert found.masks is not None
        for mask, row in zip(found.masks, rows, strict=True):
            assert (mask.to_mask() == want.masks.numpy()[row]).all()
        assert any(mask.to_mask().any() for mask in found.masks)
    else:
        assert found.masks is None


def test_a_checkpoint_of_1x_answers_as_in_tiny_ssd(
    new: Path, published: Path, astronaut: Image
) -> None:
    photos = [astronaut, astronaut[30:300, 100:420], astronaut[::-1]]
    answers = build(config=new, weights=published, score_threshold=0).detect(photos)
    own = facekit.create_detector("tiny_ssd", weights=published, score_threshold=0.02)
    for got, want in zip(answers, own.detect(photos), strict=True):
        assert len(got) == len(want) > 1
        np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)
        np.testing.assert_allclose(got.boxes, want.boxes, atol=1e-3)


@pytest.mark.data
@pytest.mark.weights
def test_published_weights_answer_as_in_tiny_ssd(
    new: Path, data_root: Path, weights_root: Path
) -> None:
    path = weights_root / "tiny_ssd" / "wider_face_tiny_ssd_075x_from_ir.pth"
    photos = sorted((data_root / "wider" / "WIDER_val").rglob("*.jpg"))[::25]
    answers = build(config=new, weights=path, score_threshold=0).detect(photos)
    own = facekit.create_detector("tiny_ssd", weights=path, score_threshold=0.02)
    assert sum(map(len, answers)) > len(photos) > 5
    for got, want in zip(answers, own.detect(photos), strict=True):
        assert len(got) == len(want)
        np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)
        np.testing.assert_allclose(got.boxes, want.boxes, atol=1e-3)


# Classes.


def test_class_names_come_from_the_checkpoint(new: Path, published: Path) -> None:
    detector = build(config=new, weights=published)
    assert isinstance(detector, Detector)
    assert (detector.class_names, detector.score_threshold) == (("face",), 0.5)


def test_the_face_is_a_class_by_name_or_index(weights: Any) -> None:
    options = {"config": SSD, "weights": weights(SSD), "overrides": MODELS[SSD]}
    assert build(**options, face_class=1).class_names == ("bicycle",)
    assert build(**options, face_class="Car").class_names == ("car",)
    assert build(**options, classes=["hand", "Face"]).class_names == ("Face",)
    for wrong in (80, "nose", None):
        with pytest.raises(ConfigError, match=r"the model's classes: person, bicycle") as caught:
            build(**options, face_class=wrong)
        assert "face" in str(caught.value)


def test_nobody_names_the_classes(new: Path, published: Path, torch: Any, tmp_path: Path) -> None:
    overrides = {
        "test_dataloader.dataset.type": "BaseDetDataset",
        "test_dataloader.dataset.metainfo": None,
    }
    options = {"config": new, "weights": published, "overrides": overrides}
    assert build(**options).class_names == ("face",)
    bare = tmp_path / "bare.pth"
    torch.save(torch.load(published)["state_dict"], bare)
    with pytest.raises(ConfigError, match="give classes="):
        build(**{**options, "weights": bare})


# Results by hand.


def test_keypoints_are_passed_on(new: Path, published: Path, torch: Any) -> None:
    from mmengine.structures import InstanceData

    detector = build(config=new, weights=published, score_threshold=0.2)
    boxes = torch.tensor([[0.0, 0, 9, 9], [1, 1, 5, 5], [2, 2, 8, 8], [3, 3, 4, 4]])
    labels, scores = torch.tensor([0, 1, 0, 0]), torch.tensor([0.3, 0.9, 0.8, 0.1])
    points = torch.arange(16.0).reshape(4, 2, 2)
    found = InstanceData(bboxes=boxes, labels=labels, scores=scores, keypoints=points)
    got = detector._to_detections(found, (10, 10))
    assert got.boxes[:, 0].tolist() == [2, 0]
    assert got.keypoints[0].tolist() == [[8, 9, 1], [10, 11, 1]]
    found.keypoint_scores = torch.full((4, 2), 0.25)
    assert detector._to_detections(found, (10, 10)).keypoints[0, 1].tolist() == [10, 11, 0.25]
    found.keypoints = torch.cat([points, points[..., :1] * 0 + 0.5], dim=-1)
    del found.keypoint_scores
    assert detector._to_detections(found, (10, 10)).keypoints[1, 0].tolist() == [0, 1, 0.5]
    none = InstanceData(bboxes=boxes[:0], labels=labels[:0], scores=scores[:0])
    assert len(detector._to_detections(none, (10, 10))) == 0
    turned = InstanceData(bboxes=torch.ones(1, 5), labels=labels[:1], scores=scores[:1])
    with pytest.raises(BackendError, match=r"boxes of shape \(1, 5\)"):
        detector._to_detections(turned, (10, 10))


def test_a_model_without_boxes(predictor: Any) -> None:
    from mmdet.structures import DetDataSample

    with pytest.raises(BackendError, match="answers without boxes"):
        predictor.instances(DetDataSample())


def test_mmdets_failures_are_backend_errors(new: Path, published: Path, astronaut: Image) -> None:
    overrides = {"model.test_cfg.nms.type": "soft_nms", "model.test_cfg.nms.offset": 0}
    detector = build(config=new, weights=published, overrides=overrides)
    with pytest.raises(BackendError, match="op 'softnms', which is missing: install an mmcv"):
        detector.detect([astronaut])


# What is refused.


def test_weights_of_another_model(
    new: Path, published: Path, weights: Any, torch: Any, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="weights of another model than the config's: 4 of an"):
        build(config=new, weights=weights(SSD))
    stored = torch.load(published)
    more, wide, less = (tmp_path / f"{name}.pth" for name in ("more", "wide", "less"))
    state = dict(stored["state_dict"])
    torch.save({**stored, "state_dict": {**state, "ema.w": torch.ones(1)}}, more)
    with pytest.raises(WeightsError, match=r"no place for \(ema\.w\); strict=false ignores"):
        build(config=new, weights=more)
    assert build(config=new, weights=more, strict=False).class_names == ("face",)
    name = "backbone.bn_first.weight"
    torch.save({**stored, "state_dict": {**state, name: torch.ones(4)}}, wide)
    torch.save({**stored, "state_dict": {"backbone.bn_first.weight": torch.ones(3)}}, less)
    with pytest.raises(WeightsError, match=r" missing \(.*give the config that they were trained"):
        build(config=new, weights=less, strict=False)
    with pytest.raises(WeightsError, match=r"1 of another shape \(size mismatch for backbone\.bn"):
        build(config=new, weights=wide)


def test_old_configs_are_told_the_way_out(
    old_mmdet_config: Path, tmp_path: Path, published: Path
) -> None:
    first, second = tmp_path / "old1.py", tmp_path / "old2.py"
    first.write_text(old_mmdet_config.read_text())
    with pytest.raises(ConfigError, match=r"MMDetection 1\.x: 'facekit mmdet migrate OLD.py NEW"):
        build(config=first, weights=published)
    second.write_text("model = dict(type='A')\ndata = dict(samples_per_gpu=2)")
    with pytest.raises(ConfigError, match=r"a config of MMDetection 2\.x: "):
        build(config=second, weights=published)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1", "has no 'model'"),
        ("model = dict(type='A')", "has no 'test_dataloader'"),
        ("model = ", "not a config that mmengine loads: SyntaxError"),
        ("_base_ = 'none.py'", "not a config that mmengine loads: "),
        (
            "model = dict(type='Nose')\ntest_dataloader = dict()",
            "no class 'Nose' is registered .*custom_imports",
        ),
        (
            "model = dict(type='SingleStageDetector')\ntest_dataloader = dict()",
            "its model cannot be built: TypeError",
        ),
        (
            "model = dict(type='ResNet', depth=18)\ntest_dataloader = dict()",
            "its 'model' is a ResNet, which detects nothing",
        ),
    ],
)
def test_other_configs(text: str, message: str, tmp_path: Path, published: Path) -> None:
    (tmp_path / "c.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        build(config=tmp_path / "c.py", weights=published)


def test_options(new: Path, published: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="config"):
        build(weights=published)
    with pytest.raises(ConfigError, match="no such config, neither as a file nor below"):
        build(config="none.py", weights=published)
    with pytest.raises(ConfigError, match="a config is one of"):
        build(config=published, weights=published)
    with pytest.raises(WeightsError, match="no such file"):
        build(config=new, weights=tmp_path / "none.pth")
    with pytest.raises(ConfigError, match="device 'nose' cannot be used"):
        build(config=new, weights=published, device="nose")
    for step, message in (({"type": "Nose"}, "no class 'Nose'"), ({"a": 1}, "its test pipeline")):
        overrides = {"test_dataloader.dataset.pipeline.1": step}
        with pytest.raises(ConfigError, match=message):
            build(config=new, weights=published, overrides=overrides)


def test_a_missing_package_is_named(predictor: Any) -> None:
    error = predictor._unbuildable(Path("c.py"), "model", ModuleNotFoundError("x", name="imgaug"))
    assert isinstance(error, MissingDependencyError)
    assert isinstance(error, FacekitError)
    assert 'pip install "facekit[mmdet]"' in str(error)


# Code in configs.


@pytest.mark.usefixtures("new")
def test_code_in_a_config_is_warned_about_before_it_runs(published: Path, tmp_path: Path) -> None:
    from facekit.mmlab.configs import ConfigCodeWarning

    mark, config = tmp_path / "ran", tmp_path / "code.py"
    config.write_text(f"_base_ = 'new.py'\nfrom pathlib import Path\nPath({str(mark)!r}).touch()\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConfigCodeWarning)
        with pytest.raises(FacekitError, match=r"code\.py: this config runs code .*line 2: an imp"):
            build(config=config, weights=published)
    assert not mark.exists()


@pytest.mark.usefixtures("new")
def test_code_that_a_config_inherits_is_warned_about(published: Path, tmp_path: Path) -> None:
    from facekit.mmlab.configs import ConfigCodeWarning

    (tmp_path / "base.py").write_text(
        "_base_ = ['new.py']\nside = max(len('ab'), int('3'))\nimport os"
    )
    (tmp_path / "c.py").write_text("_base_ = ['./base.py']\nx = _base_.side")
    with pytest.warns(ConfigCodeWarning, match=r"base\.py: this config runs code"):
        build(config=tmp_path / "c.py", weights=published)


def test_what_is_built_by_its_path_is_warned_about(new: Path, published: Path) -> None:
    from facekit.mmlab.configs import ConfigCodeWarning

    overrides = {"visualizer": {"type": "subprocess.Popen"}, "a": [{"type": "torch.optim.SGD"}]}
    with pytest.warns(ConfigCodeWarning, match=r"builds subprocess\.Popen, which is neither"):
        build(config=new, weights=published, overrides=overrides)


def test_json_configs(
    new: Path, published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from mmengine.config import Config

    Config.fromfile(new).dump(tmp_path / "c.json")
    with caplog.at_level(logging.WARNING):
        detector = build(config=tmp_path / "c.json", weights=published)
    assert detector.class_names == ("face",)
