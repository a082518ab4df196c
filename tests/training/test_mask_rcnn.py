"""The recipe ``mask_rcnn``: Detectron2's losses, what is shown, and a run to its checkpoint."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from facekit import create_detector
from facekit.errors import ConfigError, OutputError, WeightsError
from facekit.images import write

Image = npt.NDArray[np.uint8]
HERE = Path(__file__).parent
RECORD = HERE / "golden" / "record_mask_rcnn_losses.py"
STORED = json.loads((HERE / "golden" / "mask_rcnn_losses.json").read_text())
SEEDED = runpy.run_path(str(HERE.parent / "detectors" / "golden" / "mask_rcnn_seeded.py"))
FACE = (180, 66, 271, 178)
# As of the record, whose module imports Detectron2.
FACES = [[(100.0, 60.0, 205.0, 186.0), (10.0, 150.0, 60.0, 230.0)], [(52.5, 20.25, 150.0, 150.0)]]
CROPS = [(0, 80), (40, 130)]
MODEL = {
    "MODEL": {
        "RESNETS": {
            "NORM": "BN",
            "STEM_OUT_CHANNELS": 8,
            "WIDTH_PER_GROUP": 4,
            "RES2_OUT_CHANNELS": 16,
        },
        "FPN": {"OUT_CHANNELS": 16},
        "ANCHOR_GENERATOR": {"SIZES": [[8], [16], [32], [64], [128]]},
        "RPN": {"PRE_NMS_TOPK_TEST": 100, "POST_NMS_TOPK_TEST": 50},
        "ROI_HEADS": {"SCORE_THRESH_TEST": 0.02},
        "ROI_BOX_HEAD": {"FC_DIM": 32},
        "ROI_MASK_HEAD": {"CONV_DIM": 8, "NUM_CONV": 1},
    },
    "INPUT": {"MIN_SIZE_TEST": 96, "MAX_SIZE_TEST": 128},
}


def ellipse(box: tuple[float, ...]) -> npt.NDArray[np.float32]:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x1, y1, x2, y2 = box
    x = (x1 + x2) / 2 + np.cos(turn) * (x2 - x1) / 2
    y = (y1 + y2) / 2 + np.sin(turn) * (y2 - y1) / 2
    return np.stack([x, y], axis=1).astype(np.float32)


@pytest.fixture
def data(training: None, tmp_path: Path, astronaut: Image) -> str:  # noqa: ARG001 - asks for the packages
    """COCO of four photos of one face with its outline, in four sizes."""
    import cv2

    images, annotations = [], []
    for number, scale in enumerate((0.25, 0.3, 0.4, 0.5), start=1):
        small = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        name = f"{number}.png"
        write(tmp_path / name, np.asarray(small, np.uint8))
        x1, y1, x2, y2 = (side * scale for side in FACE)
        side = small.shape[0]
        images.append({"id": number, "file_name": name, "height": side, "width": side})
        outline = ellipse((x1, y1, x2, y2)).ravel().tolist()
        box = [x1, y1, x2 - x1, y2 - y1]
        common = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        annotations.append({**common, "bbox": box, "area": 1, "segmentation": [outline]})
    whole = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "face"}],
    }
    (tmp_path / "faces.json").write_text(json.dumps(whole))
    return f"coco:{tmp_path / 'faces.json'}"


@pytest.fixture
def values(data: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "recipe": "mask_rcnn",
        "data": [{"data": data}],
        "held_out": 0,
        "model": MODEL,
        "frozen_stages": 0,
        "sizes": [96],
        "longest": 128,
        "sampling": {"anchors": 64, "regions": 32, "before_nms": 60, "after_nms": 30},
        "epochs": 2,
        "repeat": 2,
        "batch_size": 4,
        "workers": 0,
        "accelerator": "cpu",
        "sheets": False,
        "optimizer": {"name": "adamw", "lr": 0.003},
        "out": str(tmp_path / "run"),
    }


def recipe(values: dict[str, Any], **changes: Any) -> Any:
    from facekit.training.config import TrainConfig
    from facekit.training.mask_rcnn.options import MaskRCNNOptions
    from facekit.training.mask_rcnn.recipe import MaskRCNNRecipe

    config = TrainConfig.from_mapping({**values, **changes})
    return MaskRCNNRecipe(MaskRCNNOptions.model_validate(config.options))


def trained(values: dict[str, Any], *, resume: bool = False, **changes: Any) -> Any:
    from facekit.training import train

    return train({**values, **changes}, resume=resume)


def test_losses_and_gradients_are_detectron2s(training: None, astronaut: Image) -> None:  # noqa: ARG001 - asks for the packages
    import torch

    from facekit.detectors._mask_rcnn_config import parse_config
    from facekit.networks.mask_rcnn import MaskRCNN
    from facekit.training.mask_rcnn.losses import Sampling, Truth, losses

    config = yaml.safe_load(SEEDED["CONFIG"])
    config["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] = 1
    network = MaskRCNN(parse_config(config, "narrow").settings()).train()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    drawn = SEEDED["weights"](shapes)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in drawn.items()})
    images, truths = [], []
    for (top, left), faces in zip(CROPS, FACES, strict=True):
        crop = astronaut[top : top + 256, left : left + 256, ::-1].transpose(2, 0, 1)
        images.append(torch.from_numpy(crop.astype(np.float32)))
        outlines = tuple((ellipse(face),) for face in faces)
        truths.append(Truth(torch.tensor(faces), torch.zeros(0, 4), outlines))
    sampling = Sampling(anchors=200_000, regions=4_000, before_nms=300, after_nms=150)
    found = losses(network, images, truths, sampling)
    found["loss"].backward()
    names = {
        "score": "loss_cls",
        "box": "loss_box_reg",
        "rpn_score": "loss_rpn_cls",
        "rpn_box": "loss_rpn_loc",
    }
    for own, theirs in names.items():
        assert found[own].item() == pytest.approx(STORED["losses"][theirs], rel=1e-4), own
    # COCO's polygons are filled by another rule at their edges, so masks differ by a few cells.
    assert found["mask"].item() == pytest.approx(STORED["losses"]["loss_mask"], rel=0.02)
    parameters = dict(network.named_parameters())
    for name, norm in STORED["gradients"].items():
        gradient = parameters[name].grad
        assert gradient is not None
        rel = 0.03 if "mask" in name or "backbone" in name else 1e-3
        assert float(gradient.norm()) == pytest.approx(norm, rel=rel), name


def test_masks_are_nearly_detectron2s() -> None:
    from facekit.training.mask_rcnn.masks import rasterised

    cells = rasterised((ellipse(FACES[0][0]),), (90, 70, 180, 200), 28)
    assert np.abs(cells.sum(axis=1) - STORED["mask_rows"]).max() <= 1
    assert abs(int(cells.sum()) - sum(STORED["mask_rows"])) <= 10


def test_masks_take_several_polygons_and_turns() -> None:
    from facekit.training.mask_rcnn.masks import box_outline, rasterised

    left, right = (box_outline(np.array(box, np.float32)) for box in ((0, 0, 1, 4), (3, 0, 4, 4)))
    row = [True, False, False, True]
    assert rasterised((*left, *right), (0, 0, 4, 4), 4).tolist() == [row] * 4
    turned = (left[0][::-1].copy(),)
    np.testing.assert_array_equal(
        rasterised(turned, (0, 0, 4, 4), 4), rasterised(left, (0, 0, 4, 4), 4)
    )


def test_deltas_lead_from_box_to_face(training: None) -> None:  # noqa: ARG001 - asks for the packages
    import torch

    from facekit.networks.mask_rcnn_boxes import apply_deltas, deltas_between

    boxes = torch.tensor([[0.0, 0, 10, 20], [5, 5, 50, 30]])
    faces = torch.tensor([[2.0, 1, 9, 30], [5, 5, 50, 30]])
    weights = (10.0, 10.0, 5.0, 5.0)
    deltas = deltas_between(boxes, faces, weights)
    torch.testing.assert_close(apply_deltas(deltas, boxes, weights), faces)
    assert deltas[1].tolist() == [0, 0, 0, 0]


def test_matching(training: None) -> None:  # noqa: ARG001 - asks for the packages
    import torch

    from facekit.training.mask_rcnn.match import leave_out, match, sample

    faces = torch.tensor([[0.0, 0, 10, 10], [100, 100, 104, 104]])
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 5], [0, 0, 30, 30], [98, 98, 108, 108]])
    assert match(boxes, faces, (0.3, 0.7)).labels.tolist() == [1, -1, 0, 0]
    helped = match(boxes, faces, (0.3, 0.7), best_too=True)
    assert helped.labels.tolist() == [1, -1, 0, 1]
    assert helped.faces.tolist() == [0, 0, 0, 1]
    assert match(boxes, faces[:0], (0.3, 0.7), best_too=True).labels.tolist() == [0] * 4
    crowd = torch.tensor([[0.0, 0, 30, 20]])
    assert leave_out(helped.labels, boxes, crowd, 0.5).tolist() == [1, -1, -1, 1]
    labels = torch.tensor([1] * 50 + [0] * 50 + [-1] * 50)
    chosen, background = sample(labels, 40, 0.25)
    assert (len(chosen), len(background)) == (10, 30)
    assert set(labels[chosen].tolist()) == {1}
    assert set(labels[background].tolist()) == {0}
    few, filled = sample(labels[45:], 40, 0.25)
    assert (len(few), len(filled)) == (5, 35)
    assert len(set(filled.tolist())) == 35


def test_a_face_stays_on_its_pixels(values: dict[str, Any]) -> None:
    """Boxes, ignored ones and outlines go with the pixels, mirrored or not; blue comes first."""
    from facekit.training.detection.photos import Photo
    from facekit.training.keys import ItemKey
    from facekit.training.mask_rcnn.views import Views

    pixels = np.full((100, 200, 3), 60, np.uint8)
    pixels[20:60, 120:160] = (255, 0, 0)
    boxes = np.array([(120, 20, 160, 60), (0, 0, 10, 10)], np.float32)
    outlines = ((np.array([(120, 20), (160, 20), (140, 60)], np.float32),), ())
    photo = Photo("red", pixels, boxes, np.array([False, True]), outlines=outlines)
    options: dict[str, Any] = {"items": 8, "sizes": [50], "longest": 300, "bgr": True}
    views = Views([photo], np.ones(1), **options, flip=True, masks="polygons")
    seen = set()
    for index in range(8):
        view = views[ItemKey(0, 0, index)]
        assert view.planes.shape == (3, 50, 100)
        red = view.planes[2].astype(int) - view.planes[0] > 120
        rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        want = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(view.boxes, [want], atol=1)
        (outline,) = view.outlines
        assert outline is not None
        assert outline[0][:, 0].min() == view.boxes[0, 0]
        assert outline[0][2].tolist() == [view.boxes[0, [0, 2]].mean(), view.boxes[0, 3]]
        assert len(view.ignored) == 1
        seen.add(int(view.boxes[0, 0]))
    assert seen == {20, 60}
    del values  # asks for the packages


def test_photos_without_polygons_are_refused_unless_told(
    values: dict[str, Any], tmp_path: Path
) -> None:
    from facekit.training.keys import ItemKey

    whole = json.loads((tmp_path / "faces.json").read_text())
    for annotation in whole["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "faces.json").write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match="no face has a polygon: masks: off"):
        recipe(values)
    (outline,) = recipe(values, masks="boxes").train_items()[ItemKey(0, 0, 0)].outlines
    assert outline is not None
    assert len(outline[0]) == 4
    assert recipe(values, masks="off").network().roi_heads.mask_head is None


def test_it_learns_and_the_checkpoint_detects(
    values: dict[str, Any], astronaut: Image, tmp_path: Path
) -> None:
    import csv

    from facekit.training.mask_rcnn.release import release

    result = trained(values, epochs=12)
    with result.folder.log.open() as log:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(log)]
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert {"rpn_score", "rpn_box", "score", "box", "mask"} <= rows[0].keys()
    # The checkpoint knows its own configuration.
    detector = create_detector("mask_rcnn", weights=result.folder.last, score_threshold=0.01)
    (found,) = detector.detect([astronaut])
    assert found.image_size == (512, 512)
    assert found.masks is not None
    assert len(found)
    # So do the files for Detectron2.
    pth, config = release(result.folder.last, tmp_path / "released.pth")
    again = create_detector("mask_rcnn", weights=pth, config=config, score_threshold=0.01)
    assert again.detect([astronaut]) == [found]
    assert yaml.safe_load(config.read_text())["MODEL"]["WEIGHTS"] == str(pth)
    with pytest.raises(OutputError, match=r"reads \.pth"):
        release(result.folder.last, tmp_path / "released.pkl")
    with pytest.raises(WeightsError, match="does not hold its configuration"):
        release(pth, tmp_path / "other.pth")


def test_resume_goes_on_as_if_nothing_had_happened(
    values: dict[str, Any], difference: Callable[[Path, Path], float], tmp_path: Path
) -> None:
    # The schedule of a shorter run would be another.
    steady = {"schedule": {"kind": "constant", "warmup": 0}}
    whole = trained({**values, **steady}, epochs=4, out=str(tmp_path / "constant"))
    trained({**values, **steady}, epochs=2, out=str(tmp_path / "halves"))
    both = trained({**values, **steady}, epochs=4, out=str(tmp_path / "halves"), resume=True)
    assert both.step == whole.step == 8
    assert difference(whole.folder.last, both.folder.last) == 0


def test_measure_and_sheet(values: dict[str, Any]) -> None:
    result = trained(values, held_out=0.5, epochs=1, sheets=True)
    assert set(result.metrics) == {"ap50", "ap75", "ap"}
    assert list((result.folder.path / "sheets").glob("*.jpg"))


def test_perfect_answers_have_an_ap_of_one(values: dict[str, Any]) -> None:
    """Answers come back to each photo's own pixels, whatever its size."""
    import torch

    from facekit.detectors._mask_rcnn_images import Input
    from facekit.networks.mask_rcnn import Instances
    from facekit.training.mask_rcnn.measure import average_precisions, detect

    made = recipe(values, held_out=0.5)
    photos, size = made._held_out, Input(96, 128, bgr=True)
    face = torch.tensor([side * 96 / 512 for side in FACE])

    def knowing(images: Any) -> list[Instances]:
        answer = Instances(face[None], torch.ones(1), torch.zeros(1, dtype=torch.int64), None)
        return [answer for _ in images]

    network: Any = knowing
    found = detect(network, photos, torch.device("cpu"), size=size, batch_size=2)
    assert average_precisions(photos, found)["ap50"] == 1
    assert average_precisions(photos, found)["ap"] > 0.9


def test_a_head_of_other_classes_is_replaced(values: dict[str, Any], tmp_path: Path) -> None:
    import torch

    from facekit.detectors._mask_rcnn_config import FPN_BASE, laid_over, parse_config
    from facekit.networks.mask_rcnn import MaskRCNN

    of_coco = laid_over(laid_over(FPN_BASE, MODEL), {"MODEL": {"MASK_ON": True}})
    coco = MaskRCNN(parse_config(of_coco, "coco").settings())
    path = tmp_path / "coco.pth"
    torch.save({"model": coco.state_dict()}, path)
    started = recipe(values, weights=str(path)).network()
    state = started.state_dict()
    for name, value in coco.state_dict().items():
        if "predictor" in name:
            assert state[name].shape != value.shape or "mask_head" not in name
        else:
            torch.testing.assert_close(state[name], value, msg=name)
    assert started.roi_heads.box_predictor.cls_score.weight.std() < 0.02  # drawn anew
    # A trunk alone, as it comes from ImageNet.
    trunk = {name: value for name, value in coco.state_dict().items() if "bottom_up" in name}
    torch.save(trunk, path)
    state = recipe(values, weights=str(path)).network().state_dict()
    torch.testing.assert_close(
        state["backbone.bottom_up.stem.conv1.weight"], trunk[next(iter(trunk))]
    )
    torch.save({"something.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="another network"):
        recipe(values, weights=str(path)).network()


def test_frozen_stages_stay(values: dict[str, Any], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    first = trained(values, epochs=1, out=str(tmp_path / "first")).folder.last
    second = trained(values, epochs=1, weights=str(first), frozen_stages=2).folder.last
    before, after = load_file(first), load_file(second)
    for name, value in before.items():
        same = torch.equal(value, after[name])
        frozen = name.startswith(("backbone.bottom_up.stem", "backbone.bottom_up.res2"))
        assert same == frozen or "num_batches" in name, name


def test_bad_models_are_one_line(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="C4 model"):
        recipe(values, model={"MODEL": {"ROI_HEADS": {"NAME": "Res5ROIHeads"}}})
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        recipe(values, config="none.yaml")
    with pytest.raises(WeightsError, match=r"none\.pth"):
        recipe(values, weights="none.pth").network()


def test_the_tutorials_solver(training: None) -> None:  # noqa: ARG001 - asks for the packages
    from facekit.training.mask_rcnn.recipe import MaskRCNNRecipe
    from facekit.training.schedules import Clock, rate
    from facekit.training.sources import presets, read_config

    assert presets("mask_rcnn") == ["default", "narrow", "scratch", "tutorial"]
    for name in presets("mask_rcnn"):
        config = read_config(f"mask_rcnn:{name}")
        MaskRCNNRecipe.Options.model_validate({"data": [{"data": "coco:a"}], **config.options})
    config = read_config("mask_rcnn:tutorial")
    epoch = config.options["items"] // config.batch_size
    clock = Clock(config, epoch)
    assert (epoch, clock.total_steps, config.batch_size) == (500, 1500, 4)
    rates = [0.001 * rate(config.schedule, clock.progress(step), step) for step in (499, 999, 1001)]
    assert rates == pytest.approx([0.0005, 0.001, 0.00005], rel=2e-3)
    assert config.options["sampling"]["regions"] == 64
