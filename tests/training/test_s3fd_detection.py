"""The recipe ``s3fd_detection``: what is shown, what is matched, and a run to its checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import create_detector
from facekit.errors import ConfigError, DatasetError, ImageError, WeightsError
from facekit.images import write

Image = npt.NDArray[np.uint8]
FACE = (180.0, 66.0, 271.0, 178.0)


@pytest.fixture
def photos(training: None, tmp_path: Path, astronaut: Image) -> str:  # noqa: ARG001 - asks for the packages
    """WIDER FACE of four photos of one face, from a quarter of its size to all of it."""
    import cv2

    lines = []
    for scale in (0.25, 0.5, 0.75, 1):
        name = f"{scale:g}.png"
        small = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        write(tmp_path / name, np.asarray(small, np.uint8))
        x1, y1, x2, y2 = (round(side * scale) for side in FACE)
        lines += [name, "1", f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0"]
    (tmp_path / "faces.txt").write_text("\n".join(lines) + "\n")
    return f"wider_face:{tmp_path / 'faces.txt'}"


@pytest.fixture
def run(photos: str, tmp_path: Path) -> Callable[..., Any]:
    def train(**changes: Any) -> Any:
        from facekit.training import train as trained

        values: dict[str, Any] = {
            "recipe": "s3fd_detection",
            "data": [{"data": photos, "images": str(tmp_path)}],
            "held_out": 0,
            "width": 1 / 16,
            "size": 128,
            "validation_side": 256,
            "epochs": 2,
            "repeat": 4,
            "batch_size": 4,
            "workers": 0,
            "accelerator": "cpu",
            "optimizer": {"lr": 0.003},
            "out": str(tmp_path / "run"),
        }
        return trained({**values, **changes}, overwrite=True)

    return train


def photo(pixels: Image, *boxes: tuple[float, float, float, float]) -> Any:
    from facekit.training.detection.photos import Photo

    return Photo("photo", pixels, np.array(boxes, np.float32), np.zeros(len(boxes), bool))


@pytest.mark.parametrize(("height", "width"), [(128, 128), (320, 200), (97, 640)])
def test_anchors_are_where_the_network_has_cells(
    height: int,
    width: int,
    training: None,  # noqa: ARG001 - asks for the packages
) -> None:
    import torch

    from facekit.networks.s3fd import S3FD
    from facekit.training.s3fd_detection.anchors import anchors

    found = anchors(height, width)
    logits, _ = S3FD(1 / 32)(torch.zeros(1, 3, height, width))
    assert found.shape == (logits.shape[1], 4)
    assert found[0].tolist() == [-6, -6, 10, 10]  # 16 px around the middle of 4 x 4 px
    assert set((found[:, 2] - found[:, 0]).tolist()) == {16, 32, 64, 128, 256, 512}


def test_cells_stand_for_the_boxes_that_the_detector_reads(
    training: None,  # noqa: ARG001 - asks for the packages
) -> None:
    """Training's anchors and coding are the adapter's own."""
    import torch

    from facekit.detectors import _s3fd_maps
    from facekit.training.detection.multibox import decode
    from facekit.training.s3fd_detection.anchors import anchors

    priors = anchors(200, 320)
    deltas = torch.randn(len(priors), 4, generator=torch.Generator().manual_seed(0))
    logits = torch.stack([torch.zeros(len(priors)), torch.full((len(priors),), 3.0)], dim=1)
    shapes = _s3fd_maps.map_shapes(200, 320, "s3fd")
    read = _s3fd_maps.decode(logits.numpy(), deltas.numpy(), shapes, 0.5)
    np.testing.assert_allclose(read.boxes, decode(deltas, priors).numpy(), rtol=1e-5, atol=1e-3)


def test_a_face_stays_on_its_pixels(training: None) -> None:  # noqa: ARG001 - asks for the packages
    from facekit.training.s3fd_detection.views import Views

    pixels = np.full((300, 400, 3), 60, np.uint8)
    pixels[100:180, 220:280] = (255, 0, 0)
    views, random = Views(size=128, min_face=2), np.random.default_rng(0)
    seen = 0
    for _ in range(200):
        view = views.draw(photo(pixels, (220, 100, 280, 180)), random)
        red = (view.pixels[..., 0].astype(int) - view.pixels[..., 1]) > 120
        if not red.any():
            assert len(view.boxes) == 0 or np.ptp(view.boxes[0]) < 8 or view.ignore[0]
            continue
        seen += 1
        rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        box = np.clip(view.boxes[0], 0, 128)
        want = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(box, want, atol=2.5)
    assert seen > 150


def test_faces_come_in_every_anchors_size(training: None) -> None:  # noqa: ARG001 - asks for the packages
    """Data-anchor sampling: a face of 100 px is shown from 8 px up, at most one anchor larger."""
    from facekit.training.s3fd_detection.views import ANCHORS, Views

    pixels = np.full((600, 600, 3), 60, np.uint8)
    views, random = Views(size=640, anchor_share=1), np.random.default_rng(0)
    drawn = [views.draw(photo(pixels, (200, 200, 300, 300)), random) for _ in range(300)]
    sides = np.array([view.boxes[0][2] - view.boxes[0][0] for view in drawn if len(view.boxes)])
    assert len(sides) > 280
    nearest = np.abs(np.log2(sides[:, None] / np.array(ANCHORS))).argmin(axis=1)
    assert set(nearest) >= {1, 2, 3, 4}
    assert sides.max() <= 512.5


def test_faces_between_two_anchors_get_their_share(training: None) -> None:  # noqa: ARG001 - asks for the packages
    """S3FD's scale compensation: without the second stage such a face has one anchor."""
    import torch

    from facekit.training.detection.multibox import Compensation, Faces, match
    from facekit.training.s3fd_detection.anchors import anchors

    box = torch.tensor([[101.0, 101, 124, 124]])  # between 16 and 32 px
    faces = Faces(box, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool))
    priors = anchors(256, 256)
    alone = match(faces, 1, priors, overlap=0.55)
    helped = match(faces, 1, priors, overlap=0.55, compensation=Compensation(6, 0.1))
    assert (alone.classes == 1).sum() < 6
    assert (helped.classes == 1).sum() == 6


def test_it_learns_and_the_checkpoint_detects(run: Callable[..., Any], astronaut: Image) -> None:
    import csv

    result = run(epochs=8)
    with result.folder.log.open() as log:
        losses = [float(row["loss"]) for row in csv.DictReader(log)]
    assert losses[-1] < 0.8 * losses[0]
    detector = create_detector("s3fd", weights=result.folder.last, score_threshold=0.01)
    (found,) = detector.detect([astronaut])
    assert found.image_size == (512, 512)


def test_measure_and_sheet(run: Callable[..., Any]) -> None:
    result = run(held_out=0.5, epochs=1)
    assert set(result.metrics) == {"ap_50", "ap_30", "ap_10"}
    assert list((result.folder.path / "sheets").glob("*.jpg"))


def test_perfect_answers_have_an_ap_of_one(photos: str, tmp_path: Path) -> None:
    """A stand-in for the network that puts the truth at one cell of each photo."""
    import torch

    from facekit.training.detection.multibox import encode
    from facekit.training.detection.photos import PhotoSource, read_photos
    from facekit.training.s3fd_detection.anchors import anchors
    from facekit.training.s3fd_detection.measure import ap_by_height, detect, fitted

    given = read_photos(PhotoSource(data=photos, images=str(tmp_path)), None)
    shrunk = [fitted(one, 256) for one in given]
    priors = anchors(256, 256)

    class Knowing:
        def __call__(self, images: Any) -> tuple[Any, Any]:
            logits = torch.zeros(len(images), len(priors), 2)
            logits[..., 0] = 20
            deltas = torch.zeros(len(images), len(priors), 4)
            for row, one in enumerate(shrunk):
                box = torch.from_numpy(one.photo.boxes * one.scale)
                logits[row, 9, 1] = 40
                deltas[row, 9] = encode(box, priors[9:10])[0]
            return logits, deltas

    knowing: Any = Knowing()
    found = list(
        detect(knowing, shrunk, torch.device("cpu"), side=256, threshold=0.02, batch_size=8)
    )
    assert [len(one) for one in found] == [1] * 4
    # Heights are the photos' own: 28, 56, 84 and 112 px.
    assert ap_by_height(given, found, (100, 10)) == {"ap_100": 1, "ap_10": 1}


def test_bad_input_is_one_line(run: Callable[..., Any], tmp_path: Path, photos: str) -> None:
    with pytest.raises(DatasetError, match=r"none\.txt"):
        run(data=[{"data": f"wider_face:{tmp_path / 'none.txt'}"}])
    (tmp_path / "0.5.png").unlink()
    with pytest.raises(ImageError, match=r"0\.5\.png: no such file"):
        run()
    with pytest.raises(ConfigError, match="labelled: false"):
        run(data=[{"data": photos, "images": str(tmp_path), "labelled": False}])


def test_going_on_from_weights(run: Callable[..., Any], tmp_path: Path) -> None:
    first = run(epochs=1, out=str(tmp_path / "first"))
    from facekit.training.s3fd_detection.recipe import S3FDDetection, S3FDDetectionOptions

    source = {"data": f"wider_face:{tmp_path / 'faces.txt'}", "images": str(tmp_path)}
    values = {"data": [source], "weights": first.folder.last}
    options = S3FDDetectionOptions.model_validate(values)
    network = S3FDDetection(options).network()
    assert network.width == 1 / 16
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        run(weights=str(tmp_path / "none.safetensors"))
