"""Detectron2's R-CNNs as one ONNX file: what it finds, and that it needs no PyTorch."""

from __future__ import annotations

import importlib
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit.errors import BackendError, ConfigError, OutputError, WeightsError
from facekit.export import export
from facekit.export.whole import compare_found
from facekit.masks import RleMask
from facekit.types import Detections

GOLDEN = Path(__file__).parent / "golden"
SEEDED = runpy.run_path(str(GOLDEN / "mask_rcnn_seeded.py"))

Photo = npt.NDArray[np.uint8]
Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(require: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The narrow network's seeded weights and configuration."""
    for package in ("torch", "torchvision", "safetensors", "onnxscript"):
        require(package)
    from facekit.detectors._mask_rcnn_config import read_config
    from facekit.networks.mask_rcnn import MaskRCNN

    folder = tmp_path_factory.mktemp("seeded")
    config = folder / "shapes.yaml"
    config.write_text(SEEDED["CONFIG"])
    state = MaskRCNN(read_config(config).settings()).state_dict()
    written: Files = SEEDED["write"](folder, {key: one.shape for key, one in state.items()})
    return written


@pytest.fixture(scope="module")
def traced_once(files: Files) -> Iterator[None]:
    """Tracing takes half a minute: every export of these tests shares the parts."""
    graph: Any = importlib.import_module("facekit.detectors._mask_rcnn_graph")
    assert files
    parts: dict[str, Any] = {}
    traced_parts = graph.traced_parts

    def once(*arguments: Any) -> dict[str, Any]:
        if not parts:
            parts.update(traced_parts(*arguments))
        return parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "traced_parts", once)
        yield


@pytest.fixture(scope="module")
def exported(files: Files, traced_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - asks for it
    path = tmp_path_factory.mktemp("exported") / "narrow.onnx"
    report = export("mask_rcnn", files["weights"], path, config=files["config"])
    assert set(report.differences) == {"boxes", "scores", "masks"}
    assert "120 found" in str(report)
    return path


@pytest.fixture
def photo(astronaut: Photo) -> Photo:
    return astronaut[:300, 60:460]


def close(found: Detections, want: Detections) -> None:
    assert len(found) == len(want) > 0
    np.testing.assert_allclose(found.boxes, want.boxes, rtol=0, atol=0.01)
    np.testing.assert_allclose(found.scores, want.scores, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.class_ids, want.class_ids)


def test_it_answers_as_detectron2_does(exported: Path, photo: Photo) -> None:
    with np.load(GOLDEN / "mask_rcnn_astronaut.npz") as file:
        recorded = dict(file)
    (found,) = facekit.create_detector("mask_rcnn", weights=exported).detect([photo])
    np.testing.assert_allclose(found.boxes, recorded["boxes"], rtol=0, atol=0.01)
    np.testing.assert_allclose(found.scores, recorded["scores"], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.class_ids, recorded["classes"])
    masks = np.unpackbits(recorded["masks"], axis=2).astype(bool)
    assert found.masks is not None
    for got, want in zip(found.masks, masks, strict=True):
        pixels = got.to_mask()
        assert (pixels & want).sum() >= 0.999 * (pixels | want).sum()


def test_sizes_thresholds_and_classes_are_free(exported: Path, files: Files, photo: Photo) -> None:
    photos = [photo, np.ascontiguousarray(photo[:, 150:290])]
    for options in ({}, {"min_size": 130, "max_size": 200}, {"score_threshold": 0.2}):
        want = facekit.create_detector("mask_rcnn", **files, **options).detect(photos)
        got = facekit.create_detector("mask_rcnn", weights=exported, **options).detect(photos)
        for one, other in zip(got, want, strict=True):
            close(one, other)
    (whole,) = facekit.create_detector("mask_rcnn", weights=exported).detect([photo])
    assert whole.class_ids is not None
    common = int(np.bincount(whole.class_ids).argmax())
    (some,) = facekit.create_detector("mask_rcnn", weights=exported, face_class=common).detect(
        [photo]
    )
    assert 0 < len(some) < len(whole)
    assert some.class_ids is not None
    assert set(some.class_ids) == {common}


def test_nothing_found_is_no_error(exported: Path, photo: Photo) -> None:
    (none,) = facekit.create_detector("mask_rcnn", weights=exported, score_threshold=1).detect(
        [photo]
    )
    assert none.boxes.shape == (0, 4)


_WITHOUT = """
import json, sys
for name in ("torch", "torchvision", "safetensors"):
    sys.modules[name] = None
import facekit, skimage.data
from facekit.errors import MissingDependencyError
photo = skimage.data.astronaut()[:300, 60:460]
(found,) = facekit.create_detector("mask_rcnn", weights=sys.argv[1]).detect([photo])
try:
    facekit.create_detector("mask_rcnn", weights=sys.argv[2], config=sys.argv[3])
except MissingDependencyError as error:
    print(json.dumps([found.boxes.tolist(), str(error)]))
"""


def test_pytorch_is_not_needed(exported: Path, files: Files, photo: Photo) -> None:
    arguments = [str(exported), str(files["weights"]), str(files["config"])]
    answer = subprocess.run(
        [sys.executable, "-c", _WITHOUT, *arguments], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    boxes, message = json.loads(answer.stdout)
    (want,) = facekit.create_detector("mask_rcnn", weights=exported).detect([photo])
    np.testing.assert_allclose(boxes, want.boxes, rtol=0, atol=1e-3)
    assert 'pip install "facekit[mask_rcnn]"' in message


def test_without_masks(
    exported: Path, files: Files, photo: Photo, tmp_path: Path, astronaut_path: Path
) -> None:
    config = tmp_path / "boxes.yaml"
    config.write_text(files["config"].read_text().replace("MASK_ON: True", "MASK_ON: False"))
    path = tmp_path / "boxes.onnx"
    report = export("mask_rcnn", files["weights"], path, config=config, photo=astronaut_path)
    assert set(report.differences) == {"boxes", "scores"}
    assert str(astronaut_path) in str(report)
    (found,) = facekit.create_detector("mask_rcnn", weights=path).detect([photo])
    (with_masks,) = facekit.create_detector("mask_rcnn", weights=exported).detect([photo])
    close(found, with_masks)
    assert found.masks is None


def test_what_cannot_be_exported(exported: Path, files: Files, tmp_path: Path) -> None:
    out, source = tmp_path / "out.onnx", files["weights"]
    config = files["config"]
    with pytest.raises(OutputError, match=r"exported to \.onnx alone"):
        export("mask_rcnn", source, tmp_path / "out.xml", config=config)
    with pytest.raises(ConfigError, match="does not hold its own configuration"):
        export("mask_rcnn", source, out)
    with pytest.raises(ConfigError, match="exported whole, in 32 bits"):
        export("mask_rcnn", source, out, config=config, weights_bits=8)
    with pytest.raises(ConfigError, match="tiny_ssd: its weights need no `config`"):
        export("tiny_ssd", None, out, config=config)
    with pytest.raises(WeightsError, match="from a checkpoint, not from a graph"):
        export("mask_rcnn", exported, out)
    with pytest.raises(BackendError, match="not written: largest difference"):
        export("mask_rcnn", source, out, config=config, tolerance=0)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_an_exported_file(
    exported: Path, files: Files, require: Callable[[str], Any], tmp_path: Path
) -> None:
    onnx = require("onnx")
    for options in ({"config": files["config"]}, {"device": "cuda"}):
        with pytest.raises(ConfigError, match="has its configuration within"):
            facekit.create_detector("mask_rcnn", weights=exported, **options)
    model = onnx.load(exported)
    del model.metadata_props[:]
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="does not hold its configuration"):
        facekit.create_detector("mask_rcnn", weights=bare)
    other = Path(__file__).parents[1] / "data" / "networks" / "pooled.onnx"
    with pytest.raises(WeightsError, match="weights of another network"):
        facekit.create_detector("mask_rcnn", weights=other)


def made(boxes: Any, scores: Any, classes: Any = None, corner: int = 0) -> Detections:
    pixels = np.zeros((50, 100), dtype=bool)
    pixels[:5, corner : corner + 10] = True
    return Detections(
        boxes=np.array(boxes, dtype=np.float32),
        scores=np.array(scores, dtype=np.float32),
        image_size=(50, 100),
        class_ids=None if classes is None else np.array(classes),
        masks=tuple(RleMask.from_mask(pixels) for _ in boxes),
    )


def test_how_far_apart_two_findings_are() -> None:
    one, two = [0, 0, 10, 10], [20, 0, 40, 40]
    want = made([one, two], [0.9, 0.8], [0, 1])
    assert compare_found([want], [want]) == {"boxes": 0, "scores": 0, "masks": 0}
    # Another order, as equal scores may have.
    swapped = made([two, one], [0.8, 0.8], [1, 0])
    assert compare_found([want], [swapped])["boxes"] == 0
    assert compare_found([want], [swapped])["scores"] == pytest.approx(0.1)
    moved = made([[0, 0, 10, 12], two], [0.9, 0.8], [0, 1], corner=1)
    found = compare_found([want], [moved])
    assert found["boxes"] == pytest.approx(0.02)
    assert found["masks"] == pytest.approx(10 / 5000)
    assert compare_found([want], [made([one], [0.9], [0])])["boxes"] == np.inf
    assert compare_found([made([one], [0.9], [0])], [want])["boxes"] == np.inf
    assert compare_found([want], [made([one, two], [0.9, 0.8], [0, 2])])["boxes"] == np.inf
