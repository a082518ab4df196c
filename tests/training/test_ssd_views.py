"""Views of photos: boxes stay on their pixels, whatever is drawn."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytestmark = pytest.mark.usefixtures("training")

KINDS = ["whole", "zoom_out", "min_iou", "face", "zoom"]


def views() -> Any:
    return importlib.import_module("facekit.training.ssd.views")


def only(kind: str, **changes: Any) -> Any:
    """Options that draw one kind of view, all of it linear, and ignore nothing."""
    values = dict.fromkeys(KINDS, 0.0) | {kind: 1.0} | {"least_height": 0, "least_seen": 0}
    return views().ViewOptions(**(values | {"resizers": {"linear": 1}} | changes))


def photo_of(
    boxes: Any, size: tuple[int, int] = (480, 640), ignore: Any = None, value: int = 255
) -> Any:
    """A photo in which each box is bright and nothing else is."""
    photos = importlib.import_module("facekit.training.detection.photos")
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    for x1, y1, x2, y2 in array.astype(int):
        pixels[y1:y2, x1:x2] = value
    flags = np.zeros(len(array), bool) if ignore is None else np.array(ignore)
    return photos.Photo("photo", pixels, array, flags)


def bright(pixels: npt.NDArray[np.uint8]) -> list[float]:
    """The extent of what is brighter than half."""
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(300, 300), (192, 256)])
def test_boxes_move_with_the_pixels(kind: str, size: tuple[int, int]) -> None:
    photo = photo_of([[200, 150, 300, 270]])
    # The canvas of a zoomed-out view has a colour of its own.
    options = only(kind, mosaic=0)
    checked = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        out = np.full((*size, 3), 77, dtype=np.uint8)
        view = views().draw_view([photo], out, options, random)
        if not len(view.boxes) or kind == "zoom_out":
            if kind == "zoom_out":
                x1, y1, x2, y2 = view.boxes[0].round().astype(int)
                assert (out[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == 255).all()
                assert (out[y1:y2, max(x1 - 3, 0) : max(x1 - 2, 0)] == 0).all()
                checked += 1
            continue
        assert np.abs(view.boxes[0] - bright(out)).max() <= 1.5
        checked += 1
    assert checked >= 10


@pytest.mark.parametrize("grid", [2, 3])
def test_every_cell_of_a_mosaic_has_its_own_boxes(grid: int) -> None:
    count = grid * grid
    photos = [photo_of([[250, 150, 390, 330]], value=150 + 10 * index) for index in range(count)]
    out = np.zeros((300, 300, 3), dtype=np.uint8)
    view = views().draw_view(photos, out, only("whole", flip=0), np.random.default_rng(0))
    assert len(view.boxes) == count
    for index, box in enumerate(view.boxes):
        found = np.where(out[..., :] == 150 + 10 * index, 255, 0).astype(np.uint8)
        # Pixels at a box's edge are mixed with the dark beside it.
        assert np.abs(box - bright(found)).max() <= 2.5
    assert view.labelled


def test_a_mosaic_with_an_unlabelled_photo_is_unlabelled() -> None:
    photos = importlib.import_module("facekit.training.detection.photos")
    labelled = photo_of([[10, 10, 40, 40]])
    other = photos.Photo("other", labelled.pixels, labelled.boxes, labelled.ignore, labelled=False)
    out = np.zeros((300, 300, 3), dtype=np.uint8)
    random = np.random.default_rng(0)
    view = views().draw_view([labelled] * 3 + [other], out, only("whole"), random)
    assert not view.labelled


def test_mirrored_views_are_mirror_images() -> None:
    photo = photo_of([[40, 100, 140, 300]])
    left, right = (np.zeros((300, 300, 3), dtype=np.uint8) for _ in range(2))
    plain = views().draw_view([photo], left, only("whole", flip=0), np.random.default_rng(0))
    turned = views().draw_view([photo], right, only("whole", flip=1), np.random.default_rng(0))
    np.testing.assert_array_equal(left, right[:, ::-1])
    x1, y1, x2, y2 = plain.boxes[0]
    np.testing.assert_allclose(turned.boxes[0], [300 - x2, y1, 300 - x1, y2])


def test_the_random_generator_alone_decides() -> None:
    photo = photo_of([[40, 100, 140, 300]])
    drawn = []
    for seed in (1, 1, 2):
        out = np.zeros((300, 300, 3), dtype=np.uint8)
        views().draw_view([photo] * 4, out, views().ViewOptions(), np.random.default_rng(seed))
        drawn.append(out)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_a_face_can_be_given_a_height() -> None:
    photo = photo_of([[300, 200, 340, 250]])
    heights = []
    for seed in range(60):
        out = np.zeros((300, 300, 3), dtype=np.uint8)
        options = only("face", face_heights=(25, 50), natural=0, aspect=1)
        view = views().draw_view([photo], out, options, np.random.default_rng(seed))
        heights.append(view.boxes[0][3] - view.boxes[0][1])
    # The whole photo shows the face at 31 px already, and windows do not leave the photo.
    assert min(heights) > 30
    assert max(heights) == pytest.approx(50, rel=0.1)
    assert np.ptp(heights) > 10


def test_what_is_ignored_in_a_view() -> None:
    boxes = np.array(
        [
            [10, 10, 60, 60],  # whole
            [-30, 10, 20, 60],  # two fifths seen
            [-20, 10, 30, 60],  # three fifths seen
            [100, 100, 110, 116.9],  # too low
            [100, 200, 110, 217],  # just high enough
            [290, 290, 400, 400],  # a corner
            [310, 10, 350, 50],  # outside
            [200, 10, 250, 60],  # annotated as such
        ],
        dtype=np.float32,
    )
    ignore = np.array([False] * 7 + [True])
    found, ignored = views().seen(boxes, ignore, (300, 300), views().ViewOptions())
    assert ignored.tolist() == [False, True, False, True, False, True, True]
    assert found.min() == 0
    assert found.max() == 300
    np.testing.assert_array_equal(found[2], [0, 10, 30, 60])


@pytest.mark.parametrize("size", [(1, 1), (9, 300), (2000, 40)])
def test_photos_of_any_size_can_be_seen(size: tuple[int, int]) -> None:
    photo = photo_of([[0, 0, 1, 1]], size)
    for seed in range(40):
        out = np.zeros((300, 300, 3), dtype=np.uint8)
        several = [photo] * (1, 4, 9)[seed % 3]
        view = views().draw_view(several, out, views().ViewOptions(), np.random.default_rng(seed))
        assert np.isfinite(view.boxes).all()
