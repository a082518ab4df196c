"""The photos of the contracts: their truth moves with their pixels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from facekit.boxes import iou
from facekit.testing import photos
from facekit.testing.photos import Photo


def eye_patch(photo: Photo, face: int, eye: int) -> npt.NDArray[np.int_]:
    x, y = photo.eyes[face, eye].astype(int)
    return photo.image[y - 6 : y + 6, x - 6 : x + 6].astype(int)


def test_the_photo_is_the_one_that_scikit_image_ships(astronaut: npt.NDArray[np.uint8]) -> None:
    assert np.array_equal(photos.astronaut().image, astronaut)


def test_the_eyes_are_darker_than_what_is_around_them() -> None:
    for photo in photos.face_photos():
        for face in range(len(photo.faces)):
            left, top, right, bottom = photo.faces[face].astype(int)
            skin = np.median(photo.image[top:bottom, left:right])
            for eye in range(2):
                x, y = photo.eyes[face, eye].astype(int)
                assert photo.image[y - 1 : y + 2, x - 1 : x + 2].mean() < skin * 0.6, photo.name


def test_truth_lies_in_the_image_and_eyes_in_their_faces() -> None:
    for photo in photos.face_photos():
        height, width = photo.size
        for part in (photo.faces, photo.squares):
            assert (part >= 0).all()
            assert (part <= [width, height, width, height]).all()
        assert (iou(photo.faces, photo.squares).diagonal() > 0.6).all()
        assert (photo.eyes[:, 0, 0] < photo.eyes[:, 1, 0]).all()
        assert photo.faces.dtype == photo.squares.dtype == np.float32


def test_mirroring_twice_is_nothing() -> None:
    photo = photos.pair()
    twice = photos.mirrored(photos.mirrored(photo))
    assert np.array_equal(twice.image, photo.image)
    for part in ("faces", "squares", "eyes"):
        np.testing.assert_allclose(getattr(twice, part), getattr(photo, part))


def test_shifted_pixels_take_the_truth_along() -> None:
    photo, moved = photos.astronaut(), photos.shifted(photos.astronaut(), 30, 20)
    assert np.array_equal(moved.image, photo.image[20:, 30:])
    assert np.array_equal(eye_patch(moved, 0, 1), eye_patch(photo, 0, 1))


def test_the_pair_has_the_portrait_and_its_mirror_image() -> None:
    pair, portrait = photos.pair(), photos.portrait()
    assert pair.size == (400, 640)
    assert np.array_equal(eye_patch(pair, 0, 0), eye_patch(portrait, 0, 0))
    mirrored = photos.mirrored(portrait)
    assert np.array_equal(eye_patch(pair, 1, 0), eye_patch(mirrored, 0, 0))
    assert (pair.faces[1] - pair.faces[0])[1] == 112


def test_resized_photos_have_the_asked_size() -> None:
    assert photos.resized(photos.astronaut(), 0.5).size == (256, 256)
    np.testing.assert_allclose(
        photos.resized(photos.astronaut(), 0.5).faces, photos.astronaut().faces / 2
    )


def test_pixels_are_read_only() -> None:
    for photo in (*photos.face_photos(), *photos.faceless(), photos.blank(2, 2)):
        assert not photo.image.flags.writeable, photo.name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_pixels_are_turned(orientation: int) -> None:
    data, upright = photos.stored_as(orientation, photos.pair().image)
    assert data[:2] == b"\xff\xd8"
    assert upright.shape == photos.pair().image.shape
    assert np.abs(upright.astype(int) - photos.pair().image).mean() < 2


@pytest.mark.parametrize("package", ["pytest", "skimage"])
def test_without_its_packages_the_install_command_is_told(package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from facekit.errors import MissingDependencyError\n"
        "try:\n"
        "    from facekit.testing import photos\n"
        "    photos.astronaut()\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 'pip install "facekit[testing]"' in done.stdout
