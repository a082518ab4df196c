"""Detectron2's R-CNNs: its own recorded answers, its checkpoints' forms, the adapter's options."""

from __future__ import annotations

import os
import pickle
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import ConfigError, WeightsError

GOLDEN = Path(__file__).parent / "golden"
SEEDED = runpy.run_path(str(GOLDEN / "mask_rcnn_seeded.py"))

Photo = npt.NDArray[np.uint8]
Files = dict[str, Path]
PREDICTOR = "roi_heads.box_predictor"


@pytest.fixture(scope="module")
def torch(require: Callable[[str], ModuleType]) -> ModuleType:
    require("torchvision")
    require("safetensors")
    return require("torch")


@pytest.fixture(scope="module")
def arrays(torch: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The narrow network's seeded weights, by Detectron2's names."""
    assert torch is not None
    from facekit.detectors._mask_rcnn_config import read_config
    from facekit.networks.mask_rcnn import MaskRCNN

    config = tmp_path_factory.mktemp("config") / "narrow.yaml"
    config.write_text(SEEDED["CONFIG"])
    state = MaskRCNN(read_config(config).settings()).state_dict()
    drawn: dict[str, Any] = SEEDED["weights"]({key: value.shape for key, value in state.items()})
    return drawn


@pytest.fixture(scope="module")
def files(arrays: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Files:
    shapes = {key: value.shape for key, value in arrays.items()}
    written: Files = SEEDED["write"](tmp_path_factory.mktemp("files"), shapes)
    return written


@pytest.fixture
def photo(astronaut: Photo) -> Photo:
    return astronaut[:300, 60:460]


def build(files: Files, **options: Any) -> Any:
    return facekit.create_detector("mask_rcnn", **{**files, **options})


def dump(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    return path


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    with np.load(GOLDEN / "mask_rcnn_astronaut.npz") as file:
        return dict(file)


def test_boxes_scores_classes_and_masks_are_detectron2s(
    files: Files, photo: Photo, recorded: dict[str, Any]
) -> None:
    (found,) = build(files).detect([photo])
    np.testing.assert_allclose(found.boxes, recorded["boxes"], rtol=0, atol=0.01)
    np.testing.assert_allclose(found.scores, recorded["scores"], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.class_ids, recorded["classes"])
    assert len(set(recorded["classes"].tolist())) > 1
    masks = np.unpackbits(recorded["masks"], axis=2).astype(bool)
    assert len(found.masks) == len(masks)
    for got, want in zip(found.masks, masks, strict=True):
        pixels = got.to_mask()
        assert (pixels & want).sum() >= 0.999 * (pixels | want).sum()
    assert masks.any(axis=(1, 2)).all()


def test_fast_boxes_and_masks_are_detectron2s(
    files: Files, photo: Photo, recorded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # For the whole process, which other tests share.
    monkeypatch.setattr("facekit.engines.torch.keep_memory", lambda: None)
    # The recorded network and its maps are too small for it.
    for least in ("_LEAST_CHANNELS", "_LEAST_TILES"):
        monkeypatch.setattr(f"facekit.networks.winograd.{least}", 1)
    detector = build(files, fast=True)
    (found,) = detector.detect([photo])
    np.testing.assert_allclose(found.boxes, recorded["boxes"], rtol=0, atol=0.01)
    np.testing.assert_allclose(found.scores, recorded["scores"], rtol=0, atol=1e-4)
    masks = np.unpackbits(recorded["masks"], axis=2).astype(bool)
    for got, want in zip(found.masks, masks, strict=True):
        pixels = got.to_mask()
        assert (pixels & want).sum() >= 0.999 * (pixels | want).sum()
    convs = [one for one in detector.run.network.modules() if hasattr(one, "_conv_forward")]
    used = [one for one in convs if "_conv_forward" in vars(one) and one._conv_forward._kernels]
    # All that are not in groups: four of the pyramid, the proposals', four of the masks.
    assert len(used) == 9


def test_fast_is_pytorchs_on_a_cpu(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fast is for CPUs: leave it out on device 'cuda'"):
        build(files, fast=True, device="cuda")
    exported = tmp_path / "faces.onnx"
    exported.touch()
    with pytest.raises(ConfigError, match="no `config`, no `device`, no `fast`"):
        facekit.create_detector("mask_rcnn", weights=exported, fast=True)


def test_proposals_are_detectron2s(
    torch: Any, files: Files, photo: Photo, recorded: dict[str, Any]
) -> None:
    detector = build(files)
    with torch.inference_mode():
        images = [torch.from_numpy(detector._input.prepare(photo))]
        network = detector.run.network
        (found,) = network.propose(network.features(images), images)
    count = len(recorded["logits"])
    np.testing.assert_allclose(found.boxes[:count], recorded["proposals"], rtol=0, atol=0.01)
    np.testing.assert_allclose(found.logits[:count], recorded["logits"], rtol=0, atol=1e-4)


def test_a_batch_of_mixed_sizes_gives_what_one_by_one_gives(files: Files, photo: Photo) -> None:
    images = [photo, photo[:, ::-1].copy(), photo[:200], photo[:, :150]]
    detector = build(files, batch_size=4)
    together = detector.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert len(found) > 0
        np.testing.assert_allclose(found.boxes, alone.boxes, rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.scores, alone.scores, rtol=0, atol=1e-5)
        assert found.masks is not None


@pytest.mark.parametrize("suffix", ["pth", "bare.pth", "safetensors"])
def test_the_forms_of_a_checkpoint(
    torch: ModuleType, arrays: dict[str, Any], files: Files, tmp_path: Path, suffix: str
) -> None:
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        import safetensors.torch

        safetensors.torch.save_file(tensors, path)
    elif suffix == "bare.pth":
        torch.save(tensors, path)
    else:
        # As the trainer writes it, and as old versions did, with constants among the weights.
        old = {
            "pixel_mean": torch.zeros(3, 1, 1),
            "pixel_std": torch.ones(3, 1, 1),
            "proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(3, 4),
        }
        extra = {"optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "iteration": 9}
        torch.save({"model": {**tensors, **old}, **extra}, path)
    want = build(files).run.network.state_dict()
    got = build(files, weights=path).run.network.state_dict()
    assert all(torch.equal(got[key], value) for key, value in want.items())


def test_names_are_matched_by_their_ends_where_the_zoo_asks_for_it(
    torch: ModuleType, arrays: dict[str, Any], files: Files, tmp_path: Path
) -> None:
    def short(key: str) -> str:
        return key.removeprefix("backbone.bottom_up.").removeprefix("backbone.")

    named = {short(key): value for key, value in arrays.items()}
    zoo = {"model": {**named, "linear.weight": np.zeros((2, 2))}, "__author__": "somebody"}
    with pytest.raises(WeightsError, match=r"weights of another network: .* missing"):
        build(files, weights=dump(tmp_path, zoo))
    detector = build(files, weights=dump(tmp_path, zoo | {"matching_heuristics": True}))
    want = build(files).run.network.state_dict()
    got = detector.run.network.state_dict()
    assert all(torch.equal(got[key], value) for key, value in want.items())


_TO_CAFFE2 = (
    ("backbone.bottom_up.", ""),
    ("shortcut", "branch1"),
    ("conv1", "branch2a"),
    ("conv2", "branch2b"),
    ("conv3", "branch2c"),
)
_LAYERS_TO_CAFFE2 = {
    "backbone.bottom_up.stem.conv1": "conv1",
    "proposal_generator.rpn_head.conv": "conv_rpn_fpn2",
    "proposal_generator.rpn_head.objectness_logits": "rpn_cls_logits_fpn2",
    "proposal_generator.rpn_head.anchor_deltas": "rpn_bbox_pred_fpn2",
    "roi_heads.box_head.fc1": "fc6",
    "roi_heads.box_head.fc2": "fc7",
    "roi_heads.box_predictor.cls_score": "cls_score",
    "roi_heads.box_predictor.bbox_pred": "bbox_pred",
    "roi_heads.mask_head.deconv": "conv5_mask",
    "roi_heads.mask_head.predictor": "mask_fcn_logits",
}


def caffe2_name(key: str) -> str:
    """Detectron's name for an array, as its model zoo has them."""
    layer, _, kind = key.rpartition(".")
    end = {"weight": "w", "bias": "b"}[kind]
    if layer in _LAYERS_TO_CAFFE2:
        return f"{_LAYERS_TO_CAFFE2[layer]}_{end}"
    if "mask_fcn" in layer:
        return f"_[mask]_fcn{layer[-1]}_{end}"
    if "fpn_" in layer:
        stage, middle = layer[-1], "lateral_" if "lateral" in layer else ""
        return f"fpn_{'inner_' if middle else ''}res{stage}_2_sum_{middle}{end}"
    if ".norm" in layer:
        end = {"w": "s", "b": "b"}[end]
        key = f"{layer.removesuffix('.norm')}_bn."
        if "stem" in key:
            return f"res_conv1_bn_{end}"
    else:
        key = f"{layer}."
    for ours, theirs in _TO_CAFFE2:
        key = key.replace(ours, theirs)
    return key.replace(".", "_") + end


def test_caffe2s_names_and_order_of_classes(
    torch: ModuleType, arrays: dict[str, Any], files: Files, tmp_path: Path
) -> None:
    blobs: dict[str, Any] = {}
    for key, value in arrays.items():
        if key.rpartition(".")[2] in {"running_mean", "running_var"}:
            continue
        background = np.full_like(value[:1], 7)
        if "cls_score" in key:
            value = np.concatenate([value[-1:], value[:-1]])  # noqa: PLW2901 - reordered
        elif "bbox_pred" in key:
            value = np.concatenate([*[background] * 4, value])  # noqa: PLW2901 - with background
        elif "mask_head.predictor" in key:
            value = np.concatenate([background, value])  # noqa: PLW2901 - with background
        blobs[caffe2_name(key)] = value
    blobs |= {f"{name}_momentum": value for name, value in list(blobs.items())[:3]}
    path = dump(tmp_path, {"blobs": blobs, "cfg": "a text"})
    got = build(files, weights=path).run.network.state_dict()
    for key, value in arrays.items():
        want = torch.from_numpy(value)
        if key.endswith("running_mean"):
            want = torch.zeros_like(want)
        elif key.endswith("running_var"):
            want = torch.ones_like(want)
        assert torch.equal(got[key], want), key


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch proof",)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (
            {"model": {"a": _Evil()}, "__author__": "x"},
            r"weights\.pkl: refused: it asks for .*system",
        ),
        ([1, 2], "expected a dict, got list"),
        ({"model": [], "__author__": "x"}, "holds no weights by name"),
        ({"model": {"a": 1}, "__author__": "x"}, "holds no arrays by name"),
        ({"model": {"a": np.zeros(3)}, "__author__": "x"}, "weights of another network"),
    ],
)
def test_what_is_no_checkpoint_is_refused(
    files: Files, tmp_path: Path, value: object, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=word):
        build(files, weights=dump(tmp_path, value))
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("data", [b"", b"garbage"])
def test_a_damaged_pickle(files: Files, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.pkl").write_bytes(data)
    with pytest.raises(WeightsError, match="damaged, or not a pickle"):
        build(files, weights=tmp_path / "w.pkl")


def test_another_number_of_classes_is_told(files: Files, tmp_path: Path) -> None:
    config = tmp_path / "one.yaml"
    config.write_text(f'_BASE_: "{files["config"]}"\nMODEL: {{ROI_HEADS: {{NUM_CLASSES: 1}}}}\n')
    with pytest.raises(WeightsError, match=r"has 8 classes, but .*NUM_CLASSES is 1"):
        build(files, config=config)


def test_without_masks_the_boxes_stay(files: Files, photo: Photo, tmp_path: Path) -> None:
    config = tmp_path / "faster.yaml"
    config.write_text(f'_BASE_: "{files["config"]}"\nMODEL: {{MASK_ON: False}}\n')
    (whole,) = build(files).detect([photo])
    (found,) = build(files, config=config).detect([photo])
    assert found.masks is None
    np.testing.assert_array_equal(found.boxes, whole.boxes)


def test_one_class_is_kept_by_name_or_number(files: Files, photo: Photo) -> None:
    names = tuple("abcdefgh")
    (whole,) = build(files).detect([photo])
    assert build(files).class_names == tuple("01234567")
    common = int(np.bincount(whole.class_ids).argmax())
    for wanted in (common, names[common]):
        (found,) = build(files, class_names=names, face_class=wanted).detect([photo])
        assert found == whole[whole.class_ids == common]
        assert len(found) < len(whole)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"face_class": 8}, "face_class 8 is none of the 8 classes"),
        ({"face_class": "face"}, "face_class 'face' is none of the 8 classes"),
        ({"class_names": ("face",)}, r"class_names has 1 names, but .*NUM_CLASSES is 8"),
        ({"device": "gpu"}, "device 'gpu' is none of PyTorch's"),
        ({"config": "missing.yaml"}, "missing.yaml: No such file"),
    ],
)
def test_options_that_do_not_fit(files: Files, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        build(files, **options)


def test_the_threshold_is_the_configurations_unless_given(files: Files, photo: Photo) -> None:
    detector = build(files)
    assert detector.score_threshold == 0.05
    (whole,) = detector.detect([photo])
    middle = float(np.median(whole.scores))
    strict = build(files, score_threshold=middle)
    assert strict.score_threshold == middle
    (found,) = strict.detect([photo])
    assert found == whole[whole.scores > middle]


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ((480, 640), (192, 256)),
        ((640, 480), (256, 192)),
        ((100, 1000), (32, 320)),
        ((1, 999), (1, 320)),
    ],
)
def test_the_shorter_side_is_scaled_within_the_limit(
    files: Files, shape: tuple[int, int], want: tuple[int, int]
) -> None:
    assert build(files)._input.size(*shape) == want
    assert build(files, min_size=0)._input.size(*shape) == shape
