"""Pixels in and out: every kind of file, every kind of damage, and crops against an oracle."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facekit import images
from facekit.errors import ImageError, OutputError
from facekit.testing import photos

Rgb = npt.NDArray[np.uint8]


def gradient(height: int = 40, width: int = 60) -> Rgb:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=2).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    data, upright = photos.stored_as(orientation, gradient())
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    assert np.array_equal(images.read(file), upright)
    # The oracle itself: the same picture as before it was stored, but for JPEG's losses.
    assert np.abs(upright.astype(int) - gradient()).mean() < 3
    with Image.open(file) as opened:
        assert opened.getexif()[0x0112] == orientation
        assert np.array_equal(images.as_rgb(opened), upright)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_in_the_header_is_that_of_the_upright_pixels(
    suffix: str, orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()[:9]).save(tmp_path / f"a{suffix}", exif=exif)
    size = images.read_size(tmp_path / f"a{suffix}")
    assert size == images.read(tmp_path / f"a{suffix}").shape[:2]
    assert images.read_size((tmp_path / f"a{suffix}").read_bytes()) == size


def test_an_orientation_after_a_pngs_pixels_counts_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient()[:9]).save(tmp_path / "a.png", exif=exif)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"eXIf") - 4
    block = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    late = data[:start] + data[start + len(block) : -12] + block + data[-12:]
    (tmp_path / "a.png").write_bytes(late)
    assert images.read_size(late) == images.read(tmp_path / "a.png").shape[:2]


def test_the_size_is_read_without_decoding(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"IDAT")
    # Whoever decodes this fails: its pixels are cut off.
    assert images.read_size(data[: start + 20]) == gradient().shape[:2]


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_no_image_has_no_size(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        images.read_size(data)
    with pytest.raises(ImageError, match="No such file"):
        images.read_size(tmp_path / "none.png")


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_exif_orientations_that_do_not_exist_are_ignored(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(images.read(tmp_path / "a.png"), gradient())


def test_a_damaged_exif_block_does_not_cost_the_pixels(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(gradient()).save(buffer, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\0\0")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert images.read(tmp_path / "a.jpg").shape == (40, 60, 3)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 256, 65535]], np.uint16)
    for suffix in (".png", ".tif"):
        Image.fromarray(grey).save(tmp_path / f"a{suffix}")
        found = images.read(tmp_path / f"a{suffix}")
        assert found[0].tolist() == [[0] * 3, [0] * 3, [1] * 3, [255] * 3]


def test_palette_and_one_bit_and_grey(tmp_path: Path) -> None:
    rgb = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    assert np.array_equal(images.read(tmp_path / "p.png"), rgb)
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "b.png")
    assert images.read(tmp_path / "b.png")[0].tolist() == [[0] * 3, [255] * 3]
    Image.fromarray(np.array([[7, 8]], np.uint8)).save(tmp_path / "g.png")
    assert images.read(tmp_path / "g.png")[0].tolist() == [[7] * 3, [8] * 3]


def test_palette_with_transparency_gives_no_warning(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "p.png", transparency=b"\x00\xff")
    assert images.read(tmp_path / "p.png")[0, 0].tolist() == [255, 0, 0]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=100)
    red, green, blue = images.read(tmp_path / "c.jpg")[8, 8].astype(int)
    assert red > 230
    assert max(green, blue) < 40


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (200, 100, 50, 0)).save(tmp_path / "a.png")
    assert images.read(tmp_path / "a.png")[0, 0].tolist() == [200, 100, 50]


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert images.read(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_missing_file_and_folder_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg: no such file"):
        images.read(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="is a folder, not an image"):
        images.read(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg: the file is empty"):
        images.read(tmp_path / "empty.jpg")


def test_name_that_no_file_can_have() -> None:
    with pytest.raises(ImageError, match="cannot be read: File name too long"):
        images.read("a" * 5000)


def test_text_named_jpg(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(ImageError, match=r"text\.jpg: not an image in a format that Pillow reads"):
        images.read(tmp_path / "text.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_truncated_at_every_tenth(suffix: str, tmp_path: Path, astronaut: Rgb) -> None:
    whole = images.encode(np.ascontiguousarray(astronaut[:64, :64]), suffix)
    file = tmp_path / f"cut{suffix}"
    for tenth in range(1, 10):
        file.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(ImageError, match=r"cut\.(jpg|png|webp): ") as caught:
            images.read(file)
        assert "\n" not in str(caught.value)


def test_damaged_header(tmp_path: Path) -> None:
    whole = bytearray(images.encode(gradient(), ".png"))
    whole[16:20] = b"\0\0\0\0"
    (tmp_path / "a.png").write_bytes(whole)
    with pytest.raises(ImageError, match=r"a\.png: "):
        images.read(tmp_path / "a.png")


def bomb(side: int) -> bytes:
    """A PNG of ``side`` x ``side`` black pixels at one bit each, in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(bomb(20_000))
    assert file.stat().st_size < 1_000_000
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(
        ImageError, match=r"bomb\.png: 20000 x 20000 px is over the limit .* FACEKIT_MAX_PIXELS"
    ):
        images.read(file)
    assert before == Image.MAX_IMAGE_PIXELS


def test_limit_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "small.png"
    file.write_bytes(bomb(100))
    assert images.read(file).shape == (100, 100, 3)
    monkeypatch.setenv("FACEKIT_MAX_PIXELS", "9999")
    with pytest.raises(ImageError, match="over the limit of 9999 pixels"):
        images.read(file)
    with Image.open(file) as opened, pytest.raises(ImageError, match="over the limit"):
        images.as_rgb(opened)
    monkeypatch.setenv("FACEKIT_MAX_PIXELS", "10000")
    assert images.read(file).shape == (100, 100, 3)


def test_images_that_pillow_calls_a_bomb_are_read_below_our_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    file = tmp_path / "small.png"
    file.write_bytes(bomb(100))
    assert images.read(file).shape == (100, 100, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("text", ["many", "-5", "0", "1e6", "²"])
def test_limit_that_is_no_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEKIT_MAX_PIXELS", text)
    with pytest.raises(ImageError, match="is not a positive number of pixels"):
        images.max_pixels()


def test_reading_from_several_threads(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(images.encode(gradient(), ".png"))
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    found: list[Rgb] = []
    threads = [threading.Thread(target=lambda: found.append(images.read(file))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(one, gradient()) for one in found)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert filters == list(warnings.filters)


def test_an_array_is_passed_through() -> None:
    image = gradient()
    assert images.as_rgb(image) is image


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((5, 5, 3), np.float32), "has dtype float32: give RGB uint8"),
        (np.zeros((5, 5), np.uint8), r"has shape \(5, 5\)"),
        (np.zeros((5, 5, 4), np.uint8), r"has shape \(5, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), r"has shape \(0, 5, 3\)"),
        (b"bytes", "not bytes"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_image(wrong: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        images.as_rgb(wrong)


def test_a_batch_is_a_sequence_of_anything(astronaut_path: Path, astronaut: Rgb) -> None:
    found = images.read_all([astronaut_path, str(astronaut_path), astronaut])
    assert all(np.array_equal(one, astronaut) for one in found)
    stack: Any = np.stack([gradient(), gradient()])
    assert len(images.read_all(stack)) == 2
    assert images.read_all([]) == []


@pytest.mark.parametrize(
    "single", ["photo.jpg", Path("photo.jpg"), gradient(), Image.new("L", (1, 1))]
)
def test_a_single_image_is_not_a_batch(single: Any) -> None:
    with pytest.raises(ImageError, match=r"write \[image\]"):
        images.read_all(single)


def naive_crop(image: Rgb, box: Any, size: tuple[int, int], *, replicate: bool) -> Any:
    """Bilinear samples at the centres of the crop's pixels, one by one, in float64."""
    left, top, right, bottom = box
    out = np.zeros((*size, 3))
    for row, column in np.ndindex(*size):
        x = left + (column + 0.5) * (right - left) / size[1] - 0.5
        y = top + (row + 0.5) * (bottom - top) / size[0] - 0.5
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for dy, dx in np.ndindex(2, 2):
            weight = abs(1 - dx - (x - x0)) * abs(1 - dy - (y - y0))
            px, py = x0 + dx, y0 + dy
            if replicate:
                px, py = np.clip(px, 0, image.shape[1] - 1), np.clip(py, 0, image.shape[0] - 1)
            if 0 <= px < image.shape[1] and 0 <= py < image.shape[0]:
                out[row, column] += weight * image[py, px]
    return out


@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize(
    "box",
    [
        (10, 5, 30, 25),
        (10.3, 5.7, 29.1, 22.2),
        (-7.5, -3, 15, 20),
        (50, 30, 70.5, 50.25),
        (3, 3, 9, 8),
    ],
)
def test_crop_is_that_of_the_naive_oracle(box: Any, border: Any) -> None:
    found = images.crop(gradient(), box, (17, 19), border=border)
    want = naive_crop(gradient(), box, (17, 19), replicate=border == "replicate")
    # OpenCV interpolates in steps of 1/32 pixel: of a black border's edge, 255 / 32 a side.
    assert np.abs(found - want).max() <= (17 if border == "black" else 2)
    assert np.abs(found - want).mean() < 1


@given(x=st.integers(-5, 50), y=st.integers(-5, 30), w=st.integers(1, 20), h=st.integers(1, 20))
def test_crop_at_whole_pixels_is_a_slice(x: int, y: int, w: int, h: int) -> None:
    found = images.crop(gradient(), (x, y, x + w, y + h))
    padded = np.pad(gradient(), ((20, 20), (20, 20), (0, 0)))
    assert np.array_equal(found, padded[y + 20 : y + 20 + h, x + 20 : x + 20 + w])


def test_crop_that_shrinks_is_smoothed() -> None:
    # Lines one pixel wide: sampling alone would give black or white, the mean is grey.
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    found = images.crop(stripes, (0, 0, 400, 400), (40, 40))
    assert np.abs(found.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("factor", [2.5, 4, 7.3])
def test_crop_that_shrinks_stays_in_place(factor: float) -> None:
    # Where brightness is a place, the crop must show the places of its pixels' centres.
    y, x = np.mgrid[:250, :250].astype(np.uint8)
    image = np.stack([x, y, x], axis=2)
    left, top, right, bottom = 11.4, 23.8, 241.9, 200.2
    rows, columns = round((bottom - top) / factor), round((right - left) / factor)
    found = images.crop(image, (left, top, right, bottom), (rows, columns))
    want_x = left + (np.arange(columns) + 0.5) * (right - left) / columns - 0.5
    want_y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows - 0.5
    assert np.abs(found[..., 0] - want_x).max() <= 1
    assert np.abs(found[..., 1] - want_y[:, None]).max() <= 1


def test_crop_outside_the_image_and_of_nothing() -> None:
    assert images.crop(gradient(), (500, 500, 520, 520)).max() == 0
    assert images.crop(gradient(), (500, 500, 700, 700), (10, 10)).max() == 0
    assert images.crop(gradient(), (5, 5, 5, 5)).shape == (1, 1, 3)
    assert images.crop(gradient(), (-9, -9, -2, -2), (4, 5), border="replicate").shape == (4, 5, 3)


def test_crop_of_grey_and_of_read_only(astronaut: Rgb) -> None:
    assert images.crop(astronaut[..., 0], (3, 4, 8, 10)).shape == (6, 5)
    assert np.array_equal(images.crop(astronaut, (3, 4, 8, 10)), astronaut[4:10, 3:8])


def test_crop_of_a_panorama_wider_than_opencv_can_index() -> None:
    wide = np.zeros((4, 40_000, 3), np.uint8)
    wide[:, 39_990:] = 9
    assert images.crop(wide, (39_990, 0, 39_994, 4)).min() == 9


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".JPG", ".webp"])
def test_write_and_read_again(suffix: str, tmp_path: Path, astronaut: Rgb) -> None:
    file = tmp_path / f"out{suffix}"
    images.write(file, astronaut)
    found = images.read(file).astype(int)
    assert found.shape == astronaut.shape
    lossy = suffix in {".JPG", ".webp"}
    assert np.abs(found - astronaut).mean() <= (4 if lossy else 0)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.pdfx"])
def test_suffix_of_no_image_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no image format has the suffix"):
        images.write(tmp_path / name, gradient())
    assert list(tmp_path.iterdir()) == []


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        images.write(tmp_path / "no" / "out.png", gradient())
