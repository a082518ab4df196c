"""S3FD's decoding and detection against its upstreams' own, and the detector around them.

``golden/s3fd_astronaut.npz`` has what clcarwin's ``detect`` + ``nms(0.3)`` and face-alignment's
``SFDDetector`` find on a part of the astronaut, with weights drawn by name
(``golden/s3fd_seeded.py``); ``golden/record_s3fd.py`` ran them.
``tests/data/networks/s3fd_astronaut.onnx`` is a narrow S3FD that knows that one face.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import facekit
from facekit import boxes as box_maths
from facekit.detectors import _s3fd_maps as maps
from facekit.detectors import _s3fd_tiles as tiles
from facekit.detectors import _s3fd_views as looks
from facekit.detectors.s3fd import S3FD
from facekit.errors import BackendError, ConfigError, WeightsError
from facekit.protocols import Detector
from facekit.types import Detections

GOLDEN = Path(__file__).parent / "golden"
NETWORKS = Path(__file__).parents[1] / "data" / "networks"
WEIGHTS = NETWORKS / "s3fd_astronaut.onnx"

Image = npt.NDArray[np.uint8]
Require = Callable[[str], Any]


@pytest.fixture(scope="module")
def detector() -> S3FD:
    return build()


def build(**options: Any) -> S3FD:
    return S3FD(S3FD.Options(**{"weights": WEIGHTS, **options}))


def same(one: Detections, two: Detections, *, pixels: float = 1e-3, score: float = 1e-5) -> None:
    assert len(one) == len(two)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=pixels)
    np.testing.assert_allclose(one.scores, two.scores, atol=score)


# Against upstream's code.


@pytest.fixture(scope="module")
def seeded(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the published layout, as `torch.save` writes it."""
    torch = require("torch")
    require("safetensors")
    network = require("facekit.networks.s3fd").S3FD()
    draw = runpy.run_path(str(GOLDEN / "s3fd_seeded.py"))["weights"]
    drawn = draw({name: tensor.shape for name, tensor in network.state_dict().items()})
    path = tmp_path_factory.mktemp("s3fd") / "s3fd_convert.pth"
    torch.save({name: torch.from_numpy(array) for name, array in drawn.items()}, path)
    return path


@pytest.mark.parametrize(("upstream", "threshold"), [("clcarwin", 0.05), ("face_alignment", 0.5)])
def test_faces_are_upstreams(
    seeded: Path, astronaut: Image, upstream: str, threshold: float
) -> None:
    golden = np.load(GOLDEN / "s3fd_astronaut.npz")[upstream]
    detector = build(weights=seeded, score_threshold=threshold)
    (found,) = detector.detect([astronaut[:384, 100:420]])
    assert len(found) == len(golden) > 5
    np.testing.assert_allclose(found.scores, golden[:, 4], atol=1e-5)
    np.testing.assert_allclose(found.boxes, golden[:, :4], atol=1e-3)


def test_fast_faces_are_upstreams(
    seeded: Path, astronaut: Image, require: Require, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For the whole process, which other tests share.
    kept: list[bool] = []
    monkeypatch.setattr("facekit.engines.torch.keep_memory", lambda: kept.append(True))
    used = require("facekit.networks.winograd")
    golden = np.load(GOLDEN / "s3fd_astronaut.npz")["clcarwin"]
    detector: Any = build(weights=seeded, score_threshold=0.05, fast=True)
    convolutions = list(used.convolutions(detector._engine.network))
    assert kept == [True]
    assert len(convolutions) == 11
    assert convolutions[0].weight.stride()[1] == 1, "channels last"
    (found,) = detector.detect([astronaut[:384, 100:420]])
    assert len(found) == len(golden) > 5
    np.testing.assert_allclose(found.scores, golden[:, 4], atol=1e-4)
    np.testing.assert_allclose(found.boxes, golden[:, :4], atol=0.01)
    made: list[Any] = [one._conv_forward for one in convolutions]
    assert sum(bool(one._kernels) for one in made) > 5


# The maps.


@pytest.mark.parametrize("layout", ["s3fd", "dilated"])
@pytest.mark.parametrize("size", [(32, 32), (33, 71), (97, 135), (255, 40), (480, 640)])
def test_maps_are_as_large_as_the_networks(
    require: Require, layout: maps.Layout, size: tuple[int, int]
) -> None:
    torch = require("torch")
    networks = require("facekit.networks.s3fd")
    if layout == "dilated" and size == (480, 640):
        pytest.skip("its full width takes seconds")
    network = networks.S3FD(1 / 64) if layout == "s3fd" else networks.DilatedS3FD()
    with torch.inference_mode():
        found = [tuple(one.shape[2:]) for one, _ in network.maps(torch.zeros(1, 3, *size))]
    assert maps.map_shapes(*size, layout) == found


def test_known_cells() -> None:
    shapes = maps.map_shapes(64, 96, "s3fd")
    cells = sum(rows * columns for rows, columns in shapes)
    logits, deltas = np.zeros((cells, 2), np.float32), np.zeros((cells, 4), np.float32)
    logits[:, 1] = -9
    first_of = np.cumsum([0, *(rows * across for rows, across in shapes)])
    columns = shapes[0][1]
    # Row 2, column 3 of the first map, moved right by a tenth of its anchor and doubled in width;
    # the first cell of the second; row 1, column 0 of the last.
    chosen = [2 * columns + 3, first_of[1], first_of[5] + shapes[5][1]]
    logits[chosen] = [[0, 1], [0, 2], [0, 3]]
    deltas[chosen[0]] = [1, 0, np.log(2) / 0.2, 0]
    found = maps.decode(logits, deltas, shapes, 0.5)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-1, -2, -3])), atol=1e-6)
    np.testing.assert_allclose(
        found.boxes,
        np.array([[-0.4, 2, 31.6, 18], [-12, -12, 20, 20], [-192, -64, 320, 448]]),
        atol=1e-4,
    )


@pytest.mark.filterwarnings("error")
def test_wild_answers_stay_finite() -> None:
    logits = np.array([[500, -500], [-500, 500]], dtype=np.float32)
    np.testing.assert_allclose(maps.face_scores(logits), [0, 1], atol=1e-7)
    deltas = np.full((1, 4), 1e6, dtype=np.float32)
    found = maps.decode(logits[1:], deltas, [(1, 1), *[(0, 0)] * 5], 0.5)
    assert np.isfinite(looks.suppress(found, 0.3, None).boxes).all()


# Tiles.


@pytest.mark.parametrize("size", [(300, 4001), (4001, 300), (1500, 2200)])
def test_tiles_give_the_maps_of_the_whole(detector: S3FD, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (size[0] // 20 + 1, size[1] // 20 + 1, 3), dtype=np.uint8)
    image = detector._prepare(cv2.resize(coarse, size[::-1]))[None]
    limit = min(size) * 1152 if min(size) < 1152 else tiles.SMALLEST_LIMIT
    rows, columns = tiles.cut(*size, limit, "s3fd")
    assert len(rows) * len(columns) > 4
    whole = detector._run(image)
    for one, two in zip(whole, tiles.run_tiled(detector._run, image, limit, "s3fd"), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)


@pytest.mark.parametrize("layout", ["s3fd", "dilated"])
@pytest.mark.parametrize("size", [(32, 32), (300, 10_000), (9000, 7000), (1, 400_000)])
def test_tiles_stay_under_the_limit_and_cover_all(
    layout: maps.Layout, size: tuple[int, int]
) -> None:
    rows, columns = tiles.cut(*size, 2_097_152, layout)
    for spans, side in ((rows, size[0]), (columns, size[1])):
        assert [span.start for span in spans[1:]] == [span.end for span in spans[:-1]]
        assert (spans[0].start, spans[-1].end) == (0, side)
        assert all(span.low % tiles.GRID == 0 for span in spans)
    areas = [(one.high - one.low) * (two.high - two.low) for one in rows for two in columns]
    assert max(areas) <= 2_097_152
    if size == (32, 32):
        assert len(areas) == 1


def test_a_panorama_is_run_in_tiles(detector: S3FD, astronaut: Image) -> None:
    panorama = np.tile(astronaut[20:320], (1, 20, 1))[:, :10_000]
    sizes: list[int] = []
    tiled = build(max_pixels=2_097_152)
    engine = tiled._engine

    def watch(*arrays: Any) -> Any:
        sizes.append(arrays[0][0, 0].size)
        return engine(*arrays)

    tiled._engine = watch  # type: ignore[assignment]
    (found,) = tiled.detect([panorama])
    assert len(sizes) > 1
    assert max(sizes) <= 2_097_152
    same(found, detector.detect([panorama])[0])
    assert len(found) >= 19


# Views.


def test_views_of_clcarwins_protocol() -> None:
    assert looks.views("wider_nms", (400, 600)) == [
        looks.View(),
        looks.View(flipped=True),
        looks.View(scale=2, below=100),
        looks.View(scale=0.5, above=100),
    ]
    assert [view.scale for view in looks.views("wider_nms", (1500, 1501))] == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("size", "scales", "below"),
    [
        # Worked out by hand from upstream's multi_scale_test.
        ((512, 512), [1, 1, 0.5, 2, 3.76792], 100),
        ((200, 200), [1, 1, 0.5, 2, 4, 8, 9.64587], 100),
        ((1200, 2000), [1, 1, 0.5, 1.24529], 100),
        ((3000, 2000), [0.78759, 0.78759, 0.5, 0.64379], np.inf),
        ((4000, 4000), [0.48230, 0.48230, 0.24115, 0.36172], np.inf),
    ],
)
def test_views_of_the_authors_protocol(
    size: tuple[int, int], scales: list[float], below: float
) -> None:
    found = looks.views("wider_vote", size)
    np.testing.assert_allclose([view.scale for view in found], scales, rtol=1e-4)
    assert [view.flipped for view in found] == [False, True, *[False] * (len(scales) - 2)]
    assert [view.below for view in found[3:]] == [below] * (len(scales) - 3)
    assert [view.above for view in found[2:]] == [30] + [
        -np.inf if below == 100 else 30 for _ in scales[3:]
    ]


def candidates(boxes: Any, scores: Any) -> maps.Candidates:
    return maps.Candidates(np.array(boxes, np.float32), np.array(scores, np.float32))


def upstream_vote(det: Any) -> Any:
    """The authors' ``bbox_vote``, from the description of each of its lines."""
    det, merged = det[np.argsort(det[:, 4], kind="stable")[::-1]], []
    while len(det):
        inside = box_maths.iou(det[:1, :4], det[:, :4], inclusive=True)[0] >= 0.3
        group, det = det[inside], det[~inside]
        if len(group) > 1:
            weight = group[:, 4:]
            merged.append([*(group[:, :4] * weight).sum(0) / weight.sum(), group[:, 4].max()])
    return np.array(merged)


def test_votes_are_means_by_score() -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 200, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 90, (60, 2))], axis=1)
    scores = rng.uniform(0.1, 1, 60)
    found = looks.vote(candidates(boxes, scores), limit=None)
    want = upstream_vote(np.column_stack([boxes, scores]))
    assert 5 < len(want) < 40
    np.testing.assert_allclose(np.column_stack(found), want, atol=1e-4)
    alone = looks.vote(candidates([[0, 0, 9, 9]], [0.9]), None)
    assert len(alone.scores) == 0, "nobody else saw it"


def test_a_view_brings_faces_back() -> None:
    found = candidates([[20, 40, 60, 120], [0, 0, 300, 300]], [0.9, 0.8])
    view = looks.View(scale=2, flipped=True, below=100)
    back = view.bring_back(found, (200, 150))
    np.testing.assert_allclose(back.boxes, [[120, 20, 140, 60]])
    np.testing.assert_allclose(back.scores, [0.9], atol=1e-6)


@pytest.mark.parametrize("protocol", ["wider_nms", "wider_vote"])
def test_protocols_find_the_same_face(detector: S3FD, astronaut: Image, protocol: str) -> None:
    (plain,) = detector.detect([astronaut])
    (found,) = build(protocol=protocol, score_threshold=0.5).detect([astronaut])
    assert box_maths.iou(found.boxes[:1], plain.boxes)[0, 0] > 0.7


def test_a_protocol_has_its_own_scales() -> None:
    with pytest.raises(ConfigError, match="no max_side, no min_face"):
        facekit.create_detector("s3fd", weights=WEIGHTS, protocol="wider_nms", max_side=640)


# The detector.


def test_it_is_a_detector(detector: S3FD) -> None:
    assert isinstance(detector, Detector)
    assert detector.score_threshold == 0.5


def test_the_astronauts_face(detector: S3FD, astronaut: Image) -> None:
    (found,) = detector.detect([astronaut])
    assert len(found) == 1
    assert box_maths.iou(found.boxes, [[180, 66, 271, 178]])[0, 0] > 0.6


def mixed(astronaut: Image) -> list[Image]:
    return [
        astronaut,
        np.ascontiguousarray(astronaut[:300, 100:400]),
        astronaut[:15, :15],
        np.ascontiguousarray(astronaut[:, ::-1]),
        astronaut[:20, 100:440],
        np.asarray(cv2.resize(astronaut, (333, 301)), dtype=np.uint8),
        np.zeros((1, 1, 3), dtype=np.uint8),
        np.ascontiguousarray(astronaut[:300, 100:400, ::-1]),
    ]


@pytest.mark.parametrize("options", [{}, {"max_side": 256}, {"protocol": "wider_nms"}])
def test_a_batch_is_its_images_one_by_one(astronaut: Image, options: dict[str, Any]) -> None:
    photos = mixed(astronaut)
    batch = build(score_threshold=0.05, **options).detect(photos)
    single = build(score_threshold=0.05, batch_size=1, **options)
    assert len(batch) == len(photos) == 8
    for found, photo in zip(batch, photos, strict=True):
        same(found, single.detect([photo])[0])
        assert found.image_size == photo.shape[:2]


def test_images_of_one_size_share_a_pass(astronaut: Image) -> None:
    detector = build(batch_size=8)
    engine, batches = detector._engine, []

    def watch(*arrays: Any) -> Any:
        batches.append(arrays[0].shape)
        return engine(*arrays)

    detector._engine = watch  # type: ignore[assignment]
    detector.detect(mixed(astronaut))
    assert sorted(shape[0] for shape in batches) == [1, 1, 2, 2, 2]


def test_many_threads_find_the_same(detector: S3FD, astronaut: Image) -> None:
    photos = [astronaut, np.ascontiguousarray(astronaut[:300, 100:400])]
    expected = [detector.detect([photo])[0] for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: detector.detect([photos[i % 2]])[0], range(8)))
    for i, answer in enumerate(answers):
        same(answer, expected[i % 2])


def test_smaller_and_larger_images_are_scaled(astronaut: Image) -> None:
    whole = build().detect([astronaut])[0]
    for options in ({"max_side": 300}, {"min_face": 28}, {"min_face": 10}):
        (found,) = build(**options).detect([astronaut])
        assert box_maths.iou(found.boxes, whole.boxes)[0, 0] > 0.6, options
    assert [view.scale for view in build(max_side=900)._views((512, 512))] == [1]
    assert [view.scale for view in build(min_face=8)._views((512, 512))] == [2]
    assert [view.scale for view in build(min_face=8, max_side=600)._views((300, 400))] == [1.5]


@pytest.mark.parametrize("layout", ["s3fd", "dilated"])
def test_channels_are_what_each_layout_learnt(detector: S3FD, layout: maps.Layout) -> None:
    photo = np.zeros((20, 40, 3), dtype=np.uint8)
    photo[:] = [200, 100, 50]
    before = detector._layout
    try:
        detector._layout = layout
        planes = detector._prepare(photo)
    finally:
        detector._layout = before
    assert planes.shape == (3, 32, 40)
    bgr = [50 - 104, 100 - 117, 200 - 123]
    assert planes[:, 3, 3].tolist() == (bgr if layout == "s3fd" else bgr[::-1])
    assert (planes[:, 20:] == 0).all()


def test_the_best_are_kept(astronaut: Image) -> None:
    photo = np.tile(astronaut, (1, 2, 1))
    every = build().detect([photo])[0]
    assert len(every) == 2
    assert build(max_detections=1).detect([photo])[0] == every[:1]


# Engines.


@pytest.fixture(scope="module")
def narrow(require: Require, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One narrow network with drawn weights, for each engine."""
    torch = require("torch")
    for name in ("safetensors", "onnx", "onnxscript"):
        require(name)
    network = require("facekit.networks.s3fd").S3FD(1 / 16)
    torch.manual_seed(0)
    network.reset_parameters(face_prior=0.3)
    folder = tmp_path_factory.mktemp("engines")
    path = folder / "narrow.pth"
    torch.save(network.state_dict(), path)
    report = require("facekit.export").export("s3fd", path, folder / "narrow.onnx")
    assert report.passed
    return {
        "torch": path,
        "onnxruntime": folder / "narrow.onnx",
        "openvino": folder / "narrow.onnx",
    }


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_find_the_same(
    require: Require, narrow: dict[str, Path], astronaut: Image, engine: Any
) -> None:
    require(engine)
    photos = mixed(astronaut)[:6]
    options: dict[str, Any] = {"score_threshold": 0.31, "max_detections": 50, "nms_threshold": 1}
    torch = build(weights=narrow["torch"], **options)
    other = build(weights=narrow[engine], engine=engine, **options)
    for photo in photos:
        batch = torch._prepare(photo)[None]
        for one, two in zip(torch._run(batch), other._run(batch), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-3)
    assert sum(map(len, torch.detect(photos))) > 0


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_cells_without_any_signal_are_numbers(
    require: Require, astronaut: Image, engine: Any
) -> None:
    # Some 300 cells of the narrow network have nothing but zeros, and divide them by their length.
    require(engine)
    assert len(build(engine=engine).detect([astronaut[:400]])[0]) == 1


def test_what_is_no_number_is_told(astronaut: Image) -> None:
    detector = build()
    engine = detector._engine

    def broken(*arrays: Any) -> Any:
        logits, deltas = engine(*arrays)
        return logits * np.nan, deltas

    detector._engine = broken  # type: ignore[assignment]
    with pytest.raises(BackendError, match="answer is not finite"):
        detector.detect([astronaut[:64, :64]])


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_half_precision_is_near(
    require: Require, narrow: dict[str, Path], astronaut: Image, engine: Any
) -> None:
    require(engine)
    batch = build()._prepare(astronaut[:200, :200])[None]
    full = build(weights=narrow[engine], engine=engine)._run(batch)
    half = build(weights=narrow[engine], engine=engine, precision="bf16")._run(batch)
    for one, two in zip(full, half, strict=True):
        assert two.dtype == np.float32
        np.testing.assert_allclose(one, two, atol=0.05 * np.abs(one).max())


@pytest.mark.parametrize("suffix", [".xml", ".onnx"])
def test_in_8_bits_it_finds_the_face_at_every_size(
    require: Require, astronaut: Image, tmp_path: Path, suffix: str
) -> None:
    for name in ("nncf", "onnx", "openvino"):
        require(name)
    target = tmp_path / f"int8{suffix}"
    photos = [astronaut[40:232, 130:322], astronaut[:256, 100:356], astronaut[30:286, 60:316]]
    nobody = build().detect([astronaut[300:, 300:]])[0]
    scenes = [(photo, nobody) for photo in photos]
    report = require("facekit.export").export("s3fd", WEIGHTS, target, int8=scenes)
    assert set(report.differences) == {"logits", "deltas"}
    for photo in (astronaut, astronaut[:300, 100:400]):
        (full,), (rounded,) = (one.detect([photo]) for one in (build(), build(weights=target)))
        assert len(full) == len(rounded) == 1
        assert box_maths.iou(full.boxes, rounded.boxes)[0, 0] > 0.8


def test_onnxruntime_is_not_made_fast() -> None:
    with pytest.raises(ConfigError, match="engine 'onnxruntime' has no faster arithmetic"):
        build(fast=True)


def test_onnxruntime_has_no_half_precision() -> None:
    with pytest.raises(ConfigError, match="'onnxruntime' computes in f32, not bf16: use openvino"):
        build(precision="bf16")


# What is no S3FD.


def test_weights_of_another_network_by_their_names() -> None:
    with pytest.raises(WeightsError, match=r"expected \(image\) -> \(logits, deltas\), the file"):
        build(weights=NETWORKS / "sum_difference.onnx")


def test_weights_of_another_network_by_their_shapes(astronaut: Image) -> None:
    with pytest.raises(WeightsError, match=r"weights of another network: expected logits \(1, "):
        build(weights=NETWORKS / "pooled.onnx").detect([astronaut])


def test_the_default_detectors_weights_are_refused(astronaut: Image) -> None:
    with pytest.raises((WeightsError, BackendError)):
        build(weights=Path(facekit.__file__).parent / "bundled" / "tiny_ssd.onnx").detect(
            [astronaut]
        )


def test_a_damaged_file(tmp_path: Path) -> None:
    damaged = tmp_path / "s3fd.onnx"
    damaged.write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not a readable ONNX file"):
        build(weights=damaged)
