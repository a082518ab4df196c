"""TFRecord for TF Object Detection, as we read it and as TensorFlow does."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from facekit import datasets, images
from facekit.datasets import tf_example, tfrecord
from facekit.datasets.label_map import read_label_map
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, DatasetError, OutputError

Require = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def _crc32c(require: Require) -> None:
    require("google_crc32c")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "train.record"


def encoded(kind: str = "JPEG", size: tuple[int, int] = (100, 200), **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size[::-1], (90, 40, 10)).save(buffer, kind, **more)
    return buffer.getvalue()


PLAIN: dict[str, str | int | float | bool] = {"truncated": 0, "view": "Unspecified"}
FACES = (
    FaceRecord(box=(1.25, 2.5, 30.75, 40.4), attributes=PLAIN),
    FaceRecord(
        box=(0, 0, 200, 100),
        label="máscara 'x'",
        ignore=True,
        attributes={"truncated": 1, "view": "Frontal"},
    ),
)
JPEG = encoded()
RECORDS = [
    ImageRecord(name="a/1.jpg", size=(100, 200), data=JPEG, faces=FACES),
    ImageRecord(name="b.png", size=(5, 6), data=encoded("PNG", (5, 6))),
    ImageRecord(name="é.gif", size=(9, 9), data=encoded("GIF", (9, 9)), faces=FACES[:1]),
]
RECORDS[2] = RECORDS[2].replace(faces=(FaceRecord(box=(0, 0, 9, 9), attributes=PLAIN),))


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_everything_comes_back_in_order(shards: int, file: Path) -> None:
    losses = datasets.write(iter(RECORDS), f"tfrecord:{file}", shards=shards)
    assert (losses.images, losses.faces, losses.lost) == (3, 3, {})
    assert list(datasets.read(f"tfrecord:{file}")) == RECORDS
    names = {f"train.record-{i:05}-of-{shards:05}" for i in range(shards)}
    written = {one.name for one in file.parent.iterdir()}
    assert written == {"label_map.pbtxt", *(names if shards > 1 else {"train.record"})}


def test_the_label_map_is_shared_by_splits(file: Path) -> None:
    tfrecord.write(RECORDS, file)
    label_map = file.parent / "label_map.pbtxt"
    assert label_map.read_text().startswith("item {\n  id: 1\n  name: 'face'\n}\n")
    assert read_label_map(label_map) == {1: "face", 2: "máscara 'x'"}
    hat = FaceRecord(box=(0, 0, 5, 5), label="hat", attributes=PLAIN)
    other = RECORDS[1].replace(faces=(hat,))
    tfrecord.write([other], file.with_name("val.record"))
    assert read_label_map(label_map) == {1: "face", 2: "máscara 'x'", 3: "hat"}
    assert list(tfrecord.read(file.with_name("val.record"))) == [other]
    with pytest.raises(DatasetError, match="already; begin labels with these"):
        tfrecord.write([other], file, labels=["hat", "face"])
    label_map.write_text("item { id: 5 name: 'x' }")
    with pytest.raises(DatasetError, match="its ids leave gaps"):
        tfrecord.write([other], file)


def test_images_are_read_from_their_files(file: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(JPEG)
    datasets.write([RECORDS[0].replace(data=None, size=None, root=tmp_path)], f"tfrecord:{file}")
    assert list(tfrecord.read(file)) == RECORDS[:1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_with_an_orientation_is_written_upright(
    kind: str, file: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(kind, (20, 30), exif=exif)
    tfrecord.write([ImageRecord(name="a", data=data)], file)
    (read,) = tfrecord.read(file)
    (tmp_path / "a.img").write_bytes(read.data or b"")
    with Image.open(tmp_path / "a.img") as image:
        assert (image.format, image.size, 0x0112 in image.getexif()) == (kind, (20, 30), False)
    assert read.size == (30, 20) == images.read(tmp_path / "a.img").shape[:2]
    exif[0x0112] = 1
    same = encoded(kind, exif=exif)
    tfrecord.write([ImageRecord(name="a", data=same)], file)
    assert next(tfrecord.read(file)).data == same


def test_values_that_have_no_place_are_counted(file: Path) -> None:
    face = FaceRecord(box=(0, 0, 5, 5), attributes={"truncated": 2, "view": 5, "blur": 1})
    losses = datasets.write([RECORDS[1].replace(faces=(face,))], f"tfrecord:{file}")
    assert losses.lost == {f"attributes.{name}": 1 for name in ("truncated", "view", "blur")}
    assert next(tfrecord.read(file)).faces[0].attributes == PLAIN


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (ImageRecord(name="a", size=(9, 9)), "not at hand"),
        (ImageRecord(name="a", size=(9, 9), root=Path("none")), r"none.a: cannot be read"),
        (ImageRecord(name="a", data=encoded("WEBP")), "TensorFlow decodes JPEG, PNG, GIF and BMP"),
        (ImageRecord(name="a", data=b""), "TensorFlow decodes"),
        (ImageRecord(name="a", data=b"\xff\xd8\0\0"), "not an image"),
        (ImageRecord(name="a", data=b"\xff\xd8\0\0Exif"), "the image is damaged"),
        (RECORDS[0].replace(size=(9, 8)), "the record says 8 x 9, the image is 200 x 100"),
        (
            RECORDS[1].replace(faces=(FaceRecord(box=(0, 0, 1, 1), attributes={"truncated": 2}),)),
            "truncated must be 0 or 1",
        ),
    ],
)
def test_what_cannot_be_written(bad: ImageRecord, reason: str, file: Path) -> None:
    file.write_bytes(b"old")
    with pytest.raises(DatasetError, match=reason):
        tfrecord.write([RECORDS[0], bad], file)
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


def test_places_and_counts_that_do_not_do(file: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        tfrecord.write([], file / "none" / "x")
    for shards in (0, 100_000):
        with pytest.raises(ConfigError, match="shards"):
            tfrecord.write([], file, shards=shards)
    with pytest.raises(DatasetError, match="no such file, nor shards"):
        list(tfrecord.read(file))
    tfrecord.write(RECORDS, file, shards=3)
    file.with_name("train.record-00001-of-00003").unlink()
    with pytest.raises(DatasetError, match=r"missing .*: train.record-00001-of-00003"):
        list(tfrecord.read(file))


def frame(data: bytes) -> bytes:
    buffer = io.BytesIO()
    tf_example.write_frame(buffer, data)
    return buffer.getvalue()


ints, floats, texts = tf_example.int_feature, tf_example.float_feature, tf_example.bytes_feature
BOX = "image/object/bbox/"


def example(**changes: bytes | None) -> bytes:
    """A good example with some features changed, by the last part of their names."""
    features = {
        "image/height": ints([9]),
        "image/width": ints([8]),
        "image/filename": texts([b"a.jpg"]),
        "image/object/class/text": texts([b"face"]),
        **{f"{BOX}{name}": floats([i / 4]) for i, name in enumerate(("xmin", "ymin"))},
        **{f"{BOX}{name}": floats([0.5 + i / 4]) for i, name in enumerate(("xmax", "ymax"))},
    }
    for name, value in changes.items():
        full = next((one for one in features if one.endswith(name)), f"image/object/{name}")
        full = {"label": "image/object/class/label"}.get(name, full)
        if value is None:
            del features[full]
        else:
            features[full] = value
    return tf_example.encode(features)


def test_foreign_examples(file: Path) -> None:
    file.write_bytes(frame(example(xmin=floats([0.5]))))
    (read,) = tfrecord.read(file)
    assert (read.size, read.data) == ((9, 8), None)
    assert read.faces == (FaceRecord(box=(4, 2.25, 4, 6.75), ignore=True),)
    assert str(read.repairs[0]).startswith(f"{file}: empty-box: 0 x 4.5 has no area")
    file.write_bytes(frame(example(text=None, label=ints([7]), is_crowd=ints([1]))))
    (file.parent / "map.pbtxt").write_text('# faces\nitem {\n name: "he\\"ad", id: 7 }\n')
    (read,) = tfrecord.read(file, label_map=file.parent / "map.pbtxt")
    assert (read.faces[0].label, read.faces[0].ignore) == ('he"ad', True)
    data = encoded("PNG", (7, 6))
    plain = tf_example.encode(
        {"image/source_id": texts([b"x"]), "image/encoded": texts([data]), "more": b""}
    )
    file.write_bytes(frame(plain))
    assert list(tfrecord.read(file)) == [ImageRecord(name="x", size=(7, 6), data=data)]


def cut(data: bytes, place: int, value: int) -> bytes:
    return data[:place] + bytes([data[place] ^ value]) + data[place + 1 :]


MALFORMED: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"wider_face_train_bbx_gt.txt", "record 1: no TFRecord, or damaged"),
    "cut in the length": (lambda: frame(example())[:5], "record 1 is cut off"),
    "cut in the data": (lambda: frame(example())[:-9], "record 1 is cut off"),
    "cut in the second": (lambda: frame(example()) * 2 + b"\0", "record 3 is cut off"),
    "another length": (lambda: cut(frame(example()), 0, 1), "wrong checksum of its length"),
    "a bit of the data": (lambda: cut(frame(example()), 40, 1), "wrong checksum of its data"),
    "no example": (lambda: frame(b"\x0a\x7f"), "record 1 is no example: a field is cut off"),
    "an unknown kind of field": (lambda: frame(b"\x0b"), "of an unknown kind"),
    "a number in its place": (lambda: frame(b"\x08\x01"), "a number where a message should be"),
    "an endless number": (lambda: frame(b"\x80" * 20), "a number is cut off, or too long"),
    "an empty example": (lambda: frame(b""), "not a file name"),
    "no name": (lambda: frame(example(filename=None)), "not a file name"),
    "a name in no encoding": (lambda: frame(example(filename=texts([b"\xff"]))), "not UTF-8"),
    "out of the folder": (lambda: frame(example(filename=texts([b"../a"]))), "would leave"),
    "a name of numbers": (lambda: frame(example(filename=ints([1]))), "must be a list of bytes"),
    "no size": (lambda: frame(example(height=None)), "its size is not known"),
    "a size of nothing": (lambda: frame(example(height=ints([0]))), "width and height must be"),
    "a negative size": (lambda: frame(example(width=ints([-8]))), "width and height must be"),
    "a size of floats": (lambda: frame(example(width=floats([8]))), "must be a list of int"),
    "two left sides": (lambda: frame(example(xmin=floats([0, 0.1]))), "have [1, 2] numbers"),
    "no left side": (lambda: frame(example(xmin=None)), "have [0, 1] numbers"),
    "corners of integers": (lambda: frame(example(xmin=ints([0]))), "must be a list of float"),
    "pixels": (lambda: frame(example(xmax=floats([5]))), "corners must be fractions"),
    "not a number": (lambda: frame(example(xmax=floats([float("nan")]))), "must be fractions"),
    "floats cut off": (
        lambda: frame(example(xmax=b"\x12\x05\x0a\x03\0\0\0")),
        "floats of four bytes are cut off",
    ),
    "two labels": (lambda: frame(example(text=texts([b"a", b"b"]))), "has 2 values for 1 boxes"),
    "no label": (lambda: frame(example(text=None)), "the label map lacks a label"),
    "an unknown label": (lambda: frame(example(text=None, label=ints([3]))), "lacks [3]"),
    "a label in no encoding": (lambda: frame(example(text=texts([b"\xff"]))), "not UTF-8"),
    "difficult twice": (lambda: frame(example(difficult=ints([0, 1]))), "has 2 values"),
    "a view of numbers": (lambda: frame(example(view=ints([1]))), "must be a list of bytes"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, file: Path) -> None:
    make, reason = MALFORMED[name]
    file.write_bytes(make())
    with pytest.raises(DatasetError) as caught:
        list(tfrecord.read(file))
    assert caught.value.file == str(file)
    assert reason in caught.value.reason


GOLDEN = Path(__file__).parent / "golden" / "tfrecord.json"


def test_the_bytes_are_those_that_tensorflow_has_parsed(file: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    tfrecord.write([_golden_record()], file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == golden["file_sha256"]


def test_tensorflow_parses_what_is_written(file: Path, require: Require) -> None:
    tensorflow = require("tensorflow")
    tfrecord.write([_golden_record()], file)
    assert parsed_by(tensorflow, file) == json.loads(GOLDEN.read_text())["parsed"]


def test_tensorflow_decodes_the_image_that_is_carried(file: Path, require: Require) -> None:
    tensorflow = require("tensorflow")
    tfrecord.write(RECORDS[:2], file)
    for data, record in zip(tensorflow.data.TFRecordDataset(str(file)), RECORDS, strict=False):
        keys = {"image/encoded": tensorflow.io.FixedLenFeature((), tensorflow.string)}
        found = tensorflow.io.parse_single_example(data, keys)
        pixels = tensorflow.io.decode_image(found["image/encoded"]).numpy()
        assert pixels.shape[:2] == record.size


def _golden_record() -> ImageRecord:
    """A record whose bytes do not depend on an encoder's version: a BMP made by hand."""
    row = bytes((10, 40, 90)) * 4
    head = struct.pack("<2sIHHI", b"BM", 54 + 2 * len(row), 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 24, 0, 2 * len(row), 0, 0, 0, 0)
    faces = (
        FaceRecord(box=(0, 0, 1, 2)),
        FaceRecord(
            box=(1, 0.5, 4, 2),
            label="máscara",
            ignore=True,
            attributes={"truncated": 1, "view": "Frontal"},
        ),
    )
    return ImageRecord(name="a/1.bmp", data=head + info + row * 2, size=(2, 4), faces=faces)


def parsed_by(tensorflow: ModuleType, file: Path) -> dict[str, Any]:
    """What TensorFlow's parser makes of the file, by TF Object Detection's own keys and types."""
    io_ops = tensorflow.io
    text, whole, real = tensorflow.string, tensorflow.int64, tensorflow.float32
    ones = {"filename": text, "source_id": text, "key/sha256": text, "format": text}
    ones |= {"encoded": text, "height": whole, "width": whole}
    lists = {f"bbox/{name}": real for name in ("xmin", "ymin", "xmax", "ymax")}
    lists |= {"class/text": text, "class/label": whole, "view": text}
    lists |= {"weight": real} | dict.fromkeys(("difficult", "truncated", "is_crowd"), whole)
    keys = {f"image/{name}": io_ops.FixedLenFeature((), kind) for name, kind in ones.items()}
    keys |= {f"image/object/{name}": io_ops.VarLenFeature(kind) for name, kind in lists.items()}
    (data,) = tensorflow.data.TFRecordDataset(str(file))
    found = io_ops.parse_single_example(data, keys)
    dense = {name: getattr(value, "values", value).numpy() for name, value in found.items()}
    return {name: _plain(value) for name, value in sorted(dense.items())}


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value
