"""Training crops: points move with the pixels, mirrored names, several sources, odd faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import images
from facekit.mean_shape import MEAN_SHAPE_68

pytestmark = pytest.mark.usefixtures("training")

Array = npt.NDArray[Any]

CORNERS = np.array([[60.0, 70.0], [120.0, 64.0], [85.0, 110.0], [131.0, 130.0]])


def shape(centre: tuple[float, float] = (95.0, 95.0), side: float = 80.0) -> Array:
    """The mean shape, as points of a face somewhere in an image."""
    unit = np.array(MEAN_SHAPE_68, dtype=np.float32)
    return np.asarray((unit - 0.5) * side + np.array(centre), dtype=np.float32)


def dot(size: tuple[int, int], x: float, y: float, sigma: float = 2.0) -> Array:
    """An image that is dark but for one bright spot about a continuous place."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.asarray((255 * spot).round(), dtype=np.uint8)


def middle(image: Array) -> Array:
    """Where the bright spot of an image is, continuous pixels."""
    weight = image.astype(np.float64)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    moments = np.array([(weight * columns).sum(), (weight * rows).sum()])
    return np.asarray(moments / weight.sum())


def test_mirroring_twice_is_nothing_and_fits_a_symmetric_face() -> None:
    from facekit.training.landmarks.warp import MIRRORED_68

    np.testing.assert_array_equal(MIRRORED_68[MIRRORED_68], np.arange(68))
    mean = np.array(MEAN_SHAPE_68)
    np.testing.assert_allclose(mean[MIRRORED_68] * [-1, 1] + [1, 0], mean, atol=1e-3)
    assert sorted(MIRRORED_68[36:42]) == list(range(42, 48)), "eyes change places"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grown", [1, 5])
def test_points_move_with_the_pixels(seed: int, grown: int) -> None:
    from facekit.training.landmarks.warp import Jitter, cut_crop, jittered_matrix

    random = np.random.default_rng(seed)
    square = np.array([95.0, 95.0, 110.0]) * grown
    matrix, mirrored = jittered_matrix(square, 112, 1.4, Jitter(stretch=0.2, shear=0.1), random)
    assert (np.linalg.det(matrix[:, :2]) < 0) == mirrored
    for point in CORNERS * grown:
        x, y = point
        image = dot((190 * grown, 190 * grown), x, y, sigma=2.0 * grown)
        found = middle(cut_crop(image, matrix, 112))
        expected = matrix[:, :2] @ point + matrix[:, 2]
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_plain_crop_is_the_landmarkers(astronaut: Array) -> None:
    from facekit.training.landmarks.faces import Face
    from facekit.training.landmarks.warp import plain_crop

    grey = astronaut[..., 1].copy()
    points = shape((224.0, 120.0), 95.0)
    face = Face("astronaut", grey, points)
    pixels, moved = plain_crop(face, 224, 1.2)
    x, y, side = face.square
    half = 0.6 * side
    box = (x - half, y - half, x + half, y + half)
    theirs = images.crop(grey, box, (224, 224), border="replicate")
    assert np.abs(pixels.astype(int) - theirs).mean() < 0.5
    np.testing.assert_allclose(moved, (points - [x - half, y - half]) * 224 / (2 * half), atol=1e-3)


def test_the_tutorials_turn_moves_points_with_the_pixels() -> None:
    import torch
    from torchvision import tv_tensors

    from facekit.training.landmarks.items import Plain

    turn = Plain(brightness=0, contrast=0, saturation=0, hue=0, degrees=30).transform()
    ways = []
    for number, point in enumerate(CORNERS):
        torch.manual_seed(number)
        image = tv_tensors.Image(torch.from_numpy(dot((190, 190), *point))[None])
        where = torch.from_numpy(point[None].astype(np.float32))
        keypoints = tv_tensors.KeyPoints(where, canvas_size=(190, 190))
        turned, moved = turn(image, keypoints)
        ways.append(np.abs(moved.numpy() - point).max())
        np.testing.assert_allclose(middle(turned[0].numpy()), moved[0].numpy(), atol=0.1)
    assert max(ways) > 5


def test_a_crop_is_its_keys_alone_and_mirrored_faces_change_names() -> None:
    from facekit.training.keys import ItemKey
    from facekit.training.landmarks.faces import Face
    from facekit.training.landmarks.items import Crops, Pool, Stage
    from facekit.training.landmarks.warp import Jitter

    face = Face("a", dot((190, 190), 95, 95), shape())
    jitter = Jitter(shift=0, scale=0, degrees=0, stretch=0, shear=0, mirror=1)
    stages = [Stage(until=0.5, size=32), Stage(until=1.0, size=64)]
    crops = Crops([Pool([face])], stages, 1.2, jitter)
    item, again = crops[ItemKey(0, 3, 0)], crops[ItemKey(0, 3, 0)]
    assert all(bool((item[name] == again[name]).all()) for name in ("image", "points"))
    assert item["image"].shape == (1, 32, 32)
    assert crops[ItemKey(0, 3, 0, progress=0.5)]["image"].shape == (1, 64, 64)
    assert crops[ItemKey(0, 3, 0, progress=1.0)]["image"].shape == (1, 64, 64)
    # The face is symmetric: mirrored, each name is where it was.
    points = item["points"].numpy().reshape(68, 2)
    expected = (np.array(MEAN_SHAPE_68) - 0.5) / 1.06 / 1.2
    np.testing.assert_allclose(points, expected, atol=2e-3)


def test_sources_have_their_shares_over_the_run() -> None:
    from facekit.training.keys import ItemKey
    from facekit.training.landmarks.faces import Face
    from facekit.training.landmarks.items import Crops, Pool, Stage

    dark, bright = (np.full((190, 190), level, dtype=np.uint8) for level in (0, 255))
    pools = [
        Pool([Face("d", dark, shape())], share=1, final_share=0),
        Pool([Face("b", bright, shape())] * 3, share=0, final_share=1),
    ]
    crops = Crops(pools, [Stage(until=1.0, size=32)], 1.2, None)

    def share(progress: float) -> float:
        keys = [ItemKey(0, epoch, 0, progress=progress) for epoch in range(200)]
        return float(np.mean([crops[key]["image"].max() == 255 for key in keys]))

    assert len(crops) == 4
    assert share(0.0) == 0
    assert share(1.0) == 1
    assert 0.15 < share(0.25) < 0.35


ODD = {
    "all points in one place": (np.full((68, 2), 20.0), (40, 40)),
    "all points outside": (shape((-300.0, 900.0)), (40, 40)),
    "a face of one pixel": (shape((20.0, 20.0), 1.0), (40, 40)),
    "an image of one pixel": (shape((0.5, 0.5), 4.0), (1, 1)),
    "a line": (np.stack([np.linspace(0, 39, 68), np.full(68, 20.0)], axis=1), (40, 40)),
    "a face larger than its image": (shape((20.0, 20.0), 4000.0), (40, 40)),
}


@pytest.mark.parametrize("odd", ODD)
def test_the_loss_is_finite_on_odd_faces(odd: str, tmp_path: Path) -> None:
    import torch

    from facekit.training.keys import ItemKey
    from facekit.training.landmarks.recipe import Landmarks

    points, size = ODD[odd]
    spec = dataset(tmp_path, [points], size)
    options = {"data": spec, "stages": [{"until": 1, "size": 64}]}
    recipe = Landmarks(Landmarks.Options(**options))
    items = recipe.train_items()
    batch = recipe.collate([items[ItemKey(0, epoch, 0)] for epoch in range(8)])
    losses = recipe.loss(recipe.network(), recipe.prepare(batch, torch.Generator()))
    assert torch.isfinite(losses["loss"])
    losses["loss"].backward()


def dataset(folder: Path, faces: list[Array], size: tuple[int, int]) -> str:
    """Write images of noise with a face each, as dlib's XML with fractions of pixels."""
    rows = []
    for number, points in enumerate(faces):
        noise = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        images.write(folder / f"{number}.png", noise)
        parts = "".join(
            f"<part name='{i:02}' x='{x:.3f}' y='{y:.3f}'/>" for i, (x, y) in enumerate(points)
        )
        box = f"<box top='0' left='0' width='{size[1]}' height='{size[0]}'>{parts}</box>"
        rows.append(f"<image file='{number}.png'>{box}</image>")
    text = f"<dataset><images>{''.join(rows)}</images></dataset>"
    (folder / "faces.xml").write_text(text, encoding="utf-8")
    return f"ibug300w:{folder / 'faces.xml'}"
