"""Decoded pictures: the photo's own pixels, made once, and small to send to a worker."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facekit import write_image
from facekit.errors import ImageError, OutputError
from facekit.training.picture_cache import PictureCache


@pytest.fixture
def photos(tmp_path: Path, astronaut: npt.NDArray[np.uint8]) -> list[Path]:
    pieces = [astronaut, astronaut[:100], astronaut[:, :37], astronaut[3:4, :2]]
    paths = [tmp_path / f"{number}.png" for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        write_image(path, piece)
    return paths


def test_pictures_are_the_photos_pixels(
    photos: list[Path], tmp_path: Path, astronaut: npt.NDArray[np.uint8]
) -> None:
    cache = PictureCache([*photos, photos[0]], folder=tmp_path / "cache", threads=2)
    assert len(cache) == 4
    for path, piece in zip(
        photos, [astronaut, astronaut[:100], astronaut[:, :37], astronaut[3:4, :2]], strict=True
    ):
        np.testing.assert_array_equal(cache[path].pixels, piece)
        assert cache[str(path)].scale == (1, 1)
    with pytest.raises(ValueError, match="read-only"):
        cache[photos[0]].pixels[:] = 0


def test_large_pictures_are_shrunk_and_say_by_how_much(
    photos: list[Path], tmp_path: Path, astronaut: npt.NDArray[np.uint8]
) -> None:
    cache = PictureCache(photos, max_side=128, folder=tmp_path / "cache")
    expected = cv2.resize(astronaut[:100], (128, 25), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(cache[photos[1]].pixels, expected)
    assert cache[photos[1]].scale == (0.25, 0.25)
    assert cache[photos[2]].pixels.shape == (128, 9, 3)
    assert cache[photos[2]].scale == (9 / 37, 0.25)
    assert cache.size(photos[2]) == (512, 37)


def test_the_file_is_made_once_and_again_when_a_photo_changes(
    photos: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    PictureCache(photos, folder=folder)
    (file,) = folder.iterdir()
    made = file.stat().st_mtime_ns
    PictureCache(photos, folder=folder)
    assert file.stat().st_mtime_ns == made
    shutil.copy(photos[1], photos[0])
    os.utime(photos[0], ns=(1, 1))
    changed = PictureCache(photos, folder=folder)
    assert changed[photos[0]].pixels.shape == (100, 512, 3)
    PictureCache(photos, max_side=64, folder=folder)
    assert len(list(folder.iterdir())) == 3


def test_a_worker_is_sent_a_name_and_not_the_pixels(photos: list[Path], tmp_path: Path) -> None:
    cache = PictureCache(photos, folder=tmp_path / "cache")
    sent = pickle.dumps(cache)
    assert len(sent) < 2000
    there = pickle.loads(sent)  # noqa: S301 - our own
    np.testing.assert_array_equal(there[photos[2]].pixels, cache[photos[2]].pixels)


def test_a_broken_photo_leaves_no_file(photos: list[Path], tmp_path: Path) -> None:
    photos[1].write_bytes(photos[1].read_bytes()[:999])
    with pytest.raises(ImageError, match=r"1\.png"):
        PictureCache(photos, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        PictureCache([tmp_path / "nowhere.png"], folder=tmp_path / "cache")


def test_a_folder_that_cannot_be_made_is_named(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACEKIT_PICTURES", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="cannot hold decoded pictures"):
        PictureCache(photos)
